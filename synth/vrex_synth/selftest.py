"""The self-checking top: a KVPU under test, and its verdict on LEDs and on a serial line."""

from typing import Any

from amaranth import Cat, Module, ResetInserter, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from vrex_hw.config import Config
from vrex_synth.harness import CHECKERS, Harness
from vrex_synth.players import MISMATCH
from vrex_synth.uart import Reporter, Transmitter, digits
from vrex_synth.vectors import Vectors

BAUD = 115_200
TIMEOUT_CYCLES = 1 << 20
"""A run that has not ended after this many cycles has failed: the stream takes some thousands."""
HOLD_CYCLES = 16
"""A run starts this many cycles after reset, or after the button is let go (a bounce: again)."""


def texts(name: str) -> list[str]:
    """Return what the serial line may say: running, passed, timed out, then one for each checker.

    Digits 0 to 7 of the value are the word that came, 8 to 15 the expected one, 16 to 19 its
    index.
    """
    detail = f"word 0x{digits(16, 4)}, expected 0x{digits(8, 8)}, got 0x{digits(0, 8)}"
    start = f"V-Rex self-test {name}: "
    return [
        f"{start}running\r\n",
        f"{start}PASS\r\n",
        f"{start}FAIL, timed out\r\n",
        *(f"{start}FAIL, {checker} {detail}\r\n" for checker in CHECKERS),
    ]


class SelfTest(wiring.Component):
    """Runs the self-test after reset and again whenever ``rerun`` was high, and tells the verdict.

    ``passed``, ``failed`` and ``running``: exactly one is high. ``tx``: a serial line, 8N1 at
    115,200 baud, that repeats the verdict as text about once a second. ``rerun`` comes from a
    button and may be asynchronous. ``clock_hz``: frequency of the clock.

    ``rerun`` brings every register but its own synchroniser's into a known state, so the domain
    needs no reset, and the design has one reset net instead of two that meet at each register.
    """

    def __init__(
        self,
        config: Config,
        vectors: Vectors,
        clock_hz: float,
        *,
        timeout_cycles: int = TIMEOUT_CYCLES,
        pause_cycles: int | None = None,
        baud: float = BAUD,
    ) -> None:
        """Take what runs; the keywords shorten a simulation."""
        self._harness = Harness(config, vectors)
        self._texts = texts(config.name)
        self._timeout = timeout_cycles
        self._pause = round(clock_hz) if pause_cycles is None else pause_cycles
        self._divisor = round(clock_hz / baud)
        super().__init__(
            {
                "rerun": In(1),
                "passed": Out(1),
                "failed": Out(1),
                "running": Out(1),
                "tx": Out(1, init=1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Hold the harness in reset, let it run against a timeout, and report."""
        m = Module()
        restart = Signal(init=1)
        m.submodules.harness = ResetInserter(restart)(self._harness)
        harness = self._harness
        timed_out = self._time(m, restart)
        m.d.comb += [
            self.failed.eq(harness.failed | timed_out),
            self.passed.eq(harness.passed & ~self.failed),
            self.running.eq(~self.passed & ~self.failed),
        ]
        value = Signal(MISMATCH.size)
        mismatch = harness.mismatch
        m.d.comb += value.eq(Cat(mismatch.got, mismatch.expected, mismatch.index))
        reporter = Reporter(self._texts, len(value), self._pause)
        transmitter = Transmitter(self._divisor)
        m.submodules.reporter = ResetInserter(restart)(reporter)
        m.submodules.transmitter = ResetInserter(restart)(transmitter)
        wiring.connect(m, reporter.o, transmitter.i)
        m.d.comb += [reporter.value.eq(value), self.tx.eq(transmitter.tx)]
        with m.If(harness.failed):
            m.d.comb += reporter.message.eq(3 + harness.failed_checker)
        with m.Elif(timed_out):
            m.d.comb += reporter.message.eq(2)
        with m.Elif(harness.passed):
            m.d.comb += reporter.message.eq(1)
        return m

    def _time(self, m: Module, restart: Signal) -> Signal:
        """Drive ``restart`` from the button; return whether the run has taken too long."""
        pressed = Signal(2)
        hold = Signal(range(HOLD_CYCLES), init=HOLD_CYCLES - 1)
        cycles = Signal(range(self._timeout + 1))
        timed_out = Signal()
        m.d.sync += [pressed.eq(Cat(self.rerun, pressed[:-1])), restart.eq(hold != 0)]
        with m.If(pressed[-1]):
            m.d.sync += hold.eq(HOLD_CYCLES - 1)
        with m.Elif(hold != 0):
            m.d.sync += hold.eq(hold - 1)
        with m.If(restart):
            m.d.sync += [cycles.eq(0), timed_out.eq(0)]
        with m.Elif(self.running):
            m.d.sync += cycles.eq(cycles + 1)
            with m.If(cycles == self._timeout):
                m.d.sync += timed_out.eq(1)
        return timed_out
