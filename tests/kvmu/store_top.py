"""The storer with the mean unit, and with an HCU where one is wanted, as a top."""

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, connect, flipped

from vrex_hw.config import Config, HCUConfig, KVMUConfig, LXEConfig, WTUConfig
from vrex_hw.fork import Fork
from vrex_hw.hcu import HCU
from vrex_hw.kvmu.storer import Storer
from vrex_hw.vpe.mean import Mean

CONFIG = Config(
    name="store",
    head_dims=(8, 16, 32, 64),
    hcu=HCUConfig(hyperplanes=32, width=32, joinable=8, open=16),
    wtu=WTUConfig(lanes=4, entries=32),
    lxe=LXEConfig(side=8, rows=12, score_rows=4),
    kvmu=KVMUConfig(bus_bytes=8, slot_tokens=8, window_slots=8, resident_slots=2),
)
"""So small that slots wrap around and everything gets full: four tiles of means."""
PARAMETERS = ("hamming_threshold", "join_window", "cluster_cap", "recent_window")


class StoreTop(wiring.Component):
    """A storer whose mean unit is inside; with ``hcu``, its assignments come from a real one.

    Then hash bits go to both, as in a core, and ``cluster`` and ``table`` are the HCU's.
    """

    def __init__(self, config, hcu=False):
        self._config, self._storer = config, Storer(config)
        self._hcu = HCU(config.hcu) if hcu else None
        inner = ("mean_job", "mean_key", "mean", *(["assign"] if hcu else []))
        members = {n: m for n, m in self._storer.signature.members.items() if n not in inner}
        self._outer = tuple(members)
        if hcu:
            given = self._hcu.signature.members
            members |= {"cluster": given["job"], "table": given["table"]}
            members |= {name: In(given[name].shape) for name in PARAMETERS}
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        m.submodules.storer = storer = self._storer
        m.submodules.mean = mean = Mean(self._config)
        connect(m, storer.mean_job, mean.job)
        connect(m, storer.mean_key, mean.key)
        connect(m, mean.mean, storer.mean)
        for name in self._outer:
            mine, inner = getattr(self, name), getattr(storer, name)
            if self.signature.members[name].is_port:
                m.d.comb += mine.eq(inner)
            elif self._hcu is None or name != "hash":
                connect(m, flipped(mine), inner)
        if self._hcu is not None:
            self._cluster(m, storer)
        return m

    def _cluster(self, m, storer):
        m.submodules.hcu = hcu = self._hcu
        m.submodules.fork = fork = Fork(self.hash.p.shape())
        connect(m, flipped(self.hash), fork.i)
        connect(m, fork.o[0], hcu.hash)
        connect(m, fork.o[1], storer.hash)
        connect(m, flipped(self.cluster), hcu.job)
        connect(m, flipped(self.table), hcu.table)
        connect(m, hcu.assign, storer.assign)
        m.d.comb += [getattr(hcu, name).eq(getattr(self, name)) for name in PARAMETERS]
