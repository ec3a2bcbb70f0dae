"""The world that every video shows: its tasks, glyphs, colours and the textures of its scenes.

One world, from one fixed seed: a model learns it in training and meets it again in the test
streams, as models on COIN meet its tasks again.
"""

from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vrex_video.vocabulary import OBJECTS, SCENES, STEPS, TASK_LENGTH, TASKS

SEED = 20260
GLYPH = 9
"""Pixels of a glyph's side."""
TILE = 64
"""Pixels of a texture's side; textures repeat."""
SHAPES = 8
"""Shapes for each of: what a step shows, objects, distractors."""
STEP_SHAPE, OBJECT_SHAPE, DISTRACTOR_SHAPE = 0, SHAPES, 2 * SHAPES
"""Where each set of shapes starts in ``glyphs()``."""
COLOURS = np.array(
    [
        (240, 40, 40),
        (40, 220, 60),
        (50, 90, 250),
        (250, 220, 40),
        (240, 60, 230),
        (40, 230, 230),
        (225, 225, 225),
    ],
    dtype=np.int32,
)
"""[7, 3]: RGB. Steps and objects use the first six, distractors all."""
STEP_COLOURS = STEPS // SHAPES
OBJECT_COLOURS = OBJECTS // SHAPES


def _generator(part: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([SEED, part])))


@cache
def tasks() -> NDArray[np.int64]:
    """Return [TASKS, TASK_LENGTH]: the step classes of each task, in order.

    Every step occurs in four tasks, so one step does not tell the task; two steps that follow each
    other occur in one task only, so they do.
    """
    rng = _generator(0)
    while True:
        pool = np.concatenate([rng.permutation(STEPS) for _ in range(TASKS * TASK_LENGTH // STEPS)])
        table = pool.reshape(TASKS, TASK_LENGTH)
        pairs = {(int(a), int(b)) for row in table for a, b in pairwise(row)}
        distinct = all(len(set(row)) == TASK_LENGTH for row in table.tolist())
        if distinct and len(pairs) == TASKS * (TASK_LENGTH - 1):
            return table


@cache
def glyphs() -> NDArray[np.bool_]:
    """Return [3 * SHAPES, GLYPH, GLYPH]: symmetric bitmaps, far from each other."""
    rng = _generator(1)
    chosen: list[NDArray[np.bool_]] = []
    while len(chosen) < 3 * SHAPES:
        coarse = rng.random((3, 2)) < 0.55
        whole = np.concatenate([coarse, coarse[:, :1]], axis=1)
        fine = rng.random((GLYPH, 5)) < 0.2
        fine = np.concatenate([fine, fine[:, 3::-1]], axis=1)
        bitmap = np.kron(whole, np.ones((3, 3), dtype=bool)).astype(bool) ^ fine
        filled = bitmap.mean()
        if 0.35 < filled < 0.75 and all((bitmap ^ other).sum() >= 22 for other in chosen):
            chosen.append(bitmap)
    return np.stack(chosen)


@cache
def textures() -> NDArray[np.int32]:
    """Return [SCENES, 3, TILE, TILE]: RGB backgrounds that repeat, darker than the glyphs."""
    rng = _generator(2)
    y, x = np.mgrid[0:TILE, 0:TILE] * (2 * np.pi / TILE)
    tiles = []
    for _ in range(SCENES):
        base = rng.uniform(50, 130, size=(3, 1, 1))
        tile = np.zeros((3, TILE, TILE))
        for _ in range(3):
            fy, fx = rng.integers(-9, 10, size=2)
            wave = np.sin(fy * y + fx * x + rng.uniform(0, 2 * np.pi))
            tile += wave * rng.uniform(-20, 20, size=(3, 1, 1))
        tiles.append(base + tile)
    return np.clip(np.stack(tiles), 0, 190).astype(np.int32)
