from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from resv_ref import trace as traces
from resv_ref.generator import generate
from resv_ref.trace import Trace
from vrex import Params

EXAMPLE = Path(__file__).parents[2] / "examples" / "video-layer1.safetensors"


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Keep torch to one thread: its threads wait for each other beside other test workers."""
    torch.set_num_threads(1)
    yield


@pytest.fixture(scope="session")
def example() -> Trace:
    return traces.read(EXAMPLE)


@pytest.fixture(scope="session")
def small() -> Trace:
    """A stream with several sealed clusters, frames of one token at its end, NaN as padding."""
    params = Params(recent_window=12, join_window=8, cluster_cap=4, k_min=2, k_max=5, n_sinks=3)
    return generate(20, 5, 4, 2, 16, seed=3, params=params, text_steps=4)
