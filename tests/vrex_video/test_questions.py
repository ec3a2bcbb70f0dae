"""Answers, worked out again frame by frame from what the script shows."""

from collections import Counter

import numpy as np
import pytest

from vrex_video.questions import OLD, ask
from vrex_video.stream import Split, make_scene
from vrex_video.vocabulary import TASK_LENGTH, TASKS, WORDS, Kind
from vrex_video.world import tasks


def shown(script, frame):
    """What each frame up to ``frame`` shows: scene, task, step, and the object if there is one."""
    things = {f.start + k: f.thing for f in script.flashes for k in range(f.last - f.start + 1)}
    rows = []
    for number in range(frame + 1):
        segment = next(s for s in script.segments if s.start <= number < s.stop)
        row = (segment.scene, segment.task, int(tasks()[segment.task][segment.place]))
        rows.append((*row, things.get(number)))
    return rows


def word(token):
    return WORDS[token]


def number_in(token):
    return int(word(token)[-2:])


@pytest.fixture(scope="module")
def asked():
    found = []
    for number in range(12):
        script, _ = make_scene(Split.TEST, 5, number, 300)
        rng = np.random.default_rng(number)
        for frame in (150, 222, 299):
            rows = shown(script, frame)
            for kind in Kind:
                question = ask(script, kind, frame, rng)
                if question:
                    found.append((script, rows, question))
    return found


def of(asked, *kinds):
    fit = [entry for entry in asked if entry[2].kind in kinds]
    assert len(fit) >= 10
    return fit


def test_step_and_task(asked):
    for _, rows, question in of(asked, Kind.STEP):
        assert word(question.answer[0]) == f"step{rows[-1][2]:02}"
    for _, rows, question in of(asked, Kind.TASK):
        assert word(question.answer[0]) == f"task{rows[-1][1]:02}"


def test_next_steps(asked):
    for _, rows, question in of(asked, Kind.NEXT, Kind.PROC, Kind.PROC_PLUS):
        _, task, step, _ = rows[-1]
        order = tasks()[task].tolist()
        later = [f"step{s:02}" for s in order[order.index(step) + 1 :]] + ["<end>"] * 3
        assert [word(token) for token in question.answer] == later[: len(question.answer)]
        if question.kind is Kind.PROC_PLUS:
            assert word(question.text[2]) == f"task{task:02}"


def test_the_task_can_be_told_from_what_was_seen(asked):
    for _, rows, question in of(asked, Kind.NEXT, Kind.TASK, Kind.PROC):
        scene, task, step, _ = rows[-1]
        here = [row for row in rows if row[0] == scene]
        before = next(row for row in reversed(here) if row[2] != step)
        pair = (before[2], step)
        owners = [
            t
            for t in range(TASKS)
            for k in range(TASK_LENGTH - 1)
            if tuple(tasks()[t][k : k + 2]) == pair
        ]
        assert owners == [task]
        assert rows[-question.distance // 10][:3] == before[:3]


def test_recall(asked):
    for _, rows, question in of(asked, Kind.RECALL):
        step = number_in(question.text[2])
        places = [k for k, row in enumerate(rows) if row[2] == step and row[3] is not None]
        assert {rows[k][3] for k in places} == {number_in(question.answer[0])}
        assert len(rows) - 1 - max(places) >= OLD
        assert question.distance == 10 * (len(rows) - max(places))


def test_before(asked):
    for _, rows, question in of(asked, Kind.BEFORE):
        scene = number_in(question.text[2])
        last = max(k for k, row in enumerate(rows) if row[0] == scene)
        assert rows[last][2] == number_in(question.answer[0])
        assert len(rows) - 1 - last >= OLD
        assert question.distance == 10 * (len(rows) - last)


def test_count(asked):
    answers = Counter()
    for _, rows, question in of(asked, Kind.COUNT):
        step = number_in(question.text[2])
        scenes = [row[0] if row[2] == step else None for row in rows]
        onsets = sum(
            now is not None and now != was
            for was, now in zip([None, *scenes], scenes, strict=False)
        )
        assert word(question.answer[0]) == f"{onsets}x"
        assert not any(row[2] == step for row in rows[-OLD:])
        answers[onsets] += 1
    assert len(answers) >= 3
