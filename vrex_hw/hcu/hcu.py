"""The hash-bit cluster unit: tokens' hash bits in, cluster numbers out."""

from amaranth.hdl import Elaboratable, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from vrex_hw.config import NUMBER_BITS, HCUConfig
from vrex_hw.hcu.comparer import Comparer
from vrex_hw.hcu.layouts import ASSIGNMENT, DISTANCE_BITS, JOB, table_entry, token
from vrex_hw.hcu.loader import Loader
from vrex_hw.hcu.ring import Ring
from vrex_hw.hcu.scanner import Scanner
from vrex_hw.hcu.updater import Updater

COUNTER_BITS = 32


class HCU(wiring.Component):
    """Clusters the tokens of one packet (frame) after another, in arrival order.

    Each token joins the nearest joinable cluster strictly below ``hamming_threshold`` (ties: the
    lowest number) or opens one; joinable is a cluster whose first token is at most
    min(``join_window``, ``recent_window``) tokens back and that has fewer than ``cluster_cap``
    members. At the end of the packet clusters are sealed, lowest number first, until the open
    ones hold ``recent_window`` tokens or fewer.

    Ports (numbers and token indices are 16 bits, indices modulo 2^16):

    - ``job``: ``first_index`` of the packet's first token, its ``tokens`` (0 or more), the number
      ``base`` of the lowest open cluster, and how many open clusters (``entries``) the table
      stream brings. ``resume``: the head of the job before goes on, its state is still here;
      ``base`` and ``entries`` are ignored and no table is read. Across a resume the windows may
      shrink, not grow. A job is taken, and its table read, while the one before runs.
    - ``table``: the open clusters, ascending; entry k is cluster base + k.
    - ``hash``: the tokens' bits.
    - ``assign``: a beat a token (``opened``: its cluster is new), then the trailer (``last``) with
      the number of clusters sealed so far, that is the lowest open number.
    - the four parameters: held stable while a job is in the unit.
    - counters, modulo 2^32: cycles ``busy`` (a job is in the unit), ``stalled_in`` (nothing to do
      but wait for a token, or for the table of the next job), ``stalled_out`` (an assignment
      waits to be taken) and ``compares`` of a token with a cluster.

    A job with ``join_window`` above ``config.joinable``, one that could need more than
    ``config.open`` open clusters (entries + tokens), or numbers for more than 65,535 clusters
    (base + entries + tokens), is refused: table and tokens are drained, the trailer alone comes
    out, with ``error`` = 1 and number 0, and the state stays that of the job before.

    Throughput: ``config.accumulators`` compares every ``config.phases`` cycles, without a bubble
    between compares or tokens. A token's last word waits for the decision on the token before,
    which a long scan hides; a scan of one word takes 7 + ``phases`` + log2(``accumulators``)
    cycles, ``phases`` more where the token before opened a cluster. Filling a cluster costs
    6 + log2(``accumulators``) cycles. Between packets: 9 cycles, the last decision, and 3 for
    each cluster sealed.

    Source: paper (HCU of the KVPU); arrival order, best match, the rings, sealing and the refusal
    are our decision.
    """

    def __init__(self, config: HCUConfig) -> None:
        """Make the unit of the sizes that ``config`` has checked."""
        self._config = config
        super().__init__(
            {
                "job": In(stream.Signature(JOB)),
                "table": In(stream.Signature(table_entry(config))),
                "hash": In(stream.Signature(token(config))),
                "assign": Out(stream.Signature(ASSIGNMENT)),
                "hamming_threshold": In(DISTANCE_BITS),
                "join_window": In(NUMBER_BITS),
                "cluster_cap": In(NUMBER_BITS),
                "recent_window": In(NUMBER_BITS),
                "busy": Out(COUNTER_BITS),
                "stalled_in": Out(COUNTER_BITS),
                "stalled_out": Out(COUNTER_BITS),
                "compares": Out(COUNTER_BITS),
            }
        )

    @property
    def config(self) -> HCUConfig:
        """The unit's sizes."""
        return self._config

    def elaborate(self, platform: object) -> Elaboratable:
        """Wire loader, scanner, rings, comparer and updater."""
        m = Module()
        m.submodules.loader = loader = Loader(self.config)
        m.submodules.scanner = scanner = Scanner(self.config)
        m.submodules.ring = ring = Ring(self.config)
        m.submodules.comparer = comparer = Comparer(self.config)
        m.submodules.updater = updater = Updater(self.config)
        reach = Signal(NUMBER_BITS)
        m.d.sync += reach.eq(
            Mux(self.join_window < self.recent_window, self.join_window, self.recent_window)
        )
        connect(m, flipped(self.job), loader.job)
        connect(m, flipped(self.table), loader.table)
        connect(m, flipped(self.hash), scanner.hash)
        connect(m, updater.assign, flipped(self.assign))
        connect(m, loader.loaded, scanner.job)
        connect(m, loader.write, ring.load)
        connect(m, updater.write, ring.update)
        connect(m, scanner.step, comparer.step)
        connect(m, comparer.passed, scanner.passed)
        connect(m, comparer.decision, updater.decision)
        m.d.comb += [
            loader.idle.eq(~scanner.busy),
            loader.bank.eq(scanner.bank),
            loader.base.eq(updater.base),
            loader.head.eq(updater.head),
            loader.join_window.eq(self.join_window),
            loader.reach.eq(reach),
            scanner.low.eq(updater.low),
            scanner.head.eq(updater.head),
            scanner.room.eq(updater.room),
            scanner.settled.eq(updater.settled),
            scanner.filled.eq(updater.filled),
            scanner.closed.eq(updater.closed),
            ring.bank.eq(scanner.bank),
            ring.word.eq(scanner.word),
            ring.phase.eq(scanner.phase),
            ring.count_word.eq(Mux(updater.sealing, updater.count_word, scanner.word)),
            comparer.chunk.eq(scanner.chunk),
            comparer.index.eq(scanner.index),
            comparer.lanes.eq(ring.lanes),
            comparer.threshold.eq(self.hamming_threshold),
            comparer.reach.eq(reach),
            comparer.cap.eq(self.cluster_cap),
            updater.begin.eq(scanner.begin),
            updater.job.eq(loader.loaded.payload),
            updater.close.eq(scanner.close),
            updater.refused.eq(scanner.refused),
            updater.bank.eq(scanner.bank),
            updater.cap.eq(self.cluster_cap),
            updater.recent_window.eq(self.recent_window),
            updater.leader_hash.eq(scanner.leader_hash),
            updater.leader_index.eq(scanner.leader_index),
            updater.lanes.eq(ring.lanes),
        ]
        self._count(m, loader, scanner)
        return m

    def _count(self, m: Module, loader: Loader, scanner: Scanner) -> None:
        """Count cycles and compares; a cycle is counted one cycle late, when its cause is known."""
        compared = Signal(range(self.config.accumulators + 1))
        step = scanner.step
        m.d.sync += compared.eq(0)
        with m.If(step.valid & step.p.last_phase):
            m.d.sync += compared.eq(sum(step.p.mask))
        m.d.sync += self.compares.eq(self.compares + compared)
        for counter, cause in (
            (self.busy, scanner.busy | loader.busy),
            (self.stalled_in, scanner.starved | (loader.starved & ~scanner.busy)),
            (self.stalled_out, self.assign.valid & ~self.assign.ready),
        ):
            event = Signal(name=f"{counter.name}_event")
            m.d.sync += [event.eq(cause), counter.eq(counter + event)]
