"""A model's folder: weights as safetensors, with its sizes and seed in the metadata."""

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from vrex.errors import UserError
from vrex_video.model import Config, VideoModel

FILE = "weights.safetensors"


def save(model: VideoModel, folder: Path, **about: Any) -> Path:
    """Write the weights in bfloat16, and config and ``about`` as JSON in their metadata."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        name: value.detach().to("cpu", torch.bfloat16).contiguous()
        for name, value in model.state_dict().items()
    }
    meta = {"config": json.dumps(asdict(model.config)), "about": json.dumps(about)}
    save_file(tensors, folder / FILE, metadata=meta)
    return folder / FILE


def load(
    folder: Path, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> tuple[VideoModel, dict[str, Any]]:
    """Return a model in evaluation mode, and what ``save`` was told about it.

    ``UserError`` where the folder has no such file, or the file is not one that ``save`` writes.
    """
    path = folder / FILE
    if not path.is_file():
        raise UserError(f"no {FILE} in {folder}: name a folder that vrex_video.train wrote")
    try:
        with safe_open(path, framework="pt") as file:
            meta = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise UserError(f"{path} is not a safetensors file ({error}): train it again") from error
    model = VideoModel(_config(meta.get("config"), path))
    expected = model.state_dict()
    for name, value in expected.items():
        if name not in tensors:
            raise UserError(f"{path} has no tensor {name}: it is not a model of this package")
        if tensors[name].shape != value.shape:
            found, wanted = list(tensors[name].shape), list(value.shape)
            raise UserError(f"{path}: {name} is {found}, its config says {wanted}: train it again")
        if not tensors[name].isfinite().all():
            raise UserError(f"{path}: {name} has values that are not finite: train it again")
    extra = sorted(tensors.keys() - expected.keys())
    if extra:
        raise UserError(f"{path} has a tensor {extra[0]} that no model of this package has")
    model.load_state_dict(tensors)
    try:
        about = json.loads(meta.get("about", "{}"))
    except json.JSONDecodeError as error:
        raise UserError(
            f"{path}: metadata 'about' is not JSON ({error}): train it again"
        ) from error
    return model.to(device, dtype).eval(), about


def _config(text: str | None, path: Path) -> Config:
    if text is None:
        raise UserError(f"{path} has no 'config' in its metadata: name what vrex_video.train wrote")
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(
            f"{path}: metadata 'config' is not JSON ({error}): train it again"
        ) from error
    names = {field.name for field in fields(Config)}
    if not isinstance(values, dict) or set(values) != names:
        raise UserError(f"{path}: metadata 'config' must have just {', '.join(sorted(names))}")
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e7:
            raise UserError(f"{path}: config {name} = {value!r} is not a positive number")
        if name != "theta" and not isinstance(value, int):
            raise UserError(f"{path}: config {name} = {value!r} is not a whole number")
    config = Config(**values)
    if config.query_heads % config.kv_heads or config.head_dim % 2:
        raise UserError(f"{path}: config needs kv_heads that divide query_heads, an even head_dim")
    return config
