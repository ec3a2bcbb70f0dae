"""A stream watched chunk by chunk through a method is the stream run as a whole."""

import pytest
import torch

from vrex_eval.method import Attended, Stage
from vrex_video.measure import answered
from vrex_video.model import Config, VideoModel
from vrex_video.stream import Split, make_stream
from vrex_video.streaming import StreamingModel


class FullCache:
    """Attends to everything; notes the steps that it sees."""

    def __init__(self, keys=None, values=None, steps=()):
        self.keys, self.values, self.steps = keys, values, list(steps)

    def fork(self):
        return FullCache(self.keys, self.values, self.steps)

    def attend(self, step):
        self.steps.append(step)
        past = 0 if self.keys is None else self.keys.shape[1]
        self.keys = step.k if past == 0 else torch.cat([self.keys, step.k], dim=1)
        self.values = step.v if past == 0 else torch.cat([self.values, step.v], dim=1)
        batch, new, heads, size = step.q.shape
        kv_heads = step.k.shape[2]
        q = step.q.view(batch, new, kv_heads, heads // kv_heads, size)
        scores = torch.einsum("btkgd,bskd->bkgts", q, self.keys) / size**0.5
        hidden = torch.arange(past + new) > past + torch.arange(new)[:, None]
        weights = scores.masked_fill(hidden, float("-inf")).softmax(-1)
        out = torch.einsum("bkgts,bskd->btkgd", weights, self.values).reshape(step.q.shape)
        all_of_it = torch.full((batch, kv_heads), past)
        none = torch.zeros_like(all_of_it)
        return Attended(out=out, past=past, read=all_of_it, fetched=all_of_it, overhead=none)


class Full:
    name = "full"

    def layer(self, index, layers):
        return FullCache()


CONFIG = Config(layers=3, width=32, query_heads=4, kv_heads=2, head_dim=16, hidden=48)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return VideoModel(CONFIG).eval()


@pytest.fixture(scope="module")
def streams():
    return [make_stream(Split.VAL, number, 60, (30, 59), old=5) for number in range(2)]


def test_chunks_are_the_whole(model, streams):
    frames = torch.stack([stream.frames for stream in streams])
    points, length = (30, 59), 5
    text = torch.randint(1, 100, (2, len(points), length))
    with torch.no_grad():
        logits, ends = model(frames, torch.tensor(points).expand(2, -1), text)
    watching = StreamingModel(model, Full())
    for number in range(60):
        hidden = watching.frame(frames[:, number])
        torch.testing.assert_close(hidden[:, -1], ends[:, number], atol=2e-5, rtol=1e-4)
        if number in points:
            place = points.index(number)
            asking = watching.fork()
            first = asking.text(text[:, place, :3])
            rest = torch.cat([first, asking.text(text[:, place, 3:])], dim=1)
            torch.testing.assert_close(rest, logits[:, place], atol=2e-5, rtol=1e-4)
    assert watching.tokens == 600 and len(watching.attended) == CONFIG.layers
    assert watching.attended[0].past == 590


def test_what_a_method_is_given(model, streams):
    watching = StreamingModel(model, Full())
    for number in range(2):
        watching.frame(streams[0].frames[None, number])
    watching.text(torch.tensor([[1, 2]]))
    steps = [cache.steps for cache in watching.caches]
    assert all(layer[0].q_previous is None for layer in steps[:1])
    for layer in steps:
        assert [s.stage for s in layer] == [Stage.FRAME, Stage.FRAME, Stage.TEXT]
        assert layer[0].q.shape == (1, 10, 4, 16) and layer[0].k_plain.shape == (1, 10, 2, 16)
        # Position 0 is not turned; later ones are, and keep their length.
        torch.testing.assert_close(layer[0].k[:, 0], layer[0].k_plain[:, 0])
        assert not torch.allclose(layer[1].k, layer[1].k_plain)
        torch.testing.assert_close(layer[1].k.norm(dim=-1), layer[1].k_plain.norm(dim=-1))
    assert all(s.q_previous.shape == s.q.shape for layer in steps[1:] for s in layer)


def test_a_window_hides_what_is_old(model, streams):
    frames = streams[0].frames[None].clone()
    text = torch.randint(1, 100, (1, 1, 4))
    asked = torch.tensor([[59]])
    with torch.no_grad():
        before, _ = model(frames, asked, text, window=10)
        all_before, _ = model(frames, asked, text)
        frames[:, :40] = 0
        after, _ = model(frames, asked, text, window=10)
        all_after, _ = model(frames, asked, text)
    torch.testing.assert_close(before, after)
    assert not torch.allclose(all_before, all_after)


def test_greedy_answers_are_those_that_are_measured(model, streams):
    stream = streams[0]
    measured = answered(model, [stream])
    watching = StreamingModel(model, Full())
    said = []
    for number, frame in enumerate(stream.frames):
        watching.frame(frame[None])
        for question in (q for q in stream.questions if q.frame == number):
            text = torch.tensor([question.text])
            answer = watching.fork().answer(text, len(question.answer))[0].tolist()
            said.append((question.kind, tuple(answer) == question.answer))
    assert said == measured and said
