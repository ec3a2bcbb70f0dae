"""Streams: the same every time, another in every split, and refused where they cannot be."""

import pytest
import torch

from vrex import UserError
from vrex_video.render import SIDE, SPRITES, render
from vrex_video.stream import Split, ask_points, gather, make_scene, make_stream
from vrex_video.vocabulary import QUESTION_LENGTH, Kind


def test_the_same_stream_twice():
    one, two = (make_stream(Split.VAL, 3, 100, (60, 99)) for _ in range(2))
    assert one.frames.shape == (100, 3, SIDE, SIDE) and one.frames.dtype == torch.uint8
    assert torch.equal(one.frames, two.frames)
    assert one.questions == two.questions and one.questions
    assert one.script == two.script


def test_splits_seeds_and_numbers_differ():
    scripts = {
        make_scene(split, seed, number, 200)[0]
        for split in Split
        for seed in range(3)
        for number in range(20)
    }
    assert len(scripts) == 3 * 3 * 20


def test_frames_show_what_the_script_says():
    script, layout = make_scene(Split.TEST, 0, 1, 120)
    scenes = [script.segment_at(frame).scene for frame in range(120)]
    assert layout.camera[:, 0].tolist() == scenes
    assert layout.sprites.shape == (120, SPRITES, 4)
    with_object = {frame for frame in range(120) if layout.sprites[frame, -1, 0] >= 0}
    told = {frame for flash in script.flashes for frame in range(flash.start, flash.last + 1)}
    assert with_object == told


def test_frames_alone_are_frames_together():
    _, layout = make_scene(Split.TEST, 0, 2, 60)
    camera, sprites = torch.from_numpy(layout.camera), torch.from_numpy(layout.sprites)
    whole = render(camera, sprites)
    assert torch.equal(render(camera[7:8], sprites[7:8]), whole[7:8])
    assert torch.equal(
        render(camera.view(2, 30, -1), sprites.view(2, 30, SPRITES, 4))[1], whole[30:]
    )


def test_gather_pads_where_nothing_is_asked():
    streams = [make_stream(Split.VAL, number, 410, ask_points(410, 2)) for number in range(6)]
    text, asked = gather(streams, 409, Kind.NEXT)
    assert text.shape == (6, QUESTION_LENGTH)
    for row, question in zip(text.tolist(), asked, strict=True):
        assert tuple(row) == (question.text if question else (0,) * QUESTION_LENGTH)


def test_points_are_in_the_last_quarter():
    assert ask_points(400, 4) == (324, 349, 374, 399)


@pytest.mark.parametrize(
    "arguments", [(Split.VAL, 0, 20, ()), (Split.VAL, -1, 100, ()), (Split.VAL, 0, 100, (100,))]
)
def test_what_cannot_be_is_refused(arguments):
    with pytest.raises(UserError):
        make_stream(*arguments)
