"""The trace file: what is read back, and that every bad one is refused in one line."""

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from resv_ref import trace as traces
from resv_ref.generator import generate
from resv_ref.trace import Trace
from vrex import MODES, Params, UserError

Tensors = dict[str, Tensor]


@pytest.fixture
def file(small: Trace, tmp_path: Path) -> Path:
    path = tmp_path / "trace.safetensors"
    traces.write(path, small.tensors(), small.metadata())
    return path


def test_read_gives_what_was_written(file: Path, small: Trace) -> None:
    found = traces.read(file)
    assert found.params == small.params
    assert found.tensors().keys() == small.tensors().keys()
    for name, tensor in small.tensors().items():
        same = found.tensors()[name]
        assert same.dtype == tensor.dtype
        assert torch.equal(same.nan_to_num(), tensor.nan_to_num())
    sizes = (found.frames, found.tokens, found.q_heads, found.kv_heads, found.head_dim)
    assert sizes == (20, 5, 4, 2, 16)


def test_the_example_has_frames_then_questions_and_answers(example: Trace) -> None:
    assert example.params == MODES["tight"]
    assert int(example.frame_lengths.sum()) == 2036
    assert example.text_steps.tolist() == [False] * 200 + [True] * 12


def test_what_is_left_out_takes_its_default(small: Trace, tmp_path: Path) -> None:
    """No metadata at all, no frame_lengths, no hyperplanes."""
    path = tmp_path / "bare.safetensors"
    shapes = {"q": (2, 3, 4, 8), "k": (2, 3, 2, 8), "v": (2, 3, 2, 8), "k_hash": (2, 3, 2, 8)}
    save_file({n: torch.ones(s).bfloat16() for n, s in shapes.items()}, path)
    found = traces.read(path)
    assert found.params == Params()
    assert found.frame_lengths.tolist() == [3, 3]
    assert found.frame_lengths.dtype == torch.int32
    assert found.hyperplanes is None
    assert found.text is None and found.text_steps.tolist() == [False, False]


def test_text_steps_are_told_or_those_of_one_token(small: Trace, tmp_path: Path) -> None:
    """Where frames have one token each, none is text unless the file says so."""
    assert small.text is None
    assert small.text_steps.tolist() == [False] * 16 + [True] * 4
    every_other = torch.arange(20) % 2 == 0
    path = tmp_path / "told.safetensors"
    traces.write(path, {**small.tensors(), "text": every_other}, small.metadata())
    found = traces.read(path)
    assert torch.equal(found.text_steps, every_other)
    assert torch.equal(found.frames_from(5).text_steps, every_other[5:])
    assert small.frames_from(14).text_steps.tolist() == [False] * 2 + [True] * 4
    single = generate(6, 1, 4, 2, 16, seed=1, params=small.params)
    assert not single.text_steps.any()
    told = dataclasses.replace(single, text=every_other[:6])
    assert torch.equal(told.text_steps, every_other[:6])


def test_missing_hyperplanes_are_those_of_pcg64_seed_0(small: Trace) -> None:
    rng = np.random.default_rng(0)
    assert type(rng.bit_generator) is np.random.PCG64
    wanted = torch.tensor(rng.standard_normal((32, 16))).bfloat16()
    assert torch.equal(traces.hyperplanes(small), wanted)
    assert torch.equal(traces.draw_hyperplanes(32, 16), wanted)


def test_change_is_applied_before_the_checks(file: Path, small: Trace, tmp_path: Path) -> None:
    tensors = {n: t for n, t in small.tensors().items() if n != "k_hash"}
    path = tmp_path / "no-k-hash.safetensors"
    traces.write(path, tensors, small.metadata())
    with pytest.raises(UserError, match="k_hash is missing"):
        traces.read(path)
    found = traces.read(path, change=lambda p: p.replace(hash_keys="post_rope"))
    assert found.params == small.params.replace(hash_keys="post_rope")


def _poison(name: str, index: tuple[int, ...], value: float) -> Callable[[Tensors], None]:
    def change(tensors: Tensors) -> None:
        tensors[name] = tensors[name].clone()
        tensors[name][index] = value

    return change


def _replace(name: str, make: Callable[[Tensor], Tensor]) -> Callable[[Tensors], None]:
    def change(tensors: Tensors) -> None:
        tensors[name] = make(tensors[name]).contiguous()

    return change


def _add(name: str, tensor: Tensor) -> Callable[[Tensors], None]:
    def change(tensors: Tensors) -> None:
        tensors[name] = tensor

    return change


def _drop(name: str) -> Callable[[Tensors], None]:
    def change(tensors: Tensors) -> None:
        del tensors[name]

    return change


BAD_TENSORS: list[tuple[str, Callable[[Tensors], None], str]] = [
    ("no k", _drop("k"), "tensor k is missing"),
    ("no v", _drop("v"), "tensor v is missing"),
    ("no k_hash", _drop("k_hash"), "tensor k_hash is missing"),
    ("float32 q", _replace("q", torch.Tensor.float), "tensor q has dtype F32; store it as BF16"),
    ("float16 k_hash", _replace("k_hash", torch.Tensor.half), "tensor k_hash has dtype F16"),
    ("int64 lengths", _replace("frame_lengths", torch.Tensor.long), "dtype I64; store it as I32"),
    ("int32 text", _add("text", torch.ones(20).int()), "text has dtype I32; store it as BOOL"),
    (
        "text of other frames",
        _add("text", torch.ones(19).bool()),
        r"text has shape \[19\]; .*\[20\]",
    ),
    ("text of layers", _add("text", torch.ones(2, 20).bool()), r"text has shape \[2, 20\]"),
    ("flat q", _replace("q", lambda t: t.flatten(2)), r"q has shape \[20, 5, 64\]"),
    ("flat k", _replace("k", lambda t: t.flatten(2)), r"k has shape \[20, 5, 32\]"),
    ("no frames", _replace("q", lambda t: t[:0]), r"q has shape \[0, 5, 4, 16\]"),
    ("no heads", _replace("k", lambda t: t[:, :, :0]), r"k has shape \[20, 5, 0, 16\]"),
    ("4 q on 3 kv", _replace("k", lambda t: t[:, :, [0, 0, 1]]), "divisor of the 4 query heads"),
    ("short v", _replace("v", lambda t: t[1:]), r"v has shape \[19, 5, 2, 16\]; it must be \[20"),
    ("narrow k", _replace("k", lambda t: t[..., :8]), r"k has shape \[20, 5, 2, 8\]"),
    ("narrow k_hash", _replace("k_hash", lambda t: t[..., :8]), "k_hash has shape"),
    ("scalar q", _replace("q", lambda t: t.flatten()[0]), r"q has shape \[\]"),
    ("lengths of other frames", _replace("frame_lengths", lambda t: t[1:]), "frame_lengths has"),
    ("length 0", _poison("frame_lengths", (7,), 0), "frame_lengths is 0 at frame 7"),
    ("length 6", _poison("frame_lengths", (2,), 6), "is 6 at frame 2; it must be 1 to 5"),
    ("negative length", _poison("frame_lengths", (1,), -1), "is -1 at frame 1"),
    ("NaN in q", _poison("q", (3, 2, 1, 5), float("nan")), r"q is not finite at \[3, 2, 1, 5\]"),
    ("inf in k", _poison("k", (3, 2, 1, 5), float("inf")), r"k is not finite at \[3, 2, 1, 5\]"),
    ("NaN in v", _poison("v", (19, 0, 1, 0), float("nan")), r"v is not finite at \[19, 0, 1, 0"),
    ("NaN in k_hash", _poison("k_hash", (0, 0, 0, 0), float("nan")), "k_hash is not finite"),
    ("33 planes", _add("hyperplanes", torch.ones(33, 16).bfloat16()), "hyperplanes has shape"),
    ("wide planes", _add("hyperplanes", torch.ones(32, 32).bfloat16()), "hyperplanes has shape"),
    ("float planes", _add("hyperplanes", torch.ones(32, 16)), "hyperplanes has dtype F32"),
    (
        "NaN planes",
        _add("hyperplanes", torch.full((32, 16), float("nan")).bfloat16()),
        r"hyperplanes is not finite at \[0, 0\]",
    ),
    (
        "q_retrieve of other heads",
        _add("q_retrieve", torch.ones(20, 5, 2, 16).bfloat16()),
        "q_retrieve has shape",
    ),
]


@pytest.mark.parametrize(
    ("spoil", "says"), [bad[1:] for bad in BAD_TENSORS], ids=[bad[0] for bad in BAD_TENSORS]
)
def test_bad_tensors_are_refused(
    small: Trace, tmp_path: Path, spoil: Callable[[Tensors], None], says: str
) -> None:
    tensors = small.tensors()
    spoil(tensors)
    path = tmp_path / "bad.safetensors"
    save_file(tensors, path, metadata=small.metadata())
    with pytest.raises(UserError, match=says) as error:
        traces.read(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        ("{", "no JSON"),
        ("[]", "JSON object"),
        ('{"n_hyperplane": 32}', "unknown parameter 'n_hyperplane'"),
        ('{"n_hyperplanes": 0}', "1 to 64"),
        ('{"n_hyperplanes": 65}', "1 to 64"),
        ('{"n_hyperplanes": "32"}', "1 to 64"),
        ('{"wicsum_ratio": NaN}', "from 0 to 1"),
        ('{"k_max": 0}', "1 to 65535"),
        ('{"score_map": "softmax"}', "exp or shift_min"),
        ('{"query": "previous_layer"}', "q_retrieve is missing"),
        ("[" * 100_000, "JSON"),
    ],
)
def test_bad_metadata_is_refused(small: Trace, tmp_path: Path, metadata: str, says: str) -> None:
    path = tmp_path / "bad.safetensors"
    save_file(small.tensors(), path, metadata={"resv": metadata})
    with pytest.raises(UserError, match=says) as error:
        traces.read(path)
    assert str(error.value).startswith(f"{path}: ")


def _header(text: str, body: bytes = b"") -> bytes:
    return len(text).to_bytes(8, "little") + text.encode() + body


HUGE = {"q": {"dtype": "BF16", "shape": [2**40, 2**20], "data_offsets": [0, 2**61]}}
SHORT = {"q": {"dtype": "BF16", "shape": [4, 4], "data_offsets": [0, 32]}}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"short",
        b"no safetensors file at all, but a line of text",
        (2**63).to_bytes(8, "little") + b"{}",
        (2**40).to_bytes(8, "little") + b"{}",
        _header("{"),
        _header(json.dumps(HUGE)),
        _header(json.dumps(SHORT), b"\0" * 31),
        _header(json.dumps({"q": {"dtype": "BF17", "shape": [0], "data_offsets": [0, 0]}})),
        b"\x80\x04cos\nsystem\n(S'true'\ntR.",
    ],
)
def test_what_is_no_safetensors_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    with pytest.raises(UserError, match="not a readable safetensors file") as error:
        traces.read(path)
    assert str(error.value).startswith(f"{path}: ")


@pytest.mark.parametrize("share", [0.0001, 0.01, 0.5, 0.9999])
def test_a_truncated_file_is_refused(file: Path, share: float) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(UserError, match="not a readable safetensors file"):
        traces.read(file)


def test_no_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no such file"):
        traces.read(tmp_path / "none.safetensors")
    with pytest.raises(UserError, match="not a readable safetensors file"):
        traces.read(tmp_path)


def test_write_leaves_one_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "out.safetensors"
    path.write_text("an older run")
    traces.write(path, {"a": torch.arange(6).reshape(2, 3).T}, {"resv": "{}"})
    assert [p.name for p in tmp_path.iterdir()] == ["out.safetensors"]
    path.with_name("other").touch()
    assert path.stat().st_mode == path.with_name("other").stat().st_mode


@pytest.mark.parametrize("place", ["none/out", "file/out", "folder"])
def test_what_cannot_be_written_is_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("not a folder")
    (tmp_path / "folder").mkdir()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match=str(tmp_path / place)):
        traces.write(tmp_path / place, {"a": torch.ones(1)}, {})
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("kind", ["pipe", "link", "dangling link"])
def test_what_is_no_plain_file_is_not_written_over(tmp_path: Path, kind: str) -> None:
    path, target = tmp_path / "out", tmp_path / "target"
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(target)
    if kind == "link":
        target.write_text("somebody's")
    before = path.lstat()
    with pytest.raises(UserError, match="no plain file"):
        traces.write(path, {"a": torch.ones(1)}, {})
    assert path.lstat() == before and (kind != "link" or target.read_text() == "somebody's")


def test_a_write_that_fails_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.safetensors"
    path.write_text("an older run")

    def full(tensors: Tensors, name: Path, metadata: dict[str, str]) -> None:
        Path(name).write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(traces, "save_file", full)
    with pytest.raises(UserError, match="No space left on device"):
        traces.write(path, {"a": torch.ones(1)}, {})
    assert [p.name for p in tmp_path.iterdir()] == ["out.safetensors"]
    assert path.read_text() == "an older run"
