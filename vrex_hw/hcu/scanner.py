"""Issues the compares: every token against the words of joinable clusters, ascending."""

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from vrex_hw.config import NUMBER_BITS, HCUConfig
from vrex_hw.hcu.layouts import (
    chunk,
    compare_step,
    lane_bits,
    loaded_job,
    phase_bits,
    token,
    word_bits,
)


class Scanner(wiring.Component):
    """Runs a job: one step a cycle, word after word, token after token.

    A word is ``config.accumulators`` clusters and takes ``config.phases`` cycles. The scan of a
    token starts while the one before is still being decided; only its last word (where the
    cluster that the other may open appears) waits for that. If the decision fills a cluster,
    which must then not be joined again, the scan starts over: no step that could close the token
    has been issued by then, and the first word that is issued again forgets what they found.

    Words whose clusters are all out of reach are skipped as soon as the comparer reports them;
    it checks the age of each cluster by itself, so this saves time and decides nothing.

    Source: our decision.
    """

    def __init__(self, config: HCUConfig) -> None:
        """Size the ports after ``config``."""
        self.config = config
        super().__init__(
            {
                "job": In(stream.Signature(loaded_job(config))),
                "hash": In(stream.Signature(token(config))),
                "begin": Out(1),
                "close": Out(1),
                "closed": In(1),
                "refused": Out(1),
                "bank": Out(1),
                # The table's bounds, and room for one more decision
                "low": In(NUMBER_BITS),
                "head": In(NUMBER_BITS),
                "room": In(1),
                "settled": In(1),
                "filled": In(1),
                # To the rings and the comparer
                "step": Out(stream.Signature(compare_step(config), always_ready=True)),
                "word": Out(word_bits(config)),
                "phase": Out(phase_bits(config)),
                "chunk": Out(config.width),
                "index": Out(NUMBER_BITS),
                "passed": In(stream.Signature(word_bits(config), always_ready=True)),
                # The token whose decision is pending
                "leader_hash": Out(config.hyperplanes),
                "leader_index": Out(NUMBER_BITS),
                "busy": Out(1),
                "starved": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        """Build the job's state machine, the token in hand and the walk over its words."""
        m = Module()
        left = Signal(NUMBER_BITS)
        queue = Signal(self.config.hyperplanes)
        queued = Signal()
        bits = Signal(self.config.hyperplanes)
        held = Signal()
        pending = Signal()
        landed = Signal()
        done = Signal()
        start = Signal(word_bits(self.config))

        with m.If(self.passed.valid):
            m.d.sync += start.eq(self.passed.payload + 1)
        with m.FSM() as fsm:
            with m.State("IDLE"):
                m.d.comb += self.job.ready.eq(1)
                m.d.sync += [
                    left.eq(self.job.p.tokens),
                    self.index.eq(self.job.p.first_index - 1),
                    self.refused.eq(self.job.p.refused),
                ]
                with m.If(self.job.valid):
                    m.next = "RUN"
                with m.If(self.job.valid & ~self.job.p.refused):
                    m.d.comb += self.begin.eq(1)
                    with m.If(~self.job.p.resume):
                        m.d.sync += [self.bank.eq(~self.bank), start.eq(self.job.p.start)]
            with m.State("RUN"):
                m.d.comb += self.hash.ready.eq((left != 0) & ~queued)
                with m.If((left == 0) & ~queued & ~held & ~pending):
                    m.next = "CLOSE"
            with m.State("CLOSE"):
                m.d.comb += self.close.eq(1)
                with m.If(self.closed):
                    m.next = "IDLE"

        # The register in front keeps the walk's decisions out of the path to ``hash.ready``.
        accepted = queued & ~self.refused & (~held | done)
        with m.If(self.hash.valid & self.hash.ready):
            m.d.sync += [left.eq(left - 1), queue.eq(self.hash.p.bits), queued.eq(1)]
        with m.Elif(accepted | self.refused):
            m.d.sync += queued.eq(0)
        with m.If(accepted):
            m.d.sync += [held.eq(1), bits.eq(queue), self.index.eq(self.index + 1)]
        with m.Elif(done):
            m.d.sync += held.eq(0)
        with m.If(done):
            m.d.sync += [
                pending.eq(1),
                self.leader_hash.eq(bits),
                self.leader_index.eq(self.index),
            ]
        with m.Elif(landed):
            m.d.sync += pending.eq(0)
        m.d.sync += landed.eq(self.settled)  # by then the walk knows of a new last word
        self._walk(m, start=start, accepted=accepted, held=held, pending=pending, done=done)
        m.d.comb += [
            self.chunk.eq(chunk(self.config, bits, self.phase)),
            self.busy.eq(~fsm.ongoing("IDLE")),
            self.starved.eq(self.hash.ready & ~self.hash.valid & ~held & ~pending),
        ]
        return m

    def _walk(
        self, m: Module, *, start: Value, accepted: Value, held: Value, pending: Value, done: Value
    ) -> None:
        """Step through the words from ``start`` to the one below ``head``, at least one."""
        config = self.config
        origin = Signal.like(start)
        last = Signal.like(start)
        opening = Signal()
        last_phase = self.phase == config.phases - 1
        step = self.step.payload
        # The comparison with the last word is a stage of its own: it is made for each word that
        # may be next, so that ``closing`` tells of the word in hand without delay.
        closing = Signal()
        m.d.sync += last.eq(Mux(self.head == 0, 0, (self.head - 1)[lane_bits(config) :]))
        m.d.sync += closing.eq(self.word >= last)
        m.d.comb += [
            self.step.valid.eq(held & (~closing | (~pending & self.room))),
            done.eq(self.step.valid & closing & last_phase),
            step.opening.eq(opening),
            step.closing.eq(closing),
            step.first_phase.eq(self.phase == 0),
            step.last_phase.eq(last_phase),
            step.word.eq(self.word),
            step.mask.eq(self._mask(self.low, 1) & self._mask(self.head, 0)),
        ]
        with m.If(accepted):
            m.d.sync += [origin.eq(start), opening.eq(1)]
            self._go_to(m, start, closing, last)
        with m.Elif(self.settled & self.filled):
            m.d.sync += opening.eq(1)
            self._go_to(m, origin, closing, last)
        with m.Elif(self.step.valid & ~last_phase):
            m.d.sync += self.phase.eq(self.phase + 1)
        with m.Elif(self.step.valid):
            m.d.sync += opening.eq(0)
            self._go_to(m, self.word + 1, closing, last)

    def _go_to(self, m: Module, word: Value, closing: Value, last: Value) -> None:
        m.d.sync += [self.word.eq(word), self.phase.eq(0), closing.eq(word >= last)]

    def _mask(self, bound: Value, above: int) -> Value:
        """Return the lanes of the word whose numbers are ``>= bound`` (above), or below it."""
        config = self.config
        lane = bound[: lane_bits(config)]
        word = bound[lane_bits(config) :]
        edge = Cat((i >= lane) == above for i in range(config.accumulators))
        inside = self.word > word if above else self.word < word
        return Mux(self.word == word, edge, inside.replicate(config.accumulators))
