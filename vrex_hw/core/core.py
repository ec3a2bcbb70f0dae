"""The LXE and the KVPU, joined: hash bits and weights go straight from one to the other."""

from typing import Any

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import Out, connect, flipped

from vrex_hw import axi
from vrex_hw.config import Config
from vrex_hw.fork import Fork
from vrex_hw.kvpu import KVPU
from vrex_hw.kvpu.layouts import ENTRY_BYTES
from vrex_hw.kvpu.ports import KVPUSignature
from vrex_hw.lxe.lxe import LXE
from vrex_hw.lxe.ports import LXESignature


class Core(wiring.Component):
    """All six steps but the moving of the cache; ports are those of the LXE and of the KVPU.

    The LXE's hash bits feed the KVPU's ``s_axis_hash`` and its weights ``s_axis_row``, which are
    no ports here; the cluster and select jobs that use them are started as ever. ``hash`` and
    ``weights`` show the same beats, for who wants them: a receiver that does not ties their ready
    high. Latency and throughput: those of :class:`~vrex_hw.lxe.lxe.LXE` and
    :class:`~vrex_hw.kvpu.core.KVPU`; the forks between them add none.

    Source: the paper's core, its KVMU left out.
    """

    def __init__(self, config: Config) -> None:
        """Size both by ``config``."""
        self._config = config
        inner = ("s_axis_hash", "s_axis_row")
        kvpu = {n: m for n, m in KVPUSignature(config).members.items() if n not in inner}
        super().__init__({**kvpu, **dict(LXESignature(config).members)})

    @property
    def config(self) -> Config:
        """The sizes it was made for."""
        return self._config

    def elaborate(self, platform: Any) -> Module:
        """Connect the two, and each to the ports."""
        m = Module()
        m.submodules.lxe = lxe = LXE(self._config)
        m.submodules.kvpu = kvpu = KVPU(self._config)
        m.submodules.hash_fork = hashes = Fork(lxe.hash.p.shape())
        m.submodules.row_fork = rows = Fork(lxe.weights.p.shape())
        for unit in (lxe, kvpu):
            for name, member in unit.signature.members.items():
                if name not in self.signature.members or name in ("hash", "weights"):
                    continue
                mine, inner = getattr(self, name), getattr(unit, name)
                if member.is_signature:
                    connect(m, inner, flipped(mine))
                elif member.flow == Out:
                    m.d.comb += mine.eq(inner)
                else:
                    m.d.comb += inner.eq(mine)
        connect(m, lxe.hash, hashes.i)
        connect(m, hashes.o[0], flipped(self.hash))
        connect(m, lxe.weights, rows.i)
        connect(m, rows.o[0], flipped(self.weights))
        bits, row = kvpu.s_axis_hash, kvpu.s_axis_row
        m.d.comb += [
            *axi.send(hashes.o[1], bits),
            bits.tdata.bits.eq(hashes.o[1].p.bits),
            *axi.send(rows.o[1], row),
            row.tlast.eq(rows.o[1].p.last),
        ]
        for lane in range(self._config.wtu.lanes):
            entry, given = row.tdata.lanes[lane], rows.o[1].p.lanes[lane]
            keep = row.tkeep.word_select(lane, ENTRY_BYTES)
            m.d.comb += [
                entry.weight.eq(given.weight),
                entry.count.eq(given.count),
                keep.eq(given.valid.replicate(ENTRY_BYTES)),
            ]
        return m
