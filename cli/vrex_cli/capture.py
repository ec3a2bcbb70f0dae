"""`vrex capture`: what a model's layers see, as a trace file."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from vrex import UserError
from vrex.params import MODE_CHANGES
from vrex_cli.options import LONGEST

if TYPE_CHECKING:
    from vrex_eval.capture import Capture


@click.command()
@click.argument("model", type=click.Path(path_type=Path), metavar="MODEL_DIR")
@click.option("--layer", "layers", multiple=True, type=int, help="Layer to capture; repeatable.")
@click.option("--mode", default="recommended", show_default=True, metavar="|".join(MODE_CHANGES))
@click.option(
    "--input",
    "text",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="What a transformers model reads: text, or token ids in a .json file.",
)
@click.option("--chunk", type=click.IntRange(min=1), default=10, show_default=True)
@click.option("--answer", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--context", type=click.IntRange(1, LONGEST), default=2048, show_default=True)
@click.option("--stream", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--lean", is_flag=True, help="Leave out what only query=previous_layer needs.")
@click.option("--device", default="cpu", show_default=True)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), required=True)
def capture(
    model: Path,
    layers: tuple[int, ...],
    mode: str,
    text: Path | None,
    chunk: int,
    answer: int,
    context: int,
    stream: int,
    lean: bool,
    device: str,
    output: Path,
) -> None:
    """Save a trace of MODEL_DIR: a transformers model that reads --input, or our video model.

    A transformers model reads --input in frames of --chunk tokens and then answers --answer
    tokens. The video model watches test stream --stream of --context tokens and is then asked what
    the benchmark asks at the end, one question after the other.
    """
    from resv_ref import files
    from resv_ref import trace as traces
    from vrex import Params
    from vrex_cli.eval import check_device
    from vrex_eval.capture import Capture, to_trace
    from vrex_eval.hf import watch

    params = Params().with_mode(mode)
    files.check_writable(output)
    check_device(device)
    captured = Capture(layers=tuple(dict.fromkeys(layers)) or (0,))
    if not model.is_dir():
        raise UserError(f"{model}: is no folder; give the folder of a model")
    if watch.is_transformers(model):
        if text is None:
            raise UserError("--input is missing: a transformers model needs something to read")
        ids = watch.tokens(model, text)
        watch.watch(watch.load(model, device), ids, captured, chunk=chunk, answer=answer)
    elif text is not None:
        raise UserError(f"{model}: is a video model, which reads no --input; leave it out")
    else:
        _watch_video(model, captured, context, stream, device)
    trace = to_trace(captured, params, lean=lean)
    traces.write(output, trace.tensors(), trace.metadata())
    click.echo(f"wrote {trace.frames} frames of layers {list(captured.layers)} to {output}")


def _watch_video(model: Path, captured: "Capture", context: int, stream: int, device: str) -> None:
    """Let the video model watch a test stream, and answer what is asked after its last frame."""
    import torch

    from vrex_cli.eval import load_benchmarks
    from vrex_eval.watch import answer, rounds

    (benchmark,) = load_benchmarks((model,), None, device)
    batch = benchmark.batch(context, stream, 1)
    watching = benchmark.begin(captured)
    with torch.no_grad():
        for frame in range(batch.frames.shape[1]):
            watching.frame(batch.frames[:, frame])
        for one in rounds(batch):
            if one.frame == batch.frames.shape[1] - 1:
                answer(watching, one)
