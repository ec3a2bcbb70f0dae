"""Stand-ins in a stream: against a plain definition in float64, in their order, their means, and
what they need.
"""

import dataclasses
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from resv_ref import run
from resv_ref import trace as traces
from resv_ref.attention import light_attention, softmax_attention
from resv_ref.generator import generate
from resv_ref.retrieval import ENGINES, ReSV
from resv_ref.trace import Trace
from vrex import Params

CLOSE = {"float": 1e-5, "exact": 0.01}
"""The most that an element may be off, beside its rounding to BF16. Measured: none and 0.003."""
FEW = Params(recent_window=12, join_window=8, cluster_cap=4, n_sinks=3, k_min=1, k_max=1)
ON = FEW.replace(estimate=True)


@dataclasses.dataclass
class Columns:
    """What a row attends: in order, with how many tokens each stands for."""

    keys: Tensor
    values: Tensor
    counts: Tensor
    stand: list[int]


class Head:
    """A KV head of a stream, as a run's tensors tell of it."""

    def __init__(self, trace: Trace, tensors: dict[str, Tensor], head: int) -> None:
        live = traces.live(trace)
        self.keys, self.values = trace.k[live][:, head], trace.v[live][:, head]
        self.cluster = tensors["cluster"][live][:, head]
        self.starts = [0, *trace.frame_lengths.cumsum(0).tolist()]
        self.sealed, self.selected = tensors["sealed"][:, head], tensors["selected"][:, head]

    def members(self, number: int, end: int) -> list[int]:
        return (self.cluster[:end] == number).nonzero()[:, 0].tolist()

    def columns(self, frame: int, token: int) -> Columns:
        start, sealed = self.starts[frame], int(self.sealed[frame])
        stand = [n for n in range(sealed) if not self.selected[frame, n]]
        chosen = [n for n in range(sealed) if self.selected[frame, n]]
        opened = range(sealed, int(self.cluster.max()) + 1)
        sinks = self.members(-1, start)
        later = [t for n in (*chosen, *opened) for t in self.members(n, start)]
        later += range(start, start + token + 1)
        groups = [self.members(n, start) for n in stand]
        counts = [1] * len(sinks) + [len(group) for group in groups] + [1] * len(later)
        keys, values = (
            torch.cat([x[sinks], *(mean(x[group])[None] for group in groups), x[later]])
            for x in (self.keys, self.values)
        )
        return Columns(keys, values, torch.tensor(counts), stand)


def mean(vectors: Tensor) -> Tensor:
    """In float32, in the order of arrival: no subnormal is near."""
    total = torch.zeros(vectors.shape[1])
    for vector in vectors.float():
        total = total + vector
    return (total / len(vectors)).bfloat16()


def defined(q: Tensor, columns: Columns) -> Tensor:
    """Attention of one query in float64: a mean has the weight of its cluster's tokens."""
    logits = columns.keys.double() @ q.double() / math.sqrt(len(q))
    weights = columns.counts * torch.exp(logits - logits.max())
    return weights @ columns.values.double() / weights.sum()


def check(trace: Trace, engine: str, rows: int = 200) -> int:
    """Compare ``rows`` rows of a run, spread over it, with the definition; return its stand-ins."""
    tensors = run.run(trace, engine=engine)[0]
    heads = [Head(trace, tensors, head) for head in range(trace.kv_heads)]
    live = traces.live(trace).nonzero().tolist()
    places = [(f, t, h) for f, t in live for h in range(trace.q_heads)]
    stood = 0
    for f, t, h in places[:: max(1, len(places) // rows)]:
        columns = heads[h * trace.kv_heads // trace.q_heads].columns(f, t)
        wanted = defined(trace.q[f, t, h], columns)
        error = (tensors["attn_out"][f, t, h].double() - wanted).abs()
        assert bool((error <= wanted.abs() / 256 + CLOSE[engine]).all()), float(error.max())
        stood += len(columns.stand)
    return stood


@pytest.mark.parametrize("engine", ENGINES)
def test_attention_is_that_of_the_definition(small: Trace, engine: str) -> None:
    assert check(small.with_params(ON), engine) > 500


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(1, 6),
    st.integers(1, 20),
    st.integers(1, 6),
    st.integers(0, 5),
    st.integers(1, 3),
    st.sampled_from(ENGINES),
)
def test_attention_is_that_of_the_definition_in_any_stream(
    seed: int, tokens: int, recent: int, cap: int, sinks: int, floor: int, engine: str
) -> None:
    params = Params(
        recent_window=recent,
        cluster_cap=cap,
        n_sinks=sinks,
        k_min=floor,
        k_max=floor,
        estimate=True,
    )
    check(generate(10, tokens, 2, 1, 16, seed, params, text_steps=2), engine, rows=30)


@pytest.mark.parametrize("engine", ENGINES)
def test_stand_ins_come_after_the_sinks_in_ascending_order(small: Trace, engine: str) -> None:
    """Bit for bit, with tiles so small and a window so narrow that the order shows."""
    trace, sizes = small.with_params(ON), {"beat": 4, "window": 10}
    tensors = run.run(trace, engine=engine, **sizes)[0]
    heads = [Head(trace, tensors, head) for head in range(2)]
    resv, stood = ReSV(ON, engine=engine, **sizes), 0
    for f in range(trace.frames):
        frame = run.frame(trace, f)
        one = resv.step(**frame)
        token = len(frame["q"]) - 1
        for h in (0, 3):
            columns = heads[h // 2].columns(f, token)
            assert one.stand[h // 2].tolist() == columns.stand
            limits, q = torch.tensor([len(columns.counts)]), frame["q"][token, h][None]
            given = q, columns.keys, columns.values, limits, columns.counts
            assert one.attention is not None
            if engine == "exact":
                wanted = light_attention(*given, **sizes)
                assert torch.equal(one.attention[token, h], wanted[0])
            else:
                wanted = softmax_attention(*given)
                assert torch.allclose(one.attention[token, h].float(), wanted[0].float(), rtol=0.01)
            stood += len(columns.stand)
    assert stood > 100


@pytest.mark.parametrize("engine", ENGINES)
def test_nothing_but_attention_depends_on_it(small: Trace, engine: str) -> None:
    with_it = run.run(small.with_params(ON), engine=engine)[0]
    without = run.run(small.with_params(FEW), engine=engine)[0]
    for name, tensor in without.items():
        assert tensor.dtype == with_it[name].dtype
        assert torch.equal(tensor, with_it[name]) == (name != "attn_out")
    resv = ReSV(FEW, engine=engine)
    for f in range(small.frames):
        assert [s.tolist() for s in resv.step(**run.frame(small, f)).stand] == [[], []]


@pytest.mark.parametrize("engine", ENGINES)
def test_where_every_cluster_is_selected_nothing_stands(small: Trace, engine: str) -> None:
    every = FEW.replace(k_min=99, k_max=None)
    with_it = run.run(small.with_params(every.replace(estimate=True)), engine=engine)
    without = run.run(small.with_params(every), engine=engine)
    assert torch.equal(with_it[0]["attn_out"], without[0]["attn_out"])
    assert with_it[1]["stand_ins_per_frame"] == 0


def test_the_summary_counts_stand_ins_and_their_values(small: Trace) -> None:
    with_it = run.run(small.with_params(ON))[1]
    without = run.run(small.with_params(FEW))[1]
    resv, stood = ReSV(ON), 0
    for f in range(small.frames):
        stood += sum(len(some) for some in resv.step(**run.frame(small, f)).stand)
    assert with_it["stand_ins_per_frame"] == stood / (20 * 2) > 1
    assert without["stand_ins_per_frame"] == 0
    more = with_it["representative_bytes"] - without["representative_bytes"]
    assert more == stood * 16 * 2
    for name in ("attended_per_row", "retrieved", "fetched_bytes"):
        assert with_it[name] == without[name]


@pytest.mark.parametrize("engine", ENGINES)
def test_layers_stand_apart(small: Trace, engine: str) -> None:
    other = generate(20, 5, 4, 2, 16, seed=4, params=ON, text_steps=4)
    both = dataclasses.replace(
        other,
        **{
            n: torch.stack([getattr(small, n), getattr(other, n)])
            for n in ("q", "k", "v", "k_hash")
        },
    )
    tensors, summary = run.run(both, engine=engine)
    alone = [run.run(trace.with_params(ON), engine=engine) for trace in (small, other)]
    for layer, (wanted, _) in enumerate(alone):
        assert torch.equal(tensors["attn_out"][layer], wanted["attn_out"])
    of_layers = [told["stand_ins_per_frame"] for _, told in alone]
    assert summary["stand_ins_per_frame"] == sum(of_layers) / 2


@pytest.mark.parametrize("engine", ENGINES)
def test_a_mean_that_is_not_finite_is_like_a_token_that_is_not(small: Trace, engine: str) -> None:
    """Of keys: it has no weight, so it stands and makes the rows NaN; of values: its element."""
    wanted = run.run(small.with_params(ON), engine=engine)[0]
    head = Head(small, wanted, 0)
    token = head.members(0, 20)[0]
    frame, place = token // 5, token % 5
    for name in ("k", "v"):
        spoilt = getattr(small, name).clone()
        spoilt[frame, place, 0, 7] = math.inf
        resv = ReSV(ON, engine=engine)
        trace = dataclasses.replace(small, params=ON, **{name: spoilt})
        stood = 0
        for f in range(20):
            one = resv.step(**run.frame(trace, f))
            assert one.attention is not None
            if 0 in one.stand[0].tolist():
                stood += 1
                nan = one.attention[:, :2].isnan()
                assert bool(nan[..., 7].all())
                assert bool(nan.all()) == (name == "k")
            assert not one.attention[:, 2:].isnan().any()
        assert stood > 3


@pytest.mark.parametrize("engine", ENGINES)
def test_values_are_needed_in_every_frame(small: Trace, engine: str) -> None:
    spoilt, wanted = ReSV(ON, engine=engine), ReSV(ON, engine=engine)
    for f in range(12):
        frame = run.frame(small, f)
        with pytest.raises(ValueError, match=r"^v is missing: .* estimate is True$"):
            spoilt.step(**{**frame, "v": None})
        with pytest.raises(ValueError, match=r"^v is missing: .* estimate is True$"):
            spoilt.store(frame["k"], None, frame["k_hash"], q_heads=4)
        if f % 2:
            for resv in (spoilt, wanted):
                resv.store(frame["k"], frame["v"], frame["k_hash"], q_heads=4)
            continue
        one, other = spoilt.step(**frame), wanted.step(**frame)
        assert one.attention is not None and other.attention is not None
        assert torch.equal(one.attention, other.attention)
        stepped = run.run(small.with_params(ON), engine=engine)[0]["attn_out"]
        assert torch.equal(one.attention, stepped[f])


@pytest.mark.parametrize("engine", ENGINES)
def test_bits_of_the_mean_and_text_steps_go_with_it(small: Trace, engine: str) -> None:
    params = ON.replace(text_k_min=2, text_k_max=3)
    if engine == "float":
        params = params.replace(cluster_bits="mean")
    assert check(small.with_params(params), engine) > 100


@pytest.mark.parametrize("engine", ENGINES)
def test_a_models_attention_is_nearer_to_full(example: Trace, engine: str) -> None:
    """The first frames of the shipped trace, with windows so short that clusters are sealed."""
    given = {n: x if n == "hyperplanes" else x[:40] for n, x in example.tensors().items()}
    params = example.params.replace(recent_window=64, join_window=64, k_min=1, k_max=2)
    trace = dataclasses.replace(example, params=params, **given)
    live = traces.live(trace)

    def out(**changes: object) -> Tensor:
        tensors = run.run(trace, params.replace(**changes), engine)[0]
        return tensors["attn_out"][live].float()

    full = out(recent_window=100_000)
    far, near = ((out(estimate=on) - full).norm() / full.norm() for on in (False, True))
    assert far > 0.015
    assert near < 0.7 * far
