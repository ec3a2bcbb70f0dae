"""A small share of ``make soak``, and the soak's model against the reference."""

import numpy as np
import pytest
import torch

from resv_ref.numerics import dot
from vrex_sim import soak

WIDTH = 64
BEATS = 50_000


@pytest.fixture(scope="module")
def program():
    return soak.build(WIDTH, optimise=False)


def test_the_compiled_tree_equals_the_model_which_equals_the_reference(program, tmp_path):
    assert soak.run(program, BEATS, seed=3, dump=tmp_path / "beats").startswith(f"{BEATS} beats")
    beats = soak.read(tmp_path / "beats", WIDTH)
    assert len(beats) == BEATS
    a, b = (torch.from_numpy(beats[x].view(np.int16)).view(torch.bfloat16) for x in "ab")
    acc = torch.from_numpy(beats["acc"].view(np.int32)).view(torch.float32)
    live = beats["live"][:, None] >> np.arange(WIDTH, dtype=np.uint64) & np.uint64(1)
    wanted = dot(a, b, acc, torch.from_numpy(live.astype(bool)), beat=WIDTH)
    assert np.array_equal(wanted.view(torch.int32).numpy().view(np.uint32), beats["out"])
    assert len(np.unique(beats["out"])) > BEATS // 2
