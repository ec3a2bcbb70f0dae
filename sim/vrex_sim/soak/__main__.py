"""``python -m vrex_sim.soak [BEATS [SEED]]``: ten million beats unless told otherwise."""

import sys

from vrex import HardwareError, UserError
from vrex_sim import soak

if __name__ == "__main__":
    beats, seed = ([int(value) for value in sys.argv[1:]] + [10_000_000, 1][len(sys.argv) - 1 :])[
        :2
    ]
    try:
        print(soak.run(soak.build(), beats, seed))
    except (HardwareError, UserError) as error:
        sys.exit(f"soak: {error}")
