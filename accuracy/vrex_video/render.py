"""Pixels of a script: integer arithmetic only, so every device draws the same frames."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vrex_video.script import FLASH, Script
from vrex_video.world import (
    COLOURS,
    DISTRACTOR_SHAPE,
    GLYPH,
    OBJECT_COLOURS,
    OBJECT_SHAPE,
    SHAPES,
    STEP_COLOURS,
    STEP_SHAPE,
    TILE,
    glyphs,
    textures,
)

Value = TypeVar("Value", bound=np.generic)

GRID, CELL = 3, 12
SIDE = GRID * CELL
"""Pixels of a frame's side."""
DISTRACTORS = 2
VISIBLE = 0.9
"""Part of the frames in which a step's glyph is seen."""
SPRITES = DISTRACTORS + 2
NOISE = 12
"""Largest noise on a pixel, of 255; a sum of two uniform draws."""


@dataclass(frozen=True, eq=False)
class Layout:
    """Where everything is in F frames; a batch has an axis B in front."""

    camera: NDArray[np.int16]
    """[F, 5]: scene, texture offset y and x, brightness in 1/64, and a seed for the noise."""
    sprites: NDArray[np.int16]
    """[F, SPRITES, 4]: glyph (-1: nothing), colour, top, left; later ones hide earlier ones."""


def lay_out(script: Script, rng: np.random.Generator) -> Layout:
    """Draw the camera's path and what is where, frame by frame."""
    frames = script.frames
    lengths = [s.stop - s.start for s in script.segments]
    starts = np.zeros(frames, dtype=bool)
    starts[[s.start for s in script.segments]] = True
    cuts = starts.copy()
    pairs = zip(script.segments, script.segments[1:], strict=False)
    cuts[[b.start for a, b in pairs if a.scene == b.scene]] = False
    scene = np.repeat([s.scene for s in script.segments], lengths)
    step = np.repeat([s.step for s in script.segments], lengths)

    pan = np.cumsum(rng.integers(-2, 3, size=(frames, 2)), axis=0)
    pan += _held(rng.integers(0, TILE, size=(frames, 2)), cuts)
    light = _held(rng.integers(52, 77, size=frames), cuts) + rng.integers(-3, 4, size=frames)
    seed = rng.integers(0, 1 << 15, size=frames)
    camera = np.column_stack([scene, pan % TILE, light, seed]).astype(np.int16)

    shake = rng.integers(-1, 2, size=(frames, 2))
    sprites = np.full((frames, SPRITES, 4), -1)
    for number in range(DISTRACTORS):
        held = _held(rng.random((frames, 2)), cuts | (rng.random(frames) < 0.15))
        there = held[:, 0] < 0.6
        kind = (held[:, 1] * SHAPES * len(COLOURS)).astype(int)
        cell = _held(rng.integers(GRID * GRID, size=frames), starts | (rng.random(frames) < 0.3))
        sprites[:, number, 0] = np.where(there, DISTRACTOR_SHAPE + kind // len(COLOURS), -1)
        sprites[:, number, 1] = kind % len(COLOURS)
        sprites[:, number, 2:] = _corner(cell)
    cell = _held(rng.integers(GRID * GRID, size=frames), starts | (rng.random(frames) < 0.2))
    visible = rng.random(frames) < VISIBLE
    sprites[:, -2, 0] = np.where(visible, STEP_SHAPE + step // STEP_COLOURS, -1)
    sprites[:, -2, 1] = step % STEP_COLOURS
    sprites[:, -2, 2:] = _corner(cell)
    for flash in script.flashes:
        now = slice(flash.start, flash.start + FLASH)
        other = (cell[now] + 1 + rng.integers(GRID * GRID - 1)) % (GRID * GRID)
        sprites[now, -1, 0] = OBJECT_SHAPE + flash.thing // OBJECT_COLOURS
        sprites[now, -1, 1] = flash.thing % OBJECT_COLOURS
        sprites[now, -1, 2:] = _corner(other)
    sprites[..., 2:] += shake[:, None] + rng.integers(-1, 2, size=(frames, SPRITES, 2))
    return Layout(camera, sprites.astype(np.int16))


def render(camera: Tensor, sprites: Tensor) -> Tensor:
    """Draw ``camera`` [..., 5] and ``sprites`` [..., SPRITES, 4]: uint8 [..., 3, SIDE, SIDE].

    On whatever device the two are; the same bits on each.
    """
    device, shape = camera.device, camera.shape[:-1]
    camera, sprites = camera.reshape(-1, 5).int(), sprites.reshape(-1, SPRITES, 4).int()
    line = torch.arange(SIDE, device=device, dtype=torch.int32)
    tiles = torch.from_numpy(textures()).to(device)
    scene, top, left, light, seed = camera.unbind(-1)
    y = (line + top[:, None]) % TILE
    x = (line + left[:, None]) % TILE
    pixels = tiles[scene[:, None, None], :, y[:, :, None], x[:, None, :]].movedim(-1, 1)
    shapes = torch.from_numpy(glyphs()).to(device)
    colours = torch.from_numpy(COLOURS).to(device)
    for sprite in sprites.unbind(1):
        glyph, colour, top, left = sprite.unbind(-1)
        y, x = line - top[:, None], line - left[:, None]
        inside = (((y >= 0) & (y < GLYPH))[:, :, None]) & (((x >= 0) & (x < GLYPH))[:, None, :])
        rows, columns = y.clamp(0, GLYPH - 1), x.clamp(0, GLYPH - 1)
        on = shapes[glyph.clamp(min=0)[:, None, None], rows[:, :, None], columns[:, None, :]]
        on = on & inside & (glyph >= 0)[:, None, None]
        pixels = torch.where(on[:, None], colours[colour.clamp(min=0)][:, :, None, None], pixels)
    pixels = (pixels * light[:, None, None, None]) // 64 + _noise(seed)
    return pixels.clamp(0, 255).to(torch.uint8).reshape(*shape, 3, SIDE, SIDE)


def _held(values: NDArray[Value], change: NDArray[np.bool_]) -> NDArray[Value]:
    """Keep a value until ``change`` says that the next one counts."""
    latest = np.maximum.accumulate(np.where(change, np.arange(len(change)), 0))
    return values[latest]


def _corner(cell: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return [F, 2]: top and left of a glyph in the middle of its cell."""
    margin = (CELL - GLYPH) // 2
    return np.column_stack(np.divmod(cell, GRID)) * CELL + margin


def _noise(seed: Tensor) -> Tensor:
    """Return int32 [N, 3, SIDE, SIDE], -NOISE to NOISE, a hash of seed and place."""
    place = torch.arange(3 * SIDE * SIDE, device=seed.device, dtype=torch.int64)
    mixed = (seed.long()[:, None] * 0x9E3779B1 + place * 0x85EBCA77 + 0x165667B1) & 0xFFFFFFFF
    mixed = ((mixed ^ (mixed >> 15)) * 0x2C1B3C6D) & 0xFFFFFFFF
    mixed = ((mixed ^ (mixed >> 12)) * 0x297A2D39) & 0xFFFFFFFF
    mixed = mixed ^ (mixed >> 15)
    pair = (mixed & 0xFF) % (NOISE + 1) - ((mixed >> 8) & 0xFF) % (NOISE + 1)
    return pair.int().reshape(-1, 3, SIDE, SIDE)
