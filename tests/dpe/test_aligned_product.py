"""The form whose multiplier shifts: sizes it cannot have are refused. A proof has the rest."""

import pytest

from vrex_hw.dpe.aligned_product import ShiftedOperands


@pytest.mark.parametrize(
    ("bits", "window", "message"),
    [(11, 28, "bits is 11"), (0, 28, "bits is 0"), (8, 32, "1 to 31"), (3, 22, "1 to 21")],
)
def test_sizes_without_room_are_refused(refuses, bits, window, message):
    refuses(lambda: ShiftedOperands(bits, 9, window), message)
