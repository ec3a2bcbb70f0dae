"""The least that any replacement can fetch, with the whole future known (Belady's bound)."""

import numpy as np
from numpy.typing import NDArray

from vrex_sim.benches.residency_streams import Frame

FAR = 1 << 60


def least_fetched(frames: list[Frame], rooms: list[int]) -> int:
    """Return the least tokens that can be fetched with ``rooms`` slots after each frame.

    A cluster that stays from a frame that selects it to the next that does saves its tokens and
    takes a slot in between. Slots are units of flow from frame to frame, so the most that can be
    saved is a flow of least cost: exact, found a slot at a time along the path that gains most.
    Belady's rule alone is not the optimum where clusters differ in size. ``rooms`` never shrink; a
    cluster may be dropped in the frame that selects it, which the hardware does not do.
    """
    graph = _Graph(frames)
    saved = 0
    before = 0
    starts: list[int] = []
    for frame, room in enumerate(rooms):
        starts += [frame] * (room - before)
        before = room
    remaining = np.bincount(np.array(starts, int), minlength=len(frames))
    while remaining.any():
        gain, start = graph.augment(remaining)
        if gain <= 0:
            break
        saved += gain
        remaining[start] -= 1
    return sum(int(frame.counts[frame.selected].sum()) for frame in frames) - saved


class _Graph:
    """Frames as nodes; slots flow along idle edges, or along the stay of a cluster."""

    def __init__(self, frames: list[Frame]) -> None:
        """Find every stay: a cluster, from one frame that selects it to the next."""
        stays = []
        last: dict[int, int] = {}
        for number, frame in enumerate(frames):
            for cluster in frame.selected:
                if cluster in last:
                    stays.append((last[cluster], number, int(frame.counts[cluster])))
                last[cluster] = number
        idle = [(number, number + 1, 0) for number in range(len(frames) - 1)]
        edges = np.array(idle + stays, np.int64).reshape(-1, 3)
        self.tail, self.head, self.worth = edges.T
        self.idle = np.arange(len(edges)) < len(idle)
        self.flow = np.zeros(len(edges), np.int64)
        # A step costs a little, so that no way goes round in circles.
        self.scale = 4 * len(edges) + 4

    def augment(self, starts: NDArray[np.int64]) -> tuple[int, int]:
        """Send one more slot to the end from one of ``starts``; return what it saves, and where."""
        tails, heads = np.r_[self.tail, self.head], np.r_[self.head, self.tail]
        cost = np.r_[-self.worth, self.worth] * self.scale + 1
        edges = np.r_[np.arange(len(self.flow)), np.arange(len(self.flow))]
        open_ = np.r_[self.idle | (self.flow == 0), self.flow > 0]
        step = np.r_[np.ones(len(self.flow), int), -np.ones(len(self.flow), int)]
        tails, heads, cost, edges, step = (x[open_] for x in (tails, heads, cost, edges, step))
        distance = np.where(starts > 0, 0, FAR)
        while True:
            new = distance.copy()
            np.minimum.at(new, heads, distance[tails] + cost)
            if np.array_equal(new, distance):
                break
            distance = np.minimum(new, FAR)
        node = len(distance) - 1
        total = 0
        while not (starts[node] > 0 and distance[node] == 0):
            into = np.flatnonzero((heads == node) & (distance[tails] + cost == distance[node]))
            edge = into[0]
            self.flow[edges[edge]] += step[edge]
            total += int(step[edge] * self.worth[edges[edge]])
            node = int(tails[edge])
        return total, node
