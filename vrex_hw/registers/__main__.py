"""``python -m vrex_hw.registers`` prints the page of documentation (docs/registers.md)."""

import sys

from vrex_hw.registers.render import page

sys.stdout.write(page())
