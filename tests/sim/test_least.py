"""The least cycles of the DPE, counted by hand: chunks of 8, 12 rows a command, 4 a batch."""

import dataclasses

import pytest
import torch

from resv_ref import generator
from vrex import Params
from vrex_hw.config import CONFIGS
from vrex_sim.least import least_cycles

TINY = CONFIGS["tiny"]
PARAMS = Params(n_sinks=3)
WIDE = dataclasses.replace(TINY, lxe=dataclasses.replace(TINY.lxe, load_rows=4))


def least(config, sealed, left_out, stored=0, tokens=4, text_steps=0, kv_heads=1):
    """Two frames of 4 query heads a KV head, d = 16: two chunks."""
    heads = 4 * kv_heads
    trace = generator.generate(2, tokens, heads, kv_heads, 16, 1, PARAMS, text_steps=text_steps)
    counts = torch.zeros(2, kv_heads, 20, dtype=torch.int32)
    selected = torch.ones(2, kv_heads, 20, dtype=torch.bool)
    counts[1, :, 4], selected[1, :, 4] = left_out, False
    of_heads = torch.tensor(sealed, dtype=torch.int32)[:, None].expand(2, kv_heads)
    tensors = {"sealed": of_heads, "counts": counts, "selected": selected}
    return least_cycles(config, trace, PARAMS, tensors, stored)


def test_the_matrix_has_to_be_loaded_for_every_batch():
    """16 rows are commands of 12 and 4: four batches of scores, two matrices of attention."""
    assert least(TINY, [0, 10], left_out=2) == {
        # A key of the first frame is no sink, then 4 are: 32 planes loaded, 4 tiles a key.
        "hash": 2 * (max(32, 1 * 4) + max(32, 4 * 4)),
        # Nothing is sealed, then 10 means are loaded 4 times; 16 rows by 2 tiles.
        "score": 2 * (0 + max(4 * 10, 16 * 2)),
        # Keys and values of 4 tokens, then of 4 + 4 - 2, loaded twice; 16 rows by a tile.
        "attend": 2 * 2 * (max(2 * 4, 16) + max(2 * 6, 16)),
    }


def test_a_wide_port_loads_sooner():
    found = least(WIDE, [0, 10], left_out=2)
    assert found["hash"] == 2 * (max(8, 4) + max(8, 16))
    assert found["score"] == 2 * max(4 * 3, 16 * 2)


def test_what_was_stored_before_is_attended_and_leaves_no_sinks():
    found = least(TINY, [9, 9], left_out=7, stored=100)
    assert found["hash"] == 2 * 2 * 32
    assert found["score"] == 2 * 2 * max(4 * 9, 16 * 2)
    assert found["attend"] == 2 * 2 * (max(2 * 104, 16 * 13) + max(2 * 101, 16 * 13))


def test_a_text_step_is_a_frame_of_one_token():
    """4 rows: one command, one batch."""
    found = least(TINY, [0, 10], left_out=0, text_steps=1)
    assert found["score"] == 2 * max(10, 4 * 2)
    assert found["attend"] == 2 * 2 * (16 + max(5, 4))


@pytest.mark.parametrize("heads", [2, 3])
def test_heads_add_up(heads):
    one, many = least(TINY, [0, 10], 2), least(TINY, [0, 10], 2, kv_heads=heads)
    assert many == {kind: heads * cycles for kind, cycles in one.items()}


def test_a_frame_of_sinks_hashes_nothing():
    assert least(TINY, [0, 0], left_out=0, tokens=1)["hash"] == 0
