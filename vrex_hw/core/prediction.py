"""The prediction engine between the LXE, whose bits and rows it takes, and the KVMU."""

from typing import Any

from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from vrex_hw import axi
from vrex_hw.config import Config
from vrex_hw.core.open_walk import OPEN_CLUSTER
from vrex_hw.fork import Fork
from vrex_hw.hcu.layouts import ASSIGNMENT, token
from vrex_hw.kvpu.engine import (
    CLUSTER_JOB,
    CLUSTER_PARAMETERS,
    COUNTS,
    SELECT_JOB,
    SELECT_PARAMETERS,
    Engine,
    StartSignature,
)
from vrex_hw.kvpu.layouts import ENTRY_BYTES
from vrex_hw.kvpu.ports import KVPUSignature
from vrex_hw.kvpu.reader import UNION
from vrex_hw.lxe.ports import LXESignature


class Prediction(wiring.Component):
    """HCU and WTU (:class:`~vrex_hw.kvpu.engine.Engine`) with the core's streams around them.

    ``hash`` and ``weights`` come from the LXE, ``open_cluster`` from the head's table; ``assign``
    and the ``stored`` hash bits go to the storer, ``selected`` to the retriever. Who looks on sees
    the same as ``show_hash``, ``show_weights`` and ``m_axis_*``, and holds it up if he does not
    take it. No latency of its own. Source: the paper's KVPU; the streams are our decision.
    """

    def __init__(self, config: Config) -> None:
        """Size the units by ``config``."""
        self._config = config
        lxe, kvpu = LXESignature(config).members, KVPUSignature(config).members
        self._bits, self._row = token(config.hcu), lxe["weights"].signature
        super().__init__(
            {
                "hash": In(stream.Signature(self._bits)),
                "weights": In(self._row),
                "cluster": In(StartSignature(CLUSTER_JOB, CLUSTER_PARAMETERS)),
                "select": In(StartSignature(SELECT_JOB, SELECT_PARAMETERS)),
                "open_cluster": In(stream.Signature(OPEN_CLUSTER)),
                "stored": Out(stream.Signature(self._bits)),
                "assign": Out(stream.Signature(ASSIGNMENT)),
                "selected": Out(stream.Signature(UNION)),
                "show_hash": Out(stream.Signature(self._bits)),
                "show_weights": Out(self._row),
                **{name: kvpu[name] for name in kvpu if name.startswith("m_axis")},
                "counts": Out(COUNTS),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Fork what is seen from outside, and speak the engine's AXI4-Stream."""
        m = Module()
        m.submodules.engine = engine = Engine(self._config)
        connect(m, flipped(self.cluster), engine.cluster)
        connect(m, flipped(self.select), engine.select)
        connect(m, engine.m_axis_row, flipped(self.m_axis_row))
        m.d.comb += self.counts.eq(engine.counts)
        self._give(m, engine)
        self._pass_on(m, "assign", engine.m_axis_assign, self.m_axis_assign, self.assign)
        self._pass_on(m, "selected", engine.m_axis_selected, self.m_axis_selected, self.selected)
        return m

    def _give(self, m: Module, engine: Engine) -> None:
        """Give the engine hash bits, rows of weights and open clusters."""
        m.submodules.hash_fork = hashes = Fork(self._bits, 3)
        m.submodules.row_fork = rows = Fork(self.weights.p.shape())
        connect(m, flipped(self.hash), hashes.i)
        connect(m, hashes.o[0], flipped(self.show_hash))
        connect(m, hashes.o[1], flipped(self.stored))
        connect(m, flipped(self.weights), rows.i)
        connect(m, rows.o[0], flipped(self.show_weights))
        bits, row, table = engine.s_axis_hash, engine.s_axis_row, engine.s_axis_table
        entry = self.open_cluster.p.entry
        m.d.comb += [
            *axi.send(hashes.o[2], bits),
            bits.tdata.bits.eq(hashes.o[2].p.bits),
            *axi.send(rows.o[1], row),
            row.tlast.eq(rows.o[1].p.last),
            *axi.send(self.open_cluster, table),
            table.tdata.hash.bits.eq(entry.hash),
            table.tdata.first.eq(entry.first),
            table.tdata.count.eq(entry.count),
        ]
        for lane in range(self._config.wtu.lanes):
            cluster, given = row.tdata.lanes[lane], rows.o[1].p.lanes[lane]
            keep = row.tkeep.word_select(lane, ENTRY_BYTES)
            m.d.comb += [
                cluster.weight.eq(given.weight),
                cluster.count.eq(given.count),
                keep.eq(given.valid.replicate(ENTRY_BYTES)),
            ]

    def _pass_on(self, m: Module, name: str, source: Any, shown: Any, to: Any) -> None:
        """Pass on what the engine says, to a unit of the KVMU and to who looks on."""
        shape = to.p.shape()
        m.submodules[f"{name}_fork"] = fork = Fork(shape)
        connect(m, fork.o[0], flipped(to))
        m.d.comb += [
            *axi.receive(source, fork.i),
            *(fork.i.p[n].eq(source.tdata[n]) for n in shape.members if n != "last"),
            fork.i.p.last.eq(source.tlast),
            *axi.send(fork.o[1], shown),
            shown.tdata.eq(source.tdata),
            shown.tlast.eq(source.tlast),
        ]
