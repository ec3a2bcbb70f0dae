"""The generator: seeded, temporally correlated, with cuts and returns, RoPE and GQA."""

import pytest
import torch
from torch.nn.functional import cosine_similarity

from resv_ref import generator, run
from resv_ref import trace as traces
from vrex import Params


def test_the_same_seed_gives_the_same_stream() -> None:
    one, same, other = (generator.generate(6, 4, 4, 2, 8, seed=s) for s in (1, 1, 2))
    for name, tensor in one.tensors().items():
        assert torch.equal(tensor, same.tensors()[name])
    assert not torch.equal(one.q, other.q)


def test_a_stream_passes_every_check() -> None:
    for query in ("same_layer", "previous_layer"):
        params = Params(query=query, n_hyperplanes=7)
        trace = generator.generate(9, 4, 6, 3, 10, seed=0, params=params, text_steps=2)
        traces.check(trace)
        assert trace.frame_lengths.tolist() == [4] * 7 + [1] * 2
        assert bool(trace.q[8, 1:].isnan().all())
        assert (trace.q_retrieve is not None) == (query == "previous_layer")


def test_patches_resemble_themselves_and_cuts_break_that() -> None:
    k = generator.generate(300, 4, 2, 1, 64, seed=4).k_hash.float()
    k = k - k.mean((0, 1))
    next_frame = cosine_similarity(k[1:], k[:-1], dim=-1).mean(1).flatten()
    cuts = int((next_frame < 0.4).sum())
    assert 15 <= cuts <= 45
    assert next_frame[next_frame > 0.4].mean() > 0.7
    frames = k.flatten(1)
    long_ago = cosine_similarity(frames[150:, None], frames[None, :100], dim=-1).amax(1)
    assert 0.1 < (long_ago > 0.6).float().mean() < 0.99


def test_keys_are_rotated_by_their_position() -> None:
    """The dot product of two rotated keys depends on their distance; their length does not."""
    trace = generator.generate(5, 3, 2, 1, 16, seed=1)
    k, before = trace.k.float(), trace.k_hash.float()
    assert torch.equal(k[0, 0], before[0, 0])
    assert not torch.equal(k[0, 1], before[0, 1])
    assert torch.allclose(k.norm(dim=-1), before.norm(dim=-1), rtol=0.01)
    position, half = 7, 8
    angle = position * generator.ROPE_THETA ** (-torch.arange(half) / half)
    first, second = before[2, 1, 0, :half], before[2, 1, 0, half:]
    wanted = first * angle.cos() - second * angle.sin()
    assert torch.allclose(k[2, 1, 0, :half], wanted, atol=0.05)


def test_a_stream_is_worth_retrieving_from() -> None:
    """Near the shipped trace: several tokens a cluster, about half of the tokens retrieved."""
    trace = generator.generate(120, 10, 8, 2, 64, seed=1)
    _, summary = run.run(trace, engine="float")
    assert 4 < summary["tokens_per_cluster"] < 32
    assert 0.2 < summary["retrieved"] < 0.8


@pytest.mark.parametrize("deviation", [0.7, 1.5, 3.0])
def test_rows_are_16_bit_weights_of_normal_scores(deviation: float) -> None:
    weights, counts = generator.rows(1024, 8, seed=0, logit_deviation=deviation)
    assert weights.shape == counts.shape == (8, 1024)
    assert weights.dtype == counts.dtype == torch.int64
    assert bool((weights.amax(1) == 65535).all()) and int(weights.min()) >= 0
    assert int(counts.min()) == 1 and int(counts.max()) == 32
    upper = weights.double().quantile(torch.tensor([0.5, 0.8413]).double(), dim=1).log()
    assert 0.85 * deviation < float((upper[1] - upper[0]).mean()) < 1.15 * deviation
    again = generator.rows(1024, 8, seed=0, logit_deviation=deviation)
    assert torch.equal(again[0], weights) and torch.equal(again[1], counts)


@pytest.mark.parametrize(
    ("sizes", "says"),
    [
        ((0, 4, 4, 2, 8), "frames is 0"),
        ((6, 0, 4, 2, 8), "tokens is 0"),
        ((6, 4, 4, 3, 8), "kv_heads 3 must divide q_heads 4"),
        ((6, 4, 4, 2, 7), "head_dim 7 be even"),
    ],
)
def test_sizes_that_cannot_be_are_refused(sizes: tuple[int, ...], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        generator.generate(*sizes, seed=0)
    with pytest.raises(ValueError, match="n_rows is 0"):
        generator.rows(5, 0, seed=0)
