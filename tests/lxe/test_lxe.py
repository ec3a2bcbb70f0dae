"""The LXE over its emitted Verilog against the exact reference, every stream stalling."""

import dataclasses
import math

import pytest
import torch

from vrex import Params
from vrex_hw.config import Config, HCUConfig
from vrex_hw.lxe.layouts import Kind, Layouts
from vrex_sim.benches.lxe_traffic import Traffic
from vrex_sim.packer import Packer

NAN, INF = math.nan, math.inf


def normal(seed: int, *shape: int) -> torch.Tensor:
    """Return normal random BF16 numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).bfloat16()


def causal(past: int, tokens: int, heads: int) -> torch.Tensor:
    """Return the limits of the rows of ``heads`` heads, head by head."""
    return past + 1 + torch.arange(tokens).repeat(heads)


def attend(sent: Traffic, seed: int, past: int, tokens: int, d: int, heads: int = 2) -> None:
    """Attend a frame of ``tokens`` and what came before it."""
    k, v = normal(seed, past + tokens, d), normal(seed + 1, past + tokens, d)
    sent.attend(normal(seed + 2, heads * tokens, d), k, v, causal(past, tokens, heads))


def mixed(config: Config, seed: int, commands: int) -> Traffic:
    """Return commands of all kinds and sizes, and means to take beside them."""
    draw = torch.Generator().manual_seed(seed)

    def upto(most: int) -> int:
        return 1 + int(torch.randint(most, (), generator=draw))

    sent = Traffic(config)
    lxe = config.lxe
    for number in range(commands):
        at, d = 1000 * seed + 10 * number, upto(max(config.head_dims) // 2)
        kind = upto(4)
        if kind == 1:
            sent.hash(normal(at, upto(lxe.rows), d), normal(at + 1, config.hcu.hyperplanes, d))
        elif kind == 2:
            clusters = upto(config.wtu.entries)
            counts = torch.randint(1, 1 << 16, (clusters,), generator=draw)
            params = Params(
                score_map=("exp", "shift_min", "relu")[upto(3) - 1],
                score_temperature=2.0 ** (upto(9) - 5),
            )
            means = normal(at + 1, clusters, d)
            sent.score(normal(at, upto(lxe.rows), d), means, counts, params)
        elif kind == 3:
            attend(sent, at, upto(60) - 1, upto(lxe.rows // 2), d)
        else:
            sent.refused(rows=0)
            sent.mean(normal(at, upto(12), d))
    return sent


def reports(config: Config, got: dict) -> list[dict]:
    """Return the fields of every report."""
    packer = Packer(Layouts(config).report)
    return [packer.unpack(int.from_bytes(beat.tobytes(), "little")) for beat in got["report"]]


@pytest.mark.parametrize("seed", [1, 2])
def test_commands_of_all_kinds(tiny: Config, run, seed: int) -> None:
    """Whatever follows whatever."""
    run(mixed(tiny, seed, 12), seed=seed)


def test_many_commands_in_the_compiled_loop(tiny: Config, run_compiled) -> None:
    """The same, and more of it, without cocotb: with pauses and without."""
    for seed in range(10, 18):
        run_compiled(mixed(tiny, seed, 25), seed=seed, idle=0.4, stall=0.4)
        run_compiled(mixed(tiny, seed, 25), seed=seed, idle=0.0, stall=0.0)


ODD = {
    "two rows a beat": {"load_rows": 2},
    "four rows a beat, a row at a time": {"load_rows": 4, "rows": 2, "score_rows": 1},
    "side 16, wide window": {"side": 16, "window": 30, "load_rows": 2},
}


@pytest.mark.parametrize("name", ODD)
def test_other_sizes(tiny: Config, run_compiled, name: str) -> None:
    """Sizes that no named configuration has; hyperplanes that are no whole number of tiles."""
    lxe = dataclasses.replace(tiny.lxe, **ODD[name])
    planes = HCUConfig(hyperplanes=20, joinable=16, open=64)
    config = dataclasses.replace(tiny, lxe=lxe, hcu=planes)
    for seed in range(3):
        run_compiled(mixed(config, seed, 15), seed=seed, idle=0.3, stall=0.3)


def test_attention_corners(tiny: Config, run) -> None:
    """No token, one token, a frame of one token, rows that see nothing.

    And exponentials that all underflow: of tiles behind the largest score, and of all that came
    before it.
    """
    sent = Traffic(tiny)
    for n in (0, 1, 8, 9, 16):
        limits = torch.tensor([n, 0, min(n, 1), n // 2])
        sent.attend(normal(n, 4, 16), normal(n + 30, n, 16), normal(n + 60, n, 16), limits)
    attend(sent, 7, 0, 1, 8, heads=1)
    attend(sent, 8, 20, 1, 8, heads=1)
    q, k = torch.zeros(2, 16), torch.zeros(24, 16)
    q[:, 0], k[:8, 0] = 40.0, 40.0
    limits = torch.tensor([24, 16])
    for keys in (k, k.flip(0)):
        sent.attend(q.bfloat16(), keys.bfloat16(), normal(9, 24, 16), limits)
    run(sent)


def test_score_corners(tiny: Config, run) -> None:
    """Rows in one batch and in several; no cluster, one, a tile, and all that there is room for."""
    sent = Traffic(tiny)
    for score_map in ("exp", "shift_min", "relu"):
        for rows, clusters in ((1, 1), (10, 20), (5, 64), (4, 0), (3, 8), (12, 9)):
            params = Params(score_map=score_map)
            means, counts = normal(50 + rows, clusters, 16), torch.arange(1, clusters + 1)
            sent.score(normal(rows, rows, 16), means, counts, params)
    run(sent)


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_what_is_not_finite_stays_in_its_rows(tiny: Config, run, value: float) -> None:
    """Of every kind and input: the rows it touches are NaN, the others exact, a flag sticks."""
    sent = Traffic(tiny)
    q, k, v = normal(1, 6, 16), normal(2, 30, 16), normal(3, 30, 16)
    limits = torch.tensor([30, 12, 13, 20, 0, 5])
    for name, row in (("q", 3), ("k", 12), ("v", 19)):
        inputs = {"q": q.clone(), "k": k.clone(), "v": v.clone()}
        inputs[name][row, 5] = value
        sent.attend(**inputs, limits=limits)
    got = run(sent)
    assert got["nonfinite"] == 1 << Kind.ATTEND

    sent = Traffic(tiny)
    keys, planes = normal(4, 6, 16), normal(5, 32, 16)
    keys[2, 3] = value
    sent.hash(keys, planes)
    sent.attend(q, k, v, limits)
    assert run(sent)["nonfinite"] == 1 << Kind.HASH

    sent = Traffic(tiny)
    means = normal(6, 20, 16)
    means[7, 1] = value
    queries = q.clone()
    queries[1, 0] = value
    for score_map in ("exp", "shift_min", "relu"):
        sent.score(queries, means, torch.arange(20) + 1, Params(score_map=score_map))
    assert run(sent)["nonfinite"] == 1 << Kind.SCORE


@pytest.mark.parametrize("element", [7, 11])
def test_each_sticky_bit_is_cleared_alone(tiny: Config, run, element: int) -> None:
    """All kinds and a mean touch a NaN; then ``clear`` takes the bits away one by one.

    The NaN is the last element of a whole chunk, and of one that is not.
    """
    sent = Traffic(tiny)
    x = normal(1, 8, 12)
    x[3, element] = NAN
    sent.hash(x, normal(2, 32, 12))
    sent.score(x, normal(2, 8, 12), torch.arange(8) + 1, Params())
    sent.attend(x, normal(2, 8, 12), normal(3, 8, 12), torch.full((8,), 8))
    sent.mean(x)
    got = run(sent)
    assert got["nonfinite"] == 0b1111
    assert got["cleared"] == [0b1110, 0b1100, 0b1000, 0b0000]


def test_what_fills_a_mean_up_sets_no_bit(tiny: Config, run) -> None:
    """Traffic fills the last chunk up with NaN, which is no element of the mean."""
    sent = Traffic(tiny)
    for dimension in (1, 8, 12):
        sent.mean(normal(dimension, 3, dimension))
    assert run(sent)["nonfinite"] == 0


REFUSED = {
    "no rows": {"rows": 0},
    "too many rows": {"rows": 13},
    "no dimension": {"dimension": 0},
    "a dimension too large": {"dimension": 65},
    "too many clusters": {"kind": Kind.SCORE, "columns": 65},
    "too many hyperplanes": {"columns": 33},
    "an unknown kind": {"kind": 3},
}


def test_commands_that_cannot_be_done(tiny: Config, run) -> None:
    """Each is reported in its turn, takes nothing, and harms nothing."""
    sent = Traffic(tiny)
    wanted = []
    for number, fields in enumerate(REFUSED.values()):
        attend(sent, number, number, 2, 8)
        sent.refused(**fields)
        wanted += [0, 1]
    assert [report["error"] for report in reports(tiny, run(sent))] == wanted


def test_reports_account_for_every_cycle(tiny: Config, run) -> None:
    """A command's cycles are its beats and what it waited for."""
    sent = mixed(tiny, 5, 12)
    for report in reports(tiny, run(sent)):
        reasons = [report[f"no_{what}"] for what in ("matrix", "activation", "output", "result")]
        assert report["cycles"] == report["beats"] + sum(reasons)
        assert report["error"] or report["beats"]


@pytest.mark.parametrize("kind", Kind)
def test_no_bubble_where_rows_hide_the_latency(tiny: Config, run_compiled, kind: Kind) -> None:
    """With rows enough the DPE never waits; a command follows another of its kind at once."""
    lxe = dataclasses.replace(tiny.lxe, rows=64, score_rows=64, load_rows=4)
    config = dataclasses.replace(tiny, lxe=lxe)
    sent = Traffic(config)
    for number in range(3):
        if kind == Kind.HASH:
            sent.hash(normal(number, 64, 16), normal(9, 32, 16))
        elif kind == Kind.SCORE:
            # Four chunks a row: fewer would be done before the rows' weights have left.
            sent.score(normal(number, 64, 32), normal(9, 40, 32), torch.ones(40).int(), Params())
        else:
            attend(sent, number, 200, 32, 16)
    got = run_compiled(sent, idle=0.0, stall=0.0)
    seen = reports(config, got)
    for report in seen[1:]:
        assert report["cycles"] - report["beats"] <= 2, report
