"""The words of questions and answers: one small vocabulary for everything that can be said."""

from enum import Enum

STEPS, TASKS, SCENES, OBJECTS, COUNTS = 48, 32, 16, 24, 4
TASK_LENGTH = 6
"""Steps of a task."""
FORECAST = 3
"""Answer tokens of the procedure questions: that many next steps."""


class Kind(Enum):
    """What a question asks."""

    STEP = "step"
    """What is being done now?"""
    NEXT = "next"
    """Which step of the task comes next?"""
    TASK = "task"
    """Which task is it?"""
    PROC = "proc"
    """Which three steps come next, in order?"""
    PROC_PLUS = "proc_plus"
    """The same, told which task it is."""
    RECALL = "recall"
    """Which object was seen during the named step?"""
    BEFORE = "before"
    """Which step was done last when the named scene was last seen?"""
    COUNT = "count"
    """How often was the named step done?"""


OLD_MEMORY = (Kind.RECALL, Kind.BEFORE, Kind.COUNT)
"""Questions whose evidence is older than the recent past."""

WORDS: tuple[str, ...] = (
    "<pad>",
    "<ask>",
    "<answer>",
    "<none>",
    "<end>",
    *(f"<{kind.value}>" for kind in Kind),
    *(f"step{n:02}" for n in range(STEPS)),
    *(f"task{n:02}" for n in range(TASKS)),
    *(f"scene{n:02}" for n in range(SCENES)),
    *(f"object{n:02}" for n in range(OBJECTS)),
    *(f"{n}x" for n in range(1, COUNTS + 1)),
)
"""Every token's word; a token is its place here."""

TOKEN = {word: token for token, word in enumerate(WORDS)}
"""A word's token."""

PAD, ASK, ANSWER, NONE, END = range(5)
QUESTION_LENGTH = 4
"""Tokens of a question: <ask>, what, about what, <answer>."""


def step_token(step: int) -> int:
    """Return the token of step class ``step``; of the task's end for -1."""
    return END if step < 0 else TOKEN["step00"] + step


def task_token(task: int) -> int:
    """Return the token of task class ``task``."""
    return TOKEN["task00"] + task


def scene_token(scene: int) -> int:
    """Return the token of scene class ``scene``."""
    return TOKEN["scene00"] + scene


def object_token(thing: int) -> int:
    """Return the token of object class ``thing``."""
    return TOKEN["object00"] + thing


def count_token(count: int) -> int:
    """Return the token that says ``count`` times, 1 to ``COUNTS``."""
    return TOKEN["1x"] + count - 1


def question_tokens(kind: Kind, about: int = NONE) -> tuple[int, ...]:
    """Return a question's ``QUESTION_LENGTH`` tokens; ``about`` is the token it names."""
    return ASK, TOKEN[f"<{kind.value}>"], about, ANSWER
