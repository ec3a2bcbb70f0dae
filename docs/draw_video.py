"""Draw the picture of docs/video.md from a validation stream.

python docs/draw_video.py                docs/images/video.svg
"""

from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

from vrex_video.stream import Split, Stream, make_stream

IMAGE = Path(__file__).parent / "images" / "video.svg"
FRAMES, STREAM = 410, 0
SHOWN = 30
"""Frames drawn as pictures, in rows of ten."""
plt.rcParams |= {"svg.hashsalt": "vrex", "font.size": 8, "svg.fonttype": "none"}
plt.rcParams |= {"axes.spines.top": False, "axes.spines.right": False}


def draw_script(axes: plt.Axes, stream: Stream) -> None:
    """Draw a lane a scene: its segments with their steps, and a mark for every object."""
    scenes = list(dict.fromkeys(segment.scene for segment in stream.script.segments))
    colours = plt.get_cmap("tab20").colors
    for segment in stream.script.segments:
        lane = scenes.index(segment.scene)
        width = segment.stop - segment.start
        colour = colours[segment.task % len(colours)]
        axes.barh(lane, width, 0.8, segment.start, color=colour, edgecolor="white", linewidth=0.6)
        middle = segment.start + width / 2
        axes.text(middle, lane, segment.step, ha="center", va="center", fontsize=6)
    for flash in stream.script.flashes:
        lane = scenes.index(stream.script.segments[flash.segment].scene)
        axes.plot(flash.start + 1, lane - 0.5, "v", color="black", markersize=3)
    axes.set_yticks(range(len(scenes)), [f"scene {scene}" for scene in scenes])
    axes.set_xlim(0, FRAMES)
    axes.invert_yaxis()
    axes.set_xlabel(
        "frame (10 tokens each); number: step, colour: task, triangle: an object is seen"
    )


def main() -> None:
    """Draw the script of a stream above some of its frames."""
    stream = make_stream(Split.VAL, STREAM, FRAMES, ())
    figure = plt.figure(figsize=(9, 5.2))
    above, below = figure.add_gridspec(2, 1, height_ratios=[1, 1.6], hspace=0.4)
    draw_script(figure.add_subplot(above), stream)
    grid = below.subgridspec(SHOWN // 10, 10, hspace=0.3, wspace=0.08)
    first = stream.script.flashes[3].start - 12
    for place in range(SHOWN):
        axes = figure.add_subplot(grid[place // 10, place % 10])
        axes.imshow(stream.frames[first + place].permute(1, 2, 0), interpolation="none")
        axes.set_title(first + place, fontsize=6, pad=2)
        axes.axis("off")
    figure.savefig(IMAGE, metadata={"Date": None}, facecolor="white", bbox_inches="tight")
    print(IMAGE)


if __name__ == "__main__":
    main()
