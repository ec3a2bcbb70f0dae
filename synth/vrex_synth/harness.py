"""A KVPU with the self-test's players, checkers and program around it, and the verdict."""

from typing import Any

from amaranth import Cat, Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from vrex_hw.config import Config
from vrex_hw.kvpu.core import KVPU
from vrex_synth.players import MISMATCH, Checker, Digest, Player
from vrex_synth.sequencer import Sequencer
from vrex_synth.vectors import Vectors

CHECKERS = ("registers", "m_axis_assign", "m_axis_row", "m_axis_selected")
"""What can find a wrong word, in the order of ``Harness.failed_checker``."""
STALL_TAPS = 16
"""Length of the shift register whose bits stall the streams at random."""


class Harness(wiring.Component):
    """Runs ``vectors`` through a KVPU of ``config`` once, from reset on, with random stalls.

    ``passed``: all that was expected has come, and nothing else. ``failed``: something differed;
    ``failed_checker`` is its index in :data:`CHECKERS` and ``mismatch`` the first wrong word.
    Both low: it still runs, or hangs.
    """

    def __init__(self, config: Config, vectors: Vectors) -> None:
        """Take the sizes and the stream; the two must belong together."""
        self._config = config
        self._vectors = vectors
        super().__init__(
            {
                "passed": Out(1),
                "failed": Out(1),
                "failed_checker": Out(range(len(CHECKERS))),
                "mismatch": Out(MISMATCH),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Put a player on every input stream and a checker on every output stream."""
        m = Module()
        m.submodules.kvpu = kvpu = KVPU(self._config)
        m.submodules.sequencer = sequencer = Sequencer(self._vectors.program)
        wiring.connect(m, sequencer.bus, kvpu.s_axil)
        go = self._stalls(m)
        for index, (name, words) in enumerate(self._vectors.played.items()):
            axis = getattr(kvpu, name)
            payload = Cat(getattr(axis, part) for part in _parts(axis, "tdata", "tkeep", "tlast"))
            m.submodules[f"{name}_player"] = player = Player(len(payload), words)
            m.d.comb += [
                player.go.eq(go[index]),
                payload.eq(player.o.payload),
                axis.tvalid.eq(player.o.valid),
                player.o.ready.eq(axis.tready),
            ]
        checkers: list[Any] = [sequencer]
        for index, name in enumerate(CHECKERS[1:]):
            checker = self._checker(m, getattr(kvpu, name), name)
            m.d.comb += checker.go.eq(go[8 + index])
            checkers.append(checker)
        m.d.comb += sequencer.proceed.eq(Cat(checker.done for checker in checkers[1:]).all())
        self._judge(m, checkers)
        return m

    def _stalls(self, m: Module) -> Signal:
        """Return bits that are 1 in three of four cycles, from a shift register with feedback."""
        noise = Signal(STALL_TAPS, init=0xACE1)
        go = Signal(STALL_TAPS)
        m.d.sync += noise.eq(Cat(noise[10] ^ noise[12] ^ noise[13] ^ noise[15], noise[:-1]))
        m.d.comb += go.eq(noise | noise.rotate_left(5))
        return go

    def _checker(self, m: Module, axis: Any, name: str) -> Checker:
        words = self._vectors.expected[name]
        payload = Cat(axis.tdata, axis.tlast)
        if name == "m_axis_row":
            m.submodules.digest = digest = Digest(self._config.wtu)
            m.submodules[f"{name}_checker"] = checker = Checker(len(digest.o.payload), words)
            wiring.connect(m, digest.o, checker.i)
            sink = digest.i
        else:
            m.submodules[f"{name}_checker"] = checker = Checker(len(payload), words)
            sink = checker.i
        m.d.comb += [
            sink.payload.eq(payload),
            sink.valid.eq(axis.tvalid),
            axis.tready.eq(sink.ready),
        ]
        return checker

    def _judge(self, m: Module, checkers: list[Any]) -> None:
        """Register the verdict; the lowest checker's first mismatch is the one that is told."""
        m.d.sync += [
            self.passed.eq(Cat(checker.done for checker in checkers).all()),
            self.failed.eq(Cat(checker.failed for checker in checkers).any()),
        ]
        for index, checker in reversed(list(enumerate(checkers))):
            with m.If(checker.failed & ~self.failed):
                m.d.sync += [
                    self.failed_checker.eq(Const(index)),
                    self.mismatch.eq(checker.mismatch),
                ]


def _parts(axis: Any, *names: str) -> list[str]:
    return [name for name in names if name in axis.signature.members]
