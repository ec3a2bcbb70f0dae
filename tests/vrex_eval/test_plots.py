"""What the plots draw: the settings of a method that no other of its settings beats."""

from vrex_eval.plots import _frontier


def test_the_frontier_has_what_is_best_at_its_bytes_or_fewer():
    points = [(10.0, 80.0), (5.0, 70.0), (20.0, 79.0), (20.0, 90.0), (7.0, 70.0)]
    assert _frontier(points, 1) == [(5.0, 70.0), (10.0, 80.0), (20.0, 90.0)]
    errors = [(10.0, 3.0), (5.0, 8.0), (20.0, 3.0), (30.0, 1.0), (7.0, 9.0)]
    assert _frontier(errors, -1) == [(5.0, 8.0), (10.0, 3.0), (30.0, 1.0)]
