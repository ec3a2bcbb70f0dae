from collections.abc import Callable, Iterator

import pytest
import torch

from resv_ref.generator import generate
from vrex import Params
from vrex_eval.method import Attended, LayerCache, Stage, Step


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Keep torch to one thread: its threads wait for each other beside other test workers."""
    torch.set_num_threads(1)
    yield


@pytest.fixture(scope="session")
def steps() -> list[Step]:
    """Two streams of 30 frames of 5 tokens and 6 text tokens; 4 query and 2 KV heads, d = 16."""
    params = Params(query="previous_layer")
    traces = [generate(36, 5, 4, 2, 16, seed=seed, params=params, text_steps=6) for seed in (1, 2)]
    made = []
    for f in range(36):
        live = int(traces[0].frame_lengths[f])

        def both(name: str, f: int = f, live: int = live) -> torch.Tensor:
            return torch.stack([getattr(t, name)[f, :live] for t in traces]).float()

        q, k = both("q"), both("k")
        made.append(
            Step(
                q=q,
                k=k,
                v=both("v"),
                q_plain=q.flip(-1),
                k_plain=both("k_hash"),
                stage=Stage.FRAME if live == 5 else Stage.TEXT,
                q_previous=both("q_retrieve"),
            )
        )
    return made


@pytest.fixture
def run() -> Callable[[LayerCache, list[Step]], list[Attended]]:
    return lambda cache, steps: [cache.attend(step) for step in steps]
