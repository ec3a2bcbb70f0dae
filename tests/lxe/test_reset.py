"""A reset in mid-command: whatever the LXE was doing, what follows is as if it had not been."""

import dataclasses

import pytest
import torch

from vrex import Params
from vrex_hw.config import Config
from vrex_sim import ports, runner
from vrex_sim.benches.lxe_traffic import Traffic

ROUNDS = 12
"""Points at which a kind of command is cut off."""
LATEST = 400
"""Cycles from a reset to the latest of them: every lost run takes far longer."""


class Draw:
    """Random traffic; with ``poison`` some numbers are not finite and would show anywhere."""

    def __init__(self, config: Config, seed: int) -> None:
        self.config = config
        self.random = torch.Generator().manual_seed(seed)

    def upto(self, most: int) -> int:
        return 1 + int(torch.randint(most, (), generator=self.random))

    def normal(self, *shape: int, poison: bool = False) -> torch.Tensor:
        numbers = torch.randn(*shape, generator=self.random)
        bad = torch.rand(*shape, generator=self.random) < 0.02 * poison
        return torch.where(bad, torch.nan, numbers).bfloat16()

    def hash(self, sent: Traffic, rows: int, poison: bool = False) -> None:
        planes = self.config.hcu.hyperplanes
        sent.hash(self.normal(rows, 24, poison=poison), self.normal(planes, 24, poison=poison))

    def score(self, sent: Traffic, rows: int, poison: bool = False) -> None:
        clusters = self.upto(30)
        means, counts = self.normal(clusters, 16, poison=poison), torch.arange(clusters) + 1
        score_map = ("exp", "shift_min", "relu")[self.upto(3) - 1]
        queries = self.normal(rows, 16, poison=poison)
        sent.score(queries, means, counts, Params(score_map=score_map))

    def attend(self, sent: Traffic, rows: int, poison: bool = False) -> None:
        tokens = self.upto(20)
        k, v = (self.normal(tokens, 16, poison=poison) for _ in range(2))
        limits = torch.randint(tokens + 1, (rows,), generator=self.random)
        sent.attend(self.normal(rows, 16, poison=poison), k, v, limits)

    def mean(self, sent: Traffic, poison: bool = False) -> None:
        sent.mean(self.normal(self.upto(12), 24, poison=poison))

    def lost(self, kind: str) -> Traffic:
        """Return commands of ``kind``, and means beside them, that take longer than LATEST."""
        sent = Traffic(self.config)
        for _ in range(12):
            getattr(self, kind)(sent, self.config.lxe.rows, poison=True)
            self.mean(sent, poison=True)
        return sent

    def whole(self) -> Traffic:
        """Return a command of each kind, in any order, and two means."""
        sent = Traffic(self.config)
        for index in torch.randperm(3, generator=self.random).tolist():
            (self.hash, self.score, self.attend)[index](sent, self.upto(self.config.lxe.rows))
        for _ in range(2):
            self.mean(sent)
        return sent


@pytest.mark.parametrize("pauses", [0.0, 0.3])
@pytest.mark.parametrize("kind", ["hash", "score", "attend"])
def test_what_follows_a_reset_is_exact(tiny: Config, lxe: str, kind: str, pauses: float) -> None:
    """Cut off at random points, one cycle of reset, and every beat of the next run compared.

    Every stream pauses at random, or none does and all stages are full. An old beat would come
    before the new ones, or be left over.
    """
    draw = Draw(tiny, len(kind) + (pauses > 0))
    cycles = [draw.upto(LATEST) for _ in range(ROUNDS)]
    lost, whole = ([make() for _ in cycles] for make in (lambda: draw.lost(kind), draw.whole))
    arguments = {
        f"{name}_{n}_{key}": value
        for name, runs in (("lost", lost), ("whole", whole))
        for n, sent in enumerate(runs)
        for key, value in sent.arguments().items()
    }
    got = runner.run(
        lxe,
        "lxe",
        "vrex_sim.benches.lxe_reset",
        {
            **arguments,
            "cycles": cycles,
            "ports": [list(dataclasses.astuple(port)) for port in ports.read(lxe, "lxe")],
            "seed": 5,
            "idle": pauses,
            "stall": pauses,
        },
    )
    for n, sent in enumerate(whole):
        sent.check({key.removeprefix(f"{n}_"): value for key, value in got.items()})
        assert got[f"nonfinite_{n}"] == 0, "a sticky bit of before"
    came = [got[f"came_{n}"] for n in range(ROUNDS)]
    assert all(outputs["report"] < len(lost[0].kinds) for outputs in came), "none was cut off"
    assert any(outputs["report"] > 0 for outputs in came), "none was cut off late"
    assert any(outputs["mean"] > 0 for outputs in came)
    assert all(outputs["mean"] < len(lost[0].means) for outputs in came), "no mean was cut off"
