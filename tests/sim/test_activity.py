"""Which unit worked when: changes of activity as spans, shares and sums."""

import numpy as np
import pytest

from vrex_hw.core.ports import UNITS
from vrex_sim import activity
from vrex_sim.activity import Activity


def beats(*changes):
    """Return beats of CHANGE: from a cycle on, what works."""
    out = np.zeros((len(changes), 6), np.uint8)
    for row, (cycle, units) in enumerate(changes):
        bits = sum(1 << UNITS.index(unit) for unit in units)
        out[row] = list((cycle | bits << 32).to_bytes(6, "little"))
    return out


@pytest.fixture
def run():
    """100 cycles from cycle 50 on; the DPE works until 90 and from 110, the WTU from 70 to 120."""
    changes = beats(
        (10, ["table"]),
        (40, ["dpe"]),
        (70, ["dpe", "wtu"]),
        (90, ["wtu"]),
        (110, ["dpe", "wtu", "link_out"]),
        (120, ["dpe"]),
    )
    return Activity.of({"activity": changes, "began": 50, "cycles": 100})


def test_spans_are_those_of_the_run(run):
    assert run.starts.tolist() == [50, 70, 90, 110, 120]
    assert run.lengths.tolist() == [20, 20, 20, 10, 30]
    assert run.lengths.sum() == 100


def test_cycles_of_units_are_summed(run):
    assert run.busy == {**dict.fromkeys(UNITS, 0), "dpe": 80, "wtu": 50, "link_out": 10}


def test_the_hidden_share_is_of_predictions_cycles_alone(run):
    assert run.hidden() == 30 / 50
    assert run.hidden(after=90) == 10 / 30
    assert run.hidden(after=130) == 0


@pytest.mark.parametrize("unit", activity.PREDICTION)
def test_every_unit_that_predicts_counts_once(unit):
    changes = beats((0, [*activity.PREDICTION, "dpe"]), (30, [unit]), (40, ["dpe", "attend"]))
    found = Activity.of({"activity": changes, "began": 0, "cycles": 60})
    assert found.hidden(after=0) == 30 / 40


def test_prediction_before_the_first_attention_has_nothing_to_hide_behind():
    changes = beats((0, ["wtu"]), (20, ["dpe", "attend", "hcu"]), (30, ["hcu"]), (40, ["dpe"]))
    found = Activity.of({"activity": changes, "began": 0, "cycles": 60})
    assert found.hidden() == 10 / 20
    assert found.hidden(after=0) == 10 / 40


@pytest.mark.parametrize("unit", [u for u in UNITS if u not in (*activity.PREDICTION, "dpe")])
def test_no_other_unit_is_prediction(unit):
    found = Activity.of({"activity": beats((0, [unit])), "began": 0, "cycles": 60})
    assert found.hidden() == 0


def test_shares_are_of_the_cycles_between_edges(run):
    edges = np.array([50.0, 80, 100, 115, 150])
    assert run.shares("wtu", edges) == pytest.approx([1 / 3, 1, 1, 5 / 35])
    assert run.shares("dpe", edges) == pytest.approx([1, 0.5, 1 / 3, 1])


def test_a_timeline_in_numbers_has_spans_of_one_length(run, monkeypatch):
    assert len(run.timeline()["edges"]) == 101, "no more spans than cycles"
    monkeypatch.setattr(activity, "SPANS", 4)
    told = run.timeline()
    assert told.keys() == {"edges", *UNITS}
    assert told["edges"] == [50, 75, 100, 125, 150]
    assert told["wtu"] == [0.2, 1, 0.8, 0]
    assert told["table"] == [0, 0, 0, 0]
