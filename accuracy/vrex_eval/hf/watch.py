"""Let a transformers model in a folder read tokens, and capture what its layers see."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vrex import UserError
from vrex_eval.capture import Capture
from vrex_eval.hf.attach import attach, register


def is_transformers(folder: Path) -> bool:
    """Tell whether a folder holds a transformers model (a ``config.json`` with a type)."""
    try:
        return "model_type" in json.loads((folder / "config.json").read_text())
    except (OSError, ValueError):
        return False


def load(folder: Path, device: str) -> Any:
    """Load a causal model from safetensors in a folder; nothing is fetched, no code is run.

    Raises :class:`~vrex.UserError` if that does not work.
    """
    register()
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    # A command's stderr holds its own error and nothing else.
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype="auto",
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(f"{folder}: is no causal model that transformers loads ({error})") from None
    return model.to(device).eval()


def tokens(folder: Path, text: Path) -> Tensor:
    """Return the token ids of a file, int64 [1, N]: a JSON list of ids, or text to be tokenised.

    Raises :class:`~vrex.UserError` if the file, or a tokenizer for it, is missing.
    """
    try:
        content = text.read_text()
    except (OSError, ValueError) as error:
        raise UserError(f"{text}: cannot be read ({error})") from None
    ids = _ids(text, content) if text.suffix == ".json" else _tokenised(folder, content)
    if not ids:
        raise UserError(f"{text}: holds no tokens")
    return torch.tensor([ids])


def _ids(path: Path, content: str) -> list[int]:
    try:
        ids = json.loads(content)
    except ValueError as error:
        raise UserError(f"{path}: is no JSON ({error}); give a list of token ids") from None
    if not isinstance(ids, list) or any(type(i) is not int or i < 0 for i in ids):
        raise UserError(f"{path}: must be a list of token ids, whole numbers from 0 on")
    return ids


def _tokenised(folder: Path, content: str) -> list[int]:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, ImportError) as error:
        raise UserError(
            f"{folder}: has no tokenizer ({error}); give token ids in a .json file"
        ) from None
    return list(tokenizer(content)["input_ids"])


@torch.no_grad()
def watch(model: Any, ids: Tensor, capture: Capture, *, chunk: int, answer: int) -> None:
    """Let the model read ``ids`` in frames of ``chunk`` tokens, then answer ``answer`` tokens.

    Raises :class:`~vrex.UserError` for an id that the model does not have.
    """
    words = model.get_input_embeddings().num_embeddings
    if int(ids.max()) >= words:
        raise UserError(f"token {int(ids.max())}: the model has tokens 0 to {words - 1}")
    with attach(model, capture, chunk=chunk):
        # The first new token is the prefill's; every further one takes a step.
        count = {"max_new_tokens": answer + 1, "min_new_tokens": answer + 1}
        ids = ids.to(model.device)
        model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, **count)
