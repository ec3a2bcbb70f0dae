"""The request-size curve and what it makes of a stream of requests."""

import pytest

from vrex_sim.benches.link_figures import CURVE, gain, rate, throughput


def test_the_curve_goes_through_its_points():
    assert [rate(size) for size, _ in CURVE] == pytest.approx([value for _, value in CURVE])


def test_between_and_beyond_the_points():
    assert rate((16384 + 32768) / 2) == pytest.approx((2.19 + 3.15) / 2)
    assert rate(512 + 1) == pytest.approx(0.08 + 0.60 / 3584)
    assert rate(1 << 20) == 3.15
    assert rate(128) / 128 == pytest.approx(rate(512) / 512), "as long as 512 bytes"


def test_throughput_is_bytes_over_time():
    assert throughput([16384] * 3) == pytest.approx(2.19)
    seconds = 32768 / 3.15 + 512 / 0.08
    assert throughput([32768, 512]) == pytest.approx((32768 + 512) / seconds)


def test_gain():
    assert gain([512] * 10) == pytest.approx(1)
    assert gain([16384]) == pytest.approx(2.19 / 0.08)
    assert gain([1 << 20]) == pytest.approx(3.15 / 0.08)
    assert gain([16384, 512, 512]) < gain([17408])


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="no request"):
        gain([])
    with pytest.raises(ValueError, match="1 or more"):
        rate(0)
