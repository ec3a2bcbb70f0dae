"""``python -m vrex_hw.registers kvpu`` (or ``core``) prints its page of documentation."""

import sys

from vrex_hw.registers import CORE, KVPU
from vrex_hw.registers.render import page

sys.stdout.write(page({"core": CORE, "kvpu": KVPU}[sys.argv[1]]))
