"""The softmax against the reference: rows interleaved, with pauses, dead lanes and odd numbers."""

import dataclasses
import functools
import math

import numpy as np
import pytest
import torch

from resv_ref import attention, numerics
from resv_ref.numerics import fp32
from vrex_hw.config import CONFIGS, Config, LXEConfig
from vrex_hw.hierarchy import convert
from vrex_hw.vpe.softmax import Softmax, factor_layout, result_layout, row_layout
from vrex_sim import runner
from vrex_sim.packer import Packer

SIZES = {
    "tiny": CONFIGS["tiny"],
    "side4": Config(lxe=LXEConfig(side=4, rows=60, window=25), wtu=CONFIGS["tiny"].wtu),
}


@functools.cache
def emit(config):
    """Return the unit, which states its latencies, and its Verilog."""
    unit = Softmax(config)
    return unit, convert(unit, "softmax")


def bits(x):
    """Bits of float32 or bfloat16, unsigned."""
    if x.dtype == torch.bfloat16:
        return x.view(torch.int16).numpy().view(np.uint16)
    return x.view(torch.int32).numpy().view(np.uint32)


@dataclasses.dataclass
class Rows:
    """The reference: rows of one command, all of whose rows go through tile after tile."""

    maximum: torch.Tensor
    total: torch.Tensor

    def step(self, z, live, config):
        """Take a tile, z [R, side]; return p, factor and inverse."""
        found = torch.where(live & ~z.isnan(), z, -math.inf).amax(-1)
        before, self.maximum = self.maximum, torch.maximum(self.maximum, found)
        fall = fp32.sub(before, self.maximum)
        factor = torch.where(fall.isnan(), 0.0, numerics.exp2(fall))
        factor = torch.where((before == -math.inf) | (fall == 0), 1.0, factor)
        p = numerics.exp2_bf16(fp32.sub(z, self.maximum[:, None]))
        acc = fp32.mul(self.total, factor)
        ones, side = torch.ones(1, z.shape[-1], dtype=torch.bfloat16), config.side
        self.total = numerics.matmul(
            p, ones, acc[:, None], live, beat=side, window=config.window
        ).squeeze(-1)
        inverse = numerics.reciprocal(self.total)
        return p, factor, torch.where(self.total == 0, 0.0, inverse)


def schedule(rng, tiles, rows, latency, pace):
    """Return the cycle of each row of each tile: in order, a row not before its last result."""
    starts, now = np.zeros((tiles, rows), np.int64), 0
    for tile in range(tiles):
        for row in range(rows):
            now += 1 + (rng.random() < pace) * int(rng.integers(1, 9))
            if tile:
                now = max(now, starts[tile - 1, row] + latency)
            starts[tile, row] = now
    return starts


def simulate(config, z, live, rng, pace):
    """Send z [tiles, rows, side]; return each output's results in the same order."""
    packer, (softmax, text) = Packer(row_layout(config)), emit(config)
    tiles, rows, _ = z.shape
    packed = []
    for tile in range(tiles):
        for row in range(rows):
            beat = {
                "valid": 1, "row": row, "bank": tile % 2, "first": tile == 0,
                "z": bits(z[tile, row]).tolist(),
                "live": sum(int(x) << k for k, x in enumerate(live[tile, row])),
            }  # fmt: skip
            packed.append(packer.pack(beat).to_bytes(-(-packer.width // 8), "little"))
    given = {
        "rows": np.frombuffer(b"".join(packed), np.uint8).reshape(len(packed), -1),
        "starts": schedule(rng, tiles, rows, softmax.latency, pace).ravel(),
        "latencies": {
            "o": softmax.exponentials,
            "factor": softmax.factors,
            "inverse": softmax.latency,
        },
    }
    result = runner.run(text, "softmax", "vrex_sim.benches.softmax", given)
    assert result["strays"] == 0
    shapes = {"o": result_layout, "factor": factor_layout, "inverse": factor_layout}
    for name, shape in shapes.items():
        packer = Packer(shape(config))
        yield [packer.unpack(int.from_bytes(r.tobytes(), "little")) for r in result[name]]


def check(config, z, live, rng, pace=0.3):
    """Compare every field of every result."""
    tiles, rows, _ = z.shape
    results = zip(*simulate(config, z, live, rng, pace), strict=True)
    model = Rows(torch.full((rows,), -math.inf), torch.zeros(rows))
    for tile in range(tiles):
        p, factor, inverse = model.step(z[tile], live[tile], config.lxe)
        for row in range(rows):
            got, got_factor, got_inverse = next(results)
            where, seen = (tile, row), live[tile, row].tolist()
            place = {"valid": 1, "row": row, "bank": tile % 2}
            expected = {
                **place,
                "live": sum(int(x) << k for k, x in enumerate(seen)),
                "p": [int(x) for x, counts in zip(bits(p[row]), seen, strict=True) if counts],
            }
            got["p"] = [x for x, counts in zip(got["p"], seen, strict=True) if counts]
            assert got == expected, where
            assert got_factor == {**place, "number": int(bits(factor)[row])}, where
            assert got_inverse == {**place, "number": int(bits(inverse)[row])}, where


def draw(rng, shape):
    """Scores of many kinds, a kind for each row and tile."""
    tiles, rows, _ = shape
    z = torch.from_numpy(rng.standard_normal(shape).astype(np.float32))
    scales = torch.tensor([0.01, 1, 8, 60, 200, 1e6, 1e38])
    offsets = torch.tensor([0, 0, -3, 40, -300, 1e7])
    z = z * scales[torch.from_numpy(rng.integers(0, 7, (tiles, rows, 1)))]
    z = z + offsets[torch.from_numpy(rng.integers(0, 6, (tiles, rows, 1)))]
    z = torch.where(torch.from_numpy(rng.random((tiles, rows, 1)) < 0.1), z.round(), z)
    odd = torch.tensor([math.nan, 0.0, -0.0, 3e38, -3e38, 0.5, -0.5, -1.0])
    picked = odd[torch.from_numpy(rng.integers(0, 8, shape))]
    often = np.where(rng.random((tiles, rows, 1)) < 0.2, 0.5, 0.01)
    return fp32.canonical(torch.where(torch.from_numpy(rng.random(shape) < often), picked, z))


def draw_live(rng, shape):
    """All, none, one, a prefix or any lanes."""
    tiles, rows, side = shape
    lane = np.arange(side)
    prefix = rng.choice([0, 1, side // 2, side, side, side], (tiles, rows, 1))
    live = lane < prefix
    live |= lane == rng.integers(-9, side, (tiles, rows, 1))
    return torch.from_numpy(live & (rng.random(shape) < rng.choice([0.5, 1, 1], (tiles, rows, 1))))


@pytest.mark.parametrize("size", SIZES)
def test_random_rows(size):
    config = SIZES[size]
    rng = np.random.default_rng(config.lxe.side)
    for shape, pace in (((8, config.lxe.rows), 0.3), ((30, 3), 0.0), ((3, config.lxe.rows), 0.9)):
        shape = (*shape, config.lxe.side)
        check(config, draw(rng, shape), draw_live(rng, shape), rng, pace)


def test_rows_as_attention_has_them():
    config, rng = SIZES["side4"], torch.Generator().manual_seed(3)
    q, k, v = (torch.randn(n, 32, generator=rng).bfloat16() * 3 for n in (60, 30, 30))
    limits = torch.randint(0, 31, (60,), generator=rng)
    k[20, 3] = math.nan
    tiles = list(attention.tiles(q, k, v, limits, beat=4, window=config.lxe.window))[:-1]
    z = torch.stack([tile.scores for tile in tiles])
    live = torch.stack([tile.live for tile in tiles])
    check(config, z, live, np.random.default_rng(4))
    model = Rows(torch.full((60,), -math.inf), torch.zeros(60))
    for tile in tiles:
        p, factor, _ = model.step(tile.scores, tile.live, config.lxe)
        assert torch.equal(factor, tile.factor)
        assert torch.equal(model.total.nan_to_num(-1), tile.total.nan_to_num(-1))
        assert torch.equal(p.float().nan_to_num(-1), tile.p.float().nan_to_num(-1))


CORNERS = {
    "no live lane": ([[1.0, 2.0]] * 2, [[0, 0]] * 2),
    "one live lane": ([[5.0, 900.0]] * 2, [[1, 0]] * 2),
    "all NaN": ([[math.nan, math.nan], [1.0, 2.0]], [[1, 1]] * 2),
    "NaN beside": ([[math.nan, 1.0], [2.0, 3.0]], [[0, 1], [1, 1]]),
    "all underflow": ([[0.0, 1.0], [-500.0, -300.0]], [[1, 1]] * 2),
    "huge": ([[3e38, -3e38], [3e38, 2e38]], [[1, 1]] * 2),
    "rises past float32": ([[-3e38, -3e38], [3e38, 1.0]], [[1, 1]] * 2),
    "rises by 255 and more": ([[-254.0, -256.0], [1.0, 0.0], [512.0, 0.0]], [[1, 1]] * 3),
    "integers": ([[-1.0, -2.0], [-1.0, -1.0], [0.0, -0.0]], [[1, 1]] * 3),
    "minus a half": ([[-0.5, -0.75], [-0.0, -0.5]], [[1, 1]] * 2),
    "tiny": ([[1e-38, 2e-38], [-1e-38, 0.0]], [[1, 1]] * 2),
    "2^23 and more": ([[8388607.5, 8388606.5], [8388609.0, 16777218.0]], [[1, 1]] * 2),
    "empty, then live": ([[7.0, 7.0], [-7.0, 3.0]], [[0, 0], [1, 1]]),
    "live, then empty": ([[-7.0, 3.0], [7.0, 7.0]], [[1, 1], [0, 0]]),
}


@pytest.mark.parametrize("case", CORNERS)
def test_corner(case):
    config, (z, live) = SIZES["tiny"], CORNERS[case]
    z, live = torch.tensor(z)[:, None], torch.tensor(live, dtype=torch.bool)[:, None]
    repeat = config.lxe.side // 2
    check(config, z.repeat(1, 2, repeat), live.repeat(1, 2, repeat), np.random.default_rng(7))
