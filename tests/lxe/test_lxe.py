"""The LXE over its emitted Verilog against the exact reference, every stream stalling."""

import pytest
import torch

from vrex import Params
from vrex_hw.config import Config
from vrex_sim.benches.lxe_traffic import Traffic


def normal(seed: int, *shape: int) -> torch.Tensor:
    """Return normal random BF16 numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).bfloat16()


def causal(past: int, tokens: int, heads: int) -> torch.Tensor:
    """Return the limits of the rows of ``heads`` heads, head by head."""
    return past + 1 + torch.arange(tokens).repeat(heads)


@pytest.mark.parametrize("d", [8, 16, 20])
def test_attention(tiny: Config, run, d: int) -> None:
    """Several commands on end, of one chunk and of several."""
    sent = Traffic(tiny)
    for number, (past, tokens) in enumerate([(0, 1), (30, 5), (7, 4), (8, 3)]):
        n = past + tokens
        k, v = normal(number, n, d), normal(100 + number, n, d)
        sent.attend(normal(200 + number, 2 * tokens, d), k, v, causal(past, tokens, 2))
    run(sent)


def test_hash(tiny: Config, run) -> None:
    """Four tiles of hyperplanes, and a row's bits come together."""
    sent = Traffic(tiny)
    planes = normal(1, 32, 16)
    for number, rows in enumerate((1, 5, 12)):
        sent.hash(normal(10 + number, rows, 16), planes)
    run(sent)


@pytest.mark.parametrize("score_map", ["exp", "shift_min", "relu"])
def test_scores(tiny: Config, run, score_map: str) -> None:
    """Rows in one batch and in several, clusters in one tile and in several."""
    sent = Traffic(tiny)
    params = Params(score_map=score_map, score_temperature=2.0)
    for number, (rows, clusters) in enumerate([(1, 1), (10, 20), (5, 64), (4, 0), (3, 8)]):
        counts = torch.arange(1, clusters + 1)
        sent.score(normal(number, rows, 16), normal(50 + number, clusters, 16), counts, params)
    run(sent)
