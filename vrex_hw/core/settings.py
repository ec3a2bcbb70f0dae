"""The core's settings as its units see them: the registers of those names."""

from amaranth.lib import data

from vrex_hw.registers import CORE, Access

SETTINGS = data.StructLayout(
    {r.name: r.bits for r in CORE.of(Access.SETTING) if not r.name.startswith("job_")}
)
"""Every setting of the register map but those that make a job."""
