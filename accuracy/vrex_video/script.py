"""What happens in a video: segments of tasks' steps in scenes that come back, and objects."""

from dataclasses import dataclass

import numpy as np

from vrex_video.vocabulary import OBJECTS, SCENES, TASK_LENGTH, TASKS
from vrex_video.world import tasks

SHORTEST, LONGEST = 5, 20
"""Frames of a segment."""
CUT = 0.5
"""Chance that a segment's end is a cut to another scene."""
FLASH = 2
"""Frames for which an object is seen."""
SHARE = 0.65
"""Part of the segments in which an object is seen."""
MOST_SIGHTINGS = 4
"""Of one object in a video."""
MOST_FLASHES = 24
"""Objects seen in a video, at most; fewer in a short one."""


@dataclass(frozen=True)
class Segment:
    """A step of a task, done in a scene, frames ``start`` to ``stop`` - 1."""

    start: int
    stop: int
    scene: int
    task: int
    place: int
    """The step's place in its task, 0 to TASK_LENGTH - 1."""
    previous: int
    """The segment with this task's step before this one, or -1 at place 0."""

    @property
    def step(self) -> int:
        """The step class."""
        return int(tasks()[self.task, self.place])

    def following(self, count: int) -> tuple[int, ...]:
        """Return the ``count`` next steps of the task; -1 past its end."""
        row = [int(step) for step in tasks()[self.task]] + [-1] * count
        return tuple(row[self.place + 1 : self.place + 1 + count])


@dataclass(frozen=True)
class Flash:
    """An object, seen for ``FLASH`` frames from ``start``, during segment ``segment``."""

    start: int
    thing: int
    segment: int

    @property
    def last(self) -> int:
        """The last frame that shows it."""
        return self.start + FLASH - 1


@dataclass(frozen=True)
class Script:
    """A whole video of ``frames`` frames."""

    frames: int
    segments: tuple[Segment, ...]
    flashes: tuple[Flash, ...]

    def segment_at(self, frame: int) -> Segment:
        """Return the segment that shows ``frame``."""
        return next(s for s in self.segments if s.start <= frame < s.stop)


def write_script(rng: np.random.Generator, frames: int) -> Script:
    """Draw a video of ``frames`` frames (at least 2 * LONGEST).

    Each scene has its own task under way: the video cuts away in the middle of it and, on return,
    goes on where it was.
    """
    segments = _segments(rng, frames)
    return Script(frames, segments, _flashes(rng, segments))


def _segments(rng: np.random.Generator, frames: int) -> tuple[Segment, ...]:
    most = 6 if frames <= 512 else 10
    scenes = rng.permutation(SCENES)[: rng.integers(4, most + 1)].tolist()
    state = {scene: (int(rng.integers(TASKS)), 0, -1) for scene in scenes}
    segments: list[Segment] = []
    scene, start = scenes[0], 0
    while start < frames:
        task, place, previous = state[scene]
        stop = min(frames, start + int(rng.integers(SHORTEST, LONGEST + 1)))
        state[scene] = (task, place + 1, len(segments))
        if place + 1 == TASK_LENGTH:
            state[scene] = (int(rng.integers(TASKS)), 0, -1)
        segments.append(Segment(start, stop, scene, task, place, previous))
        if rng.random() < CUT:
            scene = int(rng.choice([other for other in scenes if other != scene]))
        start = stop
    return tuple(segments)


def _flashes(rng: np.random.Generator, segments: tuple[Segment, ...]) -> tuple[Flash, ...]:
    wanted = min(MOST_FLASHES, round(SHARE * len(segments)))
    things: list[int] = []
    for thing in rng.permutation(OBJECTS).tolist():
        things += [thing] * int(rng.integers(1, MOST_SIGHTINGS + 1))
    things = [things[k] for k in rng.permutation(min(wanted, len(things)))]
    roomy = [k for k, s in enumerate(segments) if s.stop - s.start >= FLASH + 2]
    chosen = sorted(int(k) for k in rng.permutation(len(roomy))[: len(things)])
    flashes = []
    for thing, number in zip(things, chosen, strict=False):
        segment = segments[roomy[number]]
        start = int(rng.integers(segment.start + 1, segment.stop - FLASH))
        flashes.append(Flash(start, thing, roomy[number]))
    return tuple(flashes)
