"""Where a run lies in memory: parts that do not overlap, and the jobs of its ring."""

import itertools

import numpy as np
import pytest

from vrex import UserError
from vrex_hw.config import CONFIGS
from vrex_hw.kvmu.layouts import DESCRIPTOR
from vrex_sim.packer import Packer
from vrex_sim.placement import Placement

SIZES = {
    "two layers": {"q_heads": 8, "kv_heads": 4, "layers": 2},
    "one head of one token": {"q_heads": 1, "kv_heads": 1, "frames": 1, "tokens": 1},
    "four chunks": {"q_heads": 6, "kv_heads": 2, "head_dim": 32},
    "half a chunk": {"q_heads": 6, "kv_heads": 3, "head_dim": 4, "hyperplanes": 20},
}


def place(config="tiny", **sizes):
    given = {"frames": 5, "tokens": 3, "head_dim": 16, "hyperplanes": 32, "host_tokens": 15}
    return Placement(config=CONFIGS[config], **{**given, **sizes})


@pytest.fixture(params=SIZES.values(), ids=SIZES.keys())
def placed(request):
    return place(**request.param)


def ring(of, fences, lengths=None, text=None):
    """Return the descriptors of the ring, read back."""
    lengths = np.full(of.frames, of.tokens) if lengths is None else np.array(lengths)
    text = np.zeros(of.frames, bool) if text is None else np.array(text)
    lines = of.ring(lengths, text, fences)
    size = of.regions.job_lines * of.regions.line_bytes
    packer, raw = Packer(DESCRIPTOR), lines.tobytes()
    assert len(raw) == size * of.jobs
    return [
        packer.unpack(int.from_bytes(raw[at : at + size], "little"))
        for at in range(0, len(raw), size)
    ]


def parts(of):
    """Return what is in device memory, as spans of lines."""
    at, keys = of.starts, of.frames * of.tokens * of.kv_heads * of.chunks
    queries = of.frames * of.tokens * of.q_heads * of.chunks
    sizes = {
        **{f"state {h}": (of.state(h), of.regions.state_lines) for h in range(of.kv_heads)},
        "transient": (at["transient"], of.regions.transient_lines),
        "planes": (at["planes"], of.hyperplanes * of.chunks),
        "ring": (at["ring"], of.regions.job_lines << of.ring_log2),
        "statuses": (at["statuses"], 1 << of.ring_log2),
        **{name: (at[name], queries) for name in ("q", "q_score", "out")},
        **{name: (at[name], keys) for name in ("k", "v", "k_hash")},
    }
    return sorted((first, first + count, name) for name, (first, count) in sizes.items())


def test_parts_do_not_overlap(placed):
    spans = parts(placed)
    assert spans[0][0] >= 0
    for (_, end, name), (first, _, after) in itertools.pairwise(spans):
        assert end <= first, (name, after)
    assert spans[-1][1] <= placed.starts["end"]


def test_states_begin_where_a_slot_does(placed):
    for head in range(placed.kv_heads):
        assert placed.state(head) % (1 << placed.regions.slot_bits) == 0


def test_the_ring_holds_all_jobs(placed):
    assert placed.jobs == placed.frames * placed.kv_heads <= 1 << placed.ring_log2
    jobs = ring(placed, fences=False)
    assert [job["id"] for job in jobs] == list(range(placed.jobs))
    assert not any(job["fence"] for job in jobs)


def lines_of(job, name, of):
    """Return the lines that a job's tensor has."""
    queries = name in ("q", "q_score", "out")
    stride, heads = (job["q_stride"], job["group"]) if queries else (job["kv_stride"], 1)
    starts = job[name] + stride * np.arange(job["tokens"])
    return (starts[:, None] + np.arange(heads * of.chunks)).reshape(-1).tolist()


@pytest.mark.parametrize("name", ["q", "q_score", "out", "k", "v", "k_hash"])
def test_jobs_share_a_tensor_out_among_them(placed, name):
    found = [line for job in ring(placed, False) for line in lines_of(job, name, placed)]
    heads = placed.q_heads if name in ("q", "q_score", "out") else placed.kv_heads
    count = placed.frames * placed.tokens * heads * placed.chunks
    assert sorted(found) == list(range(placed.starts[name], placed.starts[name] + count))


def test_a_job_reads_what_the_tensor_has_at_its_frame_and_head():
    of = place(q_heads=8, kv_heads=4, layers=2)
    tensor = np.arange(5 * 3 * 8 * 16, dtype=np.uint16).reshape(5, 3, 8, 16)
    lines = of.lines(tensor)
    job = ring(of, False, lengths=[3, 2, 1, 3, 2])[1 * 4 + 2]
    assert (job["tokens"], job["group"]) == (2, 2)
    own = [line - of.starts["q"] for line in lines_of(job, "q", of)]
    assert np.array_equal(of.tensor(lines[own], 2, 2), tensor[1, :2, 4:6])


def test_heads_have_regions_of_their_own_on_the_host(placed):
    jobs = ring(placed, False)
    size = placed.host_tokens * 2 * placed.chunks
    for job in jobs:
        head = job["id"] % placed.kv_heads
        assert (job["host"], job["host_tokens"]) == (head * size, placed.host_tokens)
        assert job["state"] == placed.state(head)
    assert placed.kv_heads * size <= placed.host_lines


@pytest.mark.parametrize(("layers", "fenced"), [(1, [0]), (2, [0, 3]), (3, [0, 2, 4])])
def test_a_fence_is_where_a_layer_begins(layers, fenced):
    of = place(q_heads=6, kv_heads=6, layers=layers)
    assert of.layer_heads == 6 // layers
    heads = [job["id"] % 6 for job in ring(of, True) if job["fence"]]
    assert heads == fenced * of.frames


def test_jobs_of_a_text_step_say_so():
    of = place(q_heads=4, kv_heads=4, layers=2)
    told = [False, True, True, False, True]
    jobs = ring(of, True, text=told)
    assert [job["text"] for job in jobs] == [text for text in told for _ in range(4)]
    assert of.job(1, 2, 3, fence=False)["text"] == 0


def test_jobs_have_names():
    of = place(q_heads=4, kv_heads=4, layers=2)
    assert [of.name_of(job) for job in (0, 3, 6)] == [
        "frame 0, layer 0, head 0",
        "frame 0, layer 1, head 1",
        "frame 1, layer 1, head 0",
    ]
    assert place(q_heads=4, kv_heads=4).name_of(6) == "frame 1, head 2"
    assert [job for job in range(8) if of.last_of_frame(job)] == [3, 7]


@pytest.mark.parametrize(("d", "chunks"), [(8, 1), (12, 2), (4, 1)])
def test_lines_are_filled_with_zeros(d, chunks):
    of = place(q_heads=1, kv_heads=1, head_dim=d)
    tensor = np.arange(1, 3 * d + 1, dtype=np.uint16).reshape(3, d)
    lines = of.lines(tensor)
    assert lines.shape == (3 * chunks, 16)
    assert not lines.view("<u2").reshape(3, -1)[:, d:].any()
    assert np.array_equal(of.tensor(lines, 3), tensor)


def test_planes_lie_tile_by_tile_chunk_by_chunk():
    of = place(q_heads=1, kv_heads=1, head_dim=16, hyperplanes=12)
    planes = np.arange(12 * 16, dtype=np.uint16).reshape(12, 16)
    order = [
        (row, c) for first in (0, 8) for c in (0, 1) for row in range(first, min(first + 8, 12))
    ]
    found = of.planes(planes).view("<u2")
    assert found.shape == (24, 8)
    for line, (row, c) in zip(found, order, strict=True):
        assert np.array_equal(line, planes[row, 8 * c : 8 * c + 8])


LIMITS = {
    "jobs": ({"frames": 8192, "kv_heads": 4, "q_heads": 4}, {"frames": 8193}),
    "rows of a job": ({"tokens": 13107, "q_heads": 5, "kv_heads": 1}, {"tokens": 13108}),
    "lines of a token's queries": (
        {"q_heads": 8191, "kv_heads": 8191, "head_dim": 64, "frames": 1},
        {"q_heads": 8192, "kv_heads": 8192},
    ),
    "lines of device memory": (
        {"q_heads": 4, "kv_heads": 1, "head_dim": 64, "frames": 20_000, "tokens": 111},
        {"tokens": 112},
    ),
    "lines of the host": (
        {"q_heads": 1, "kv_heads": 1, "head_dim": 64, "host_tokens": 1 << 28},
        {"host_tokens": (1 << 28) + 1},
    ),
}


@pytest.mark.parametrize("what", LIMITS)
def test_a_run_that_the_core_cannot_be_told_is_refused(what):
    """At each limit it is taken, beyond it the message names it."""
    fits, beyond = LIMITS[what]
    place(**fits).check()
    with pytest.raises(UserError, match=f"configuration tiny: {what}.* is .*: the core takes "):
        place(**{**fits, **beyond}).check()
