"""The KVPU: the prediction engine as an IP block on AXI4-Lite and AXI4-Stream."""

from typing import Any

from amaranth import Module
from amaranth.lib import wiring

from vrex_hw.config import Config
from vrex_hw.kvpu.engine import Engine
from vrex_hw.kvpu.flow import Watchdog
from vrex_hw.kvpu.ports import KVPUSignature
from vrex_hw.registers import KVPU as REGISTERS
from vrex_hw.registers.block import RegisterBlock
from vrex_hw.registers.kvpu import SINKS, SOURCES


class KVPU(wiring.Component):
    """The KV prediction unit for ``config``; its ports are told at :class:`KVPUSignature`.

    What jobs are and do is told at :class:`~vrex_hw.kvpu.engine.Engine`; a job reaches its unit 3
    cycles after the write of its command is complete. Source: the paper's KVPU; registers and
    streams are our decision.
    """

    def __init__(self, config: Config) -> None:
        """Size every unit by ``config``."""
        self._config = config
        super().__init__(KVPUSignature(config))

    @property
    def config(self) -> Config:
        """The sizes it was made for."""
        return self._config

    def elaborate(self, platform: Any) -> Module:
        """Put the engine behind the registers, and watch its streams."""
        m = Module()
        m.submodules.registers = registers = RegisterBlock(REGISTERS, self._config)
        m.submodules.engine = engine = Engine(self._config)
        wiring.connect(m, wiring.flipped(self.s_axil), registers.bus)
        for name in SINKS + SOURCES:
            wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(engine, name))
        events = registers.events
        m.d.comb += [
            self.irq.eq(registers.irq),
            registers.counts.eq(engine.counts),
            events.job_refused.eq(engine.job_refused),
            events.row_too_long.eq(engine.row_too_long),
        ]
        for kind in ("cluster", "select"):
            self._start(m, registers, kind, getattr(engine, kind))
        selecting = ("s_axis_row", "m_axis_row", "m_axis_selected")
        for name in SINKS + SOURCES:
            kind = engine.select if name in selecting else engine.cluster
            self._watch(m, registers, name, kind.busy)
        return m

    def _start(self, m: Module, registers: Any, kind: str, starter: Any) -> None:
        """Start jobs of ``kind`` by the command register, made of the settings as they are."""
        m.d.comb += starter.start.eq(registers.command[f"start_{kind}"])
        for part in ("job", "parameters"):
            entry = starter.entry[part]
            m.d.comb += [entry[name].eq(registers.settings[name]) for name in entry.shape().members]
        for event in ("busy", "full", "dropped", "done"):
            m.d.comb += registers.events[f"{kind}_{event}"].eq(getattr(starter, event))

    def _watch(self, m: Module, registers: Any, name: str, busy: Any) -> None:
        """Time the stalls of stream ``name`` by its other side, while ``busy``."""
        m.submodules[f"watch_{name}"] = watchdog = Watchdog()
        axis = getattr(self, name)
        waits, for_ = (axis.tready, axis.tvalid) if name in SINKS else (axis.tvalid, axis.tready)
        m.d.comb += [
            watchdog.limit.eq(registers.settings.watchdog_limit),
            watchdog.stalled.eq(busy & waits & ~for_),
            getattr(registers.events, f"stalled_{name}").eq(watchdog.expired),
        ]
