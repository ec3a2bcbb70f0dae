"""The port to the host link: right lines or a fault, whatever the link answers."""

from typing import Any

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from vrex_hw.config import Config
from vrex_hw.kvmu.layouts import TAG
from vrex_hw.kvmu.link_completions import LinkCompletions
from vrex_hw.kvmu.link_ledger import LIMIT, LinkLedger
from vrex_hw.kvmu.link_receiver import LinkReceiver
from vrex_hw.kvmu.link_sender import LinkSender
from vrex_hw.kvmu.ports import LinkSignature, TransferSignature


class LinkPort(wiring.Component):
    """Makes requests of ``transfer``'s transfers, and lines and results of the ``link``'s answers.

    A transfer has 1 or more lines; ``kvmu.outstanding`` may be under way. Its request's tag is
    ``epoch`` plus a running number, so that an answer that nobody waits for is known; ``unknown``
    pulses for each. ``epoch`` is held while a transfer is under way. The numbers start at 0 after
    a reset: an ``epoch`` unlike those of before the reset tells the answers of before apart. (The
    link's side of the streams is reset with the core: a packet ``send`` left half sent is none.)

    ``limit``: cycles that a transfer may take once it is the oldest, 0: any number. Whatever the
    link does then, every transfer ends, if the lines of those that write are given: all of them,
    of failed transfers too, which are dropped. One that writes ends only after its last line was
    given. After a fault every transfer under way ends with the same fault, one a cycle; requests
    that the link has taken get their packet, filled up with zeros. Then the port is as new, though
    the link may still owe answers or a packet: new transfers wait behind what ``send`` owes.

    A line a cycle each way, a transfer a cycle. Latency: ``transfer.request`` to ``link.request``
    2 cycles; ``give`` to ``send`` 1, from 2 after the request was taken on; ``receive`` to
    ``line`` 1; the last line received or given to ``result`` 2; completion to ``result`` 3.

    Counters, 32 bits, never reset but by the reset: ``requests`` that the link took, lines
    ``fetched`` (those of ``transfer.line``), lines ``sent`` (those of ``send``, zeros too).
    Source: our decision.
    """

    def __init__(self, config: Config) -> None:
        """Make it for the lines and the outstanding requests of ``config``."""
        self._config = config
        super().__init__(
            {
                "limit": In(LIMIT),
                "epoch": In(TAG),
                "transfer": In(TransferSignature(config)),
                "link": Out(LinkSignature(config)),
                "unknown": Out(1),
                "requests": Out(32),
                "fetched": Out(32),
                "sent": Out(32),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Put the ledger between the four streams of the link."""
        m = Module()
        m.submodules.ledger = ledger = LinkLedger(self._config)
        m.submodules.receiver = receiver = LinkReceiver(self._config)
        m.submodules.sender = sender = LinkSender(self._config)
        m.submodules.completions = completions = LinkCompletions(self._config)
        begin, held = self._request(m, ledger, sender)
        transfer, tag = self.transfer.request.p, Signal(TAG)
        issued = ledger.count - held
        index = ledger.next[: exact_log2(self._config.kvmu.outstanding)]
        wiring.connect(m, wiring.flipped(self.link.completion), completions.completion)
        wiring.connect(m, wiring.flipped(self.link.receive), receiver.receive)
        wiring.connect(m, sender.send, wiring.flipped(self.link.send))
        wiring.connect(m, wiring.flipped(self.transfer.give), sender.give)
        m.d.comb += [
            tag.eq(ledger.next + self.epoch),
            ledger.limit.eq(self.limit),
            ledger.begin.valid.eq(begin),
            ledger.begin.write.eq(transfer.write),
            receiver.flush.eq(ledger.flush),
            receiver.oldest.eq(ledger.oldest),
            receiver.issued.eq(issued),
            receiver.asked.valid.eq(begin & ~transfer.write),
            receiver.asked.tag.eq(tag),
            receiver.asked.index.eq(index),
            receiver.asked.lines.eq(transfer.lines),
            ledger.fetched.eq(receiver.fetched),
            self.transfer.line.eq(receiver.line),
            sender.flush.eq(ledger.flush),
            sender.asked.valid.eq(begin & transfer.write),
            sender.asked.index.eq(index),
            sender.asked.lines.eq(transfer.lines),
            ledger.given.eq(sender.given),
            completions.epoch.eq(self.epoch),
            completions.asked.eq(begin),
            completions.lines.eq(transfer.lines),
            completions.next.eq(ledger.next),
            completions.oldest.eq(ledger.oldest),
            completions.issued.eq(issued),
            completions.done.eq(ledger.done),
            ledger.completed.eq(completions.completed),
            self.transfer.result.eq(ledger.result),
            self.unknown.eq(receiver.unknown | completions.unknown),
        ]
        self._count(m)
        return m

    def _request(self, m: Module, ledger: LinkLedger, sender: LinkSender) -> Any:
        """Pass transfers on as requests; return 1 in the cycle in which one begins, and how many
        transfers under way the link has not taken yet.

        Two steps: a request that is offered to the link stays until it is taken, but one that
        waits behind it may still be forgotten. So a transfer can begin, and be late, even if the
        link takes nothing at all.
        """
        client, request = self.transfer.request, self.link.request
        begin, moves, waits = Signal(), Signal(), Signal()
        waiting, forgotten = Signal.like(request.p), Signal()
        m.d.comb += [
            moves.eq(
                waits
                & ~ledger.flush
                & (~request.valid | request.ready)
                & (~waiting.write | sender.room)
            ),
            client.ready.eq(ledger.room & (~waits | moves)),
            begin.eq(client.valid & client.ready),
            sender.offered.eq(moves & waiting.write),
            sender.issued.valid.eq(request.valid & request.ready & request.p.write),
            sender.issued.lines.eq(request.p.lines),
        ]
        with m.If(request.ready):
            m.d.sync += request.valid.eq(0)
        with m.If(moves):
            m.d.sync += [request.valid.eq(1), request.p.eq(waiting), waits.eq(0), forgotten.eq(0)]
        with m.If(begin):
            m.d.sync += [
                waits.eq(1),
                waiting.tag.eq(ledger.next + self.epoch),
                waiting.write.eq(client.p.write),
                waiting.address.eq(client.p.address),
                waiting.lines.eq(client.p.lines),
            ]
        with m.If(ledger.flush):
            m.d.sync += [waits.eq(0), forgotten.eq(1)]
        return begin, waits + (request.valid & ~forgotten)

    def _count(self, m: Module) -> None:
        """Count requests and lines."""
        request, send = self.link.request, self.link.send
        m.d.sync += [
            self.requests.eq(self.requests + (request.valid & request.ready)),
            self.fetched.eq(self.fetched + self.transfer.line.valid),
            self.sent.eq(self.sent + (send.valid & send.ready)),
        ]
