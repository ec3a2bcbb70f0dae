"""How fast the HCU is, against the peak of its lanes."""

from vrex_hw.config import CONFIGS
from vrex_sim.benches.hcu_utilisation import hcu_utilisation


def test_utilisation_of_the_core():
    assert hcu_utilisation(CONFIGS["core"], heads=3) >= 0.98


def test_utilisation_where_scans_are_short():
    assert hcu_utilisation(CONFIGS["tiny"]) >= 0.75
