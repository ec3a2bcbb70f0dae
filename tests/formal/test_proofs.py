"""Proofs go through, and go red for a broken unit, a vacuous claim or a missing tool."""

import dataclasses
import re
from pathlib import Path

import pytest
from amaranth.hdl import Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.fifo import SyncFIFO
from rich.console import Console

import vrex_formal
from vrex.errors import UserError
from vrex_formal import (
    dpe_proofs,
    feed_proofs,
    flow_proofs,
    hcu_proofs,
    memory_part_proofs,
    proof,
    rules,
    runner,
    sby,
    stream_proofs,
    wtu_proofs,
)
from vrex_hw.config import KVMUConfig
from vrex_hw.core.feeder.walker import Walker
from vrex_hw.dpe.aligned_product import ShiftedOperands
from vrex_hw.dpe.aligned_sum import AlignedSum
from vrex_hw.dpe.normalise import Round
from vrex_hw.fork import Fork
from vrex_hw.hcu import HCU
from vrex_hw.memory.chooser import Chooser
from vrex_hw.memory.splitter import Splitter
from vrex_hw.wtu import WTU

TIES = 0b1_1_10_1_1_10_1_1_10_1_1_10
"""Four clusters, each valid, with count 1 and weight 2."""


@pytest.fixture(scope="session")
def environment(tmp_path_factory):
    return sby.link_tools(tmp_path_factory.mktemp("tools"))


@pytest.fixture
def check(tmp_path, environment):
    def run(harness, *, depth, induct=False):
        wanted = proof.Proof(name="test", claim="", harness=harness, depth=depth, induct=induct)
        return proof.check(wanted, tmp_path / "test", environment)

    return run


class Broken(wiring.Component):
    """A unit with its own ports and one wire that is wrong, which ``spoil`` drives."""

    def __init__(self, unit, stream_name, spoil):
        self._unit, self._stream_name, self._spoil = unit, stream_name, spoil
        super().__init__(unit.signature)

    def elaborate(self, platform):
        m = Module()
        m.submodules.unit = unit = self._unit
        for name, member in self.signature.members.items():
            if name == self._stream_name:
                self._spoil(m, getattr(unit, name), getattr(self, name))
            elif member.is_port:
                mine, inner = getattr(self, name), getattr(unit, name)
                m.d.comb += inner.eq(mine) if member.flow is wiring.In else mine.eq(inner)
            else:
                wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(unit, name))
        return m


class Spoiled(Broken):
    """The same for a pipeline that is asked for its latency."""

    @property
    def latency(self):
        return self._unit.latency

    @property
    def magnitude_delay(self):
        return self._unit.magnitude_delay


def test_a_fast_proof_prints_its_table(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    console = Console(record=True, width=160)
    assert vrex_formal.prove(["fork-holds"], console)
    text = console.export_text()
    assert "for ever" in text and "induction" in text and "every proof holds" in text


def test_a_stream_that_withdraws_its_beat_is_found(check):
    def impatient(m, inner, outer):
        odd = Signal()
        m.d.sync += odd.eq(~odd)
        for way, mine in zip(inner, outer, strict=True):
            m.d.comb += [mine.p.eq(way.p), mine.valid.eq(way.valid & odd)]
            m.d.comb += way.ready.eq(mine.ready & odd)

    shape = stream_proofs.JOB
    result = check(
        lambda: stream_proofs.surround(Broken(Fork(shape), "o", impatient)), depth=4, induct=True
    )
    assert not result.holds
    assert "holds its payload until it is taken" in result.verdict
    assert "counterexample: " in result.verdict and ".vcd" in result.verdict


def test_a_fifo_that_forgets_is_found(check):
    class Forgetful(SyncFIFO):
        """Says that it has room when it is full."""

        def elaborate(self, platform):
            m = Module()
            m.submodules.inner = inner = SyncFIFO(width=self.width, depth=self.depth)
            m.d.comb += [
                inner.w_data.eq(self.w_data),
                inner.w_en.eq(self.w_en),
                inner.r_en.eq(self.r_en),
                self.w_rdy.eq(1),
                self.r_rdy.eq(inner.r_rdy),
                self.r_data.eq(inner.r_data),
            ]
            return m

    result = check(lambda: flow_proofs.fifo(Forgetful, 2), depth=8)
    assert not result.holds and "fifo" in result.verdict


def test_a_wtu_that_ranks_ties_wrongly_is_found(check):
    def swap(m, inner, outer):
        m.d.comb += [inner.valid.eq(outer.valid), outer.ready.eq(inner.ready)]
        m.d.comb += inner.p.last.eq(outer.p.last)
        m.d.comb += [inner.p.lanes[k].eq(outer.p.lanes[1 - k]) for k in range(2)]

    def swap_back(m, inner, outer):
        m.d.comb += [outer.valid.eq(inner.valid), inner.ready.eq(outer.ready)]
        m.d.comb += outer.p.eq(inner.p)
        m.d.comb += [outer.p.lanes[k].eq(inner.p.lanes[1 - k]) for k in range(2)]

    def make(config):
        return Broken(Broken(WTU(config), "row", swap), "selected", swap_back)

    result = check(lambda: wtu_proofs.equivalence(make, content=TIES), depth=40)
    assert not result.holds and "sorted definition" in result.verdict


def test_an_assignment_to_no_cluster_is_found(check):
    def next_number(m, inner, outer):
        m.d.comb += [outer.valid.eq(inner.valid), inner.ready.eq(outer.ready)]
        m.d.comb += [outer.p.eq(inner.p), outer.p.number.eq(inner.p.number + ~inner.p.last)]

    result = check(
        lambda: hcu_proofs.ring(
            lambda config: Broken(HCU(config), "assign", next_number),
            tokens=1,
            entries=1,
            cycles=40,
        ),
        depth=42,
    )
    assert not result.holds
    assert "names an open cluster" in result.verdict or "in order" in result.verdict


def test_a_sum_that_takes_signs_a_cycle_early_is_found(check):
    def early(m, inner, outer):
        held = Signal.like(outer)
        m.d.sync += held.eq(outer)
        m.d.comb += inner.eq(held)

    def make(**sizes):
        return Spoiled(AlignedSum(**sizes), "negatives", early)

    result = check(lambda: dpe_proofs.aligned_sum(make), depth=dpe_proofs.SUM_LATENCY + 2)
    assert not result.holds and "given their signs and added" in result.verdict


def test_a_product_whose_second_operand_is_late_is_found(check):
    def late(m, inner, outer):
        held = Signal.like(outer)
        m.d.sync += held.eq(outer)
        m.d.comb += inner.eq(held)

    def make(**sizes):
        return Broken(ShiftedOperands(**sizes), "b", late)

    depth = dpe_proofs.PRODUCT_LATENCY + 2
    result = check(lambda: dpe_proofs.aligned_product(make), depth=depth)
    assert not result.holds and "shifted operands" in result.verdict


def test_a_rounder_that_takes_ties_for_more_is_found(check):
    def sticky(m, inner, outer):
        m.d.comb += inner.eq(outer | 1)

    def make(*sizes):
        return Spoiled(Round(*sizes), "magnitude", sticky)

    result = check(lambda: dpe_proofs.rounding(make_round=make), depth=dpe_proofs.ROUND_LATENCY + 2)
    assert not result.holds and "the nearest float" in result.verdict


def test_bursts_over_a_page_are_found(check):
    wide = dataclasses.replace(
        memory_part_proofs.CONFIG, kvmu=KVMUConfig(bus_bytes=8, address_bits=32)
    )
    result = check(lambda: memory_part_proofs.splitter(lambda: Splitter(wide)), depth=8)
    assert not result.holds and "not over a boundary" in result.verdict


def test_a_write_out_of_its_bounds_is_found(check):
    result = check(
        lambda: memory_part_proofs.chooser(
            lambda: Chooser(memory_part_proofs.CONFIG, 2, bounded=False)
        ),
        depth=4,
    )
    assert not result.holds and "outside or not" in result.verdict


def test_a_vacuous_proof_is_refused(check):
    def never():
        m = stream_proofs.surround(Fork(stream_proofs.JOB))
        rules.given(m, Const(0))
        return m

    result = check(never, depth=8)
    assert not result.holds and "never happens" in result.verdict


def test_nothing_but_the_reset_makes_the_start(check):
    def harness():
        m = Module()
        rules.start(m)
        kept = Signal(4, init=3, reset_less=True)
        m.d.sync += kept.eq(kept)
        rules.always(m, kept == 3, "a register that no reset sets")
        return m

    result = check(harness, depth=3)
    assert not result.holds and "a register that no reset sets" in result.verdict


def test_unknown_names_and_missing_tools_are_one_line(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="unknown proof 'fermat'"):
        vrex_formal.prove(["fermat"], Console(quiet=True))
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    with pytest.raises(UserError, match="pip install"):
        vrex_formal.prove(["fork-holds"], Console(quiet=True))


def test_a_walker_that_reads_the_token_behind_is_found(check):
    def behind(m, inner, outer):
        m.d.comb += [outer.valid.eq(inner.valid), inner.ready.eq(outer.ready)]
        m.d.comb += [outer.p.eq(inner.p), outer.p.token.eq(inner.p.token + 1)]

    result = check(
        lambda: feed_proofs.walker(lambda config: Broken(Walker(config), "piece", behind)), depth=7
    )
    assert not result.holds and "walker" in result.verdict


def test_the_page_lists_every_proof_and_no_other():
    page = (Path(__file__).parents[2] / "docs" / "proofs.md").read_text()
    cells = re.findall(r"^\| (`.*?) \|", page, re.M)
    listed = [name for cell in cells for name in re.findall(r"`(.+?)`", cell)]
    assert sorted(listed) == sorted(runner.PROOFS)
