"""Several layers in a trace: the outputs are those of the layers, each run by itself."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from resv_ref import layers, run
from resv_ref import trace as traces
from resv_ref.generator import generate
from resv_ref.trace import Trace
from vrex import Params, UserError

PARAMS = Params(recent_window=12, join_window=8, cluster_cap=4, k_min=2, k_max=5, n_sinks=3)
SEEDS = (3, 4, 5)


def of_layer(seed: int, params: Params = PARAMS) -> Trace:
    return generate(16, 5, 4, 2, 16, seed, params, text_steps=4)


def stack(parts: list[Trace]) -> Trace:
    """Return one trace of the layers ``parts``."""
    names = parts[0].tensors().keys() & {"q", "k", "v", "k_hash", "q_retrieve"}
    return dataclasses.replace(
        parts[0], **{name: torch.stack([getattr(part, name) for part in parts]) for name in names}
    )


@pytest.fixture(scope="module")
def three() -> Trace:
    return stack([of_layer(seed) for seed in SEEDS])


@pytest.mark.parametrize(
    ("engine", "changes"),
    [
        ("exact", {}),
        ("float", {}),
        ("float", {"cluster_scope": "per_layer"}),
        ("float", {"attend_recent": False}),
        ("exact", {"query": "previous_layer"}),
    ],
)
def test_outputs_are_those_of_the_layers_run_one_by_one(
    engine: str, changes: dict[str, object]
) -> None:
    parts = [of_layer(seed, PARAMS.replace(**changes)) for seed in SEEDS]
    got, summary = run.run(stack(parts), engine=engine)
    alone = [run.run(part, engine=engine) for part in parts]
    columns = [tensors["counts"].shape[-1] for tensors, _ in alone]
    assert len(set(columns)) > 1, "one layer at least must be padded"
    assert got.keys() == alone[0][0].keys()
    for layer, (tensors, _) in enumerate(alone):
        for name, wanted in tensors.items():
            found = got[name] if name == "hyperplanes" else got[name][layer]
            assert found.dtype == wanted.dtype
            if name in layers.OF_CLUSTERS:
                assert not found[..., columns[layer] :].any()
                found = found[..., : columns[layer]]
            assert torch.equal(found, wanted), name
    assert got["counts"].shape[-1] == max(columns)
    for figure in ("clusters", "fetched_bytes", "representative_bytes"):
        assert summary[figure] == sum(one[figure] for _, one in alone)
    assert summary["tokens"] == alone[0][1]["tokens"]


def test_shapes_have_the_axis_in_front_and_one_layer_keeps_it(three: Trace) -> None:
    assert three.layers == 3
    assert (three.frames, three.tokens, three.q_heads, three.kv_heads, three.head_dim) == (
        *(16, 5, 4, 2, 16),
    )
    single = stack([of_layer(3)])
    got, wanted = run.run(single)[0], run.run(of_layer(3))[0]
    for name, tensor in wanted.items():
        assert torch.equal(got[name], tensor if name == "hyperplanes" else tensor[None]), name


def test_heads_lie_layer_by_layer_in_a_merged_trace(three: Trace) -> None:
    merged = layers.merge(three)
    assert merged.layers is None
    assert (merged.q_heads, merged.kv_heads) == (12, 6)
    for layer in range(3):
        for name, heads in (("q", 4), ("k", 2), ("v", 2), ("k_hash", 2)):
            own = getattr(merged, name)[:, :, layer * heads : (layer + 1) * heads]
            wanted = getattr(three, name)[layer]
            assert torch.equal(own.nan_to_num(), wanted.nan_to_num())
    assert torch.equal(merged.frame_lengths, three.frame_lengths)
    plain = of_layer(3)
    assert layers.merge(plain) is plain


def test_a_merged_trace_runs_to_the_same_outputs_and_summary(three: Trace) -> None:
    """What the hardware relies on."""
    (merged, of_merged), (wanted, summary) = run.run(layers.merge(three)), run.run(three)
    assert of_merged == summary
    for name, tensor in layers.split(merged, 3).items():
        assert torch.equal(tensor, wanted[name]), name
    for name, tensor in layers.join(wanted).items():
        assert torch.equal(tensor, merged[name]), name
    assert layers.split(merged, None) == merged


@pytest.mark.parametrize("told", [False, True])
def test_layers_share_their_text_steps(three: Trace, told: bool) -> None:
    """Merged or one by one, told by the trace or not."""
    text = torch.arange(16) % 3 == 0
    few = three.with_params(PARAMS.replace(text_k_min=1, text_k_max=1))
    trace = dataclasses.replace(few, text=text) if told else few
    wanted = text if told else torch.arange(16) >= 12
    for one in (layers.merge(trace), *layers.each(trace)):
        assert torch.equal(one.text_steps, wanted)
    got, alone = run.run(trace)[0], run.run(three)[0]
    differ = (got["row_selected"] != alone["row_selected"]).flatten(2).any(2)
    assert differ.any(0).any() and not differ[:, ~wanted].any()
    merged = run.run(layers.merge(trace))[0]
    assert torch.equal(layers.split(merged, 3)["row_selected"], got["row_selected"])


def test_split_takes_numpy_and_axes_that_are_missing() -> None:
    cycles = torch.arange(2 * 6 * 3).reshape(2, 6, 3)
    (found,) = layers.split({"weights": cycles.numpy()}, 3).values()
    assert found.shape == (3, 2, 2, 3)
    assert found[2, 1, 0, 1] == cycles[1, 4, 1]


def test_progress_counts_the_frames_of_all_layers(three: Trace) -> None:
    told: list[tuple[int, int]] = []
    run.run(three, engine="float", progress=lambda done, total: told.append((done, total)))
    assert told == [(n + 1, 48) for n in range(48)]


def test_a_file_of_layers_is_read_back(three: Trace, tmp_path: Path) -> None:
    path = tmp_path / "three.safetensors"
    tensors = {n: t.nan_to_num() for n, t in three.tensors().items() if n != "frame_lengths"}
    traces.write(path, tensors, three.metadata())
    found = traces.read(path)
    assert found.layers == 3
    assert found.frame_lengths.tolist() == [5] * 16
    assert torch.equal(found.q, tensors["q"])


def poisoned(tensor: Tensor) -> Tensor:
    tensor = tensor.clone()
    tensor[2, 3, 1, 0, 7] = float("nan")
    return tensor


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"q": lambda t: t[None]}, r"q has shape \[1, 3, 16.*\[L, F, T, Hq, d\] for several"),
        ({"k": lambda t: t[0]}, r"k has shape \[16, 5, 2, 16\]; .* \[3, 16, 5, Hkv, 16\]"),
        ({"v": lambda t: t[:2]}, r"v has shape \[2, 16.*; it must be \[3, 16, 5, 2, 16\]"),
        ({"k_hash": lambda t: t[0]}, r"k_hash has shape .*; it must be \[3, 16, 5, 2, 16\]"),
        ({"q": lambda t: t[:0]}, r"q has shape \[0, 16"),
        ({"v": poisoned}, r"v is not finite at \[2, 3, 1, 0, 7\]"),
    ],
)
def test_layers_that_do_not_fit_are_refused(
    three: Trace, changes: dict[str, Any], says: str
) -> None:
    spoilt = {name: change(getattr(three, name)) for name, change in changes.items()}
    with pytest.raises(UserError, match=says) as error:
        traces.check(dataclasses.replace(three, **spoilt), "file")
    assert str(error.value).startswith("file: ") and "\n" not in str(error.value)


def test_hyperplanes_of_a_whole_layer_are_shared(three: Trace) -> None:
    params = PARAMS.replace(cluster_scope="per_layer")
    planes = traces.draw_hyperplanes(32, 32).flip(0)
    own = dataclasses.replace(three, params=params, hyperplanes=planes)
    traces.check(own)
    got = run.run(own, engine="float")[0]
    assert torch.equal(got["hyperplanes"], planes)
    assert torch.equal(got["cluster"][:, :, :, 0], got["cluster"][:, :, :, 1])
    assert not torch.equal(got["cluster"][0], got["cluster"][1])
