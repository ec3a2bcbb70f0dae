"""What the host keeps of one KV head: its hash clusters, and the tokens that a frame attends."""

import numpy as np
from numpy.typing import NDArray

from vrex_sim.ports import Bytes

INDEX = 0xFFFF
"""Mask of a token's index and of a cluster's number, as the hardware has them."""


class Head:
    """The HC table, members and all, as the hardware's assignments make it."""

    def __init__(self) -> None:
        """Start with no cluster."""
        self.members: list[list[int]] = []
        """Tokens of every cluster, in arrival order."""
        self.hashes: list[int] = []
        """The leader's hash bits of every cluster."""
        self.sealed = 0
        """How many clusters are sealed: those with the lowest numbers."""
        self.means: list[NDArray[np.uint16]] = []
        """The mean key [d] of every sealed cluster whose mean has come."""
        self.frames = 0
        """Frames whose tokens have been stored."""

    def assign(self, number: int, opened: bool, token: int, bits: int) -> None:
        """Put a token where the hardware says; raises ValueError if that cluster is not open."""
        if opened:
            self.members.append([])
            self.hashes.append(bits)
        place = self.sealed + ((number - self.sealed) & INDEX)
        if place >= len(self.members):
            raise ValueError(f"token {token}: cluster {number} is not open")
        self.members[place].append(token)

    def seal(self, sealed: int) -> range:
        """Seal clusters up to the count that the hardware says (modulo 2^16); return which."""
        first = self.sealed
        self.sealed += (sealed - first) & INDEX
        if self.sealed > len(self.members):
            raise ValueError(f"{self.sealed} clusters are sealed, of {len(self.members)}")
        return range(first, self.sealed)

    @property
    def stored(self) -> int:
        """Frames that are stored, up to the means of what they sealed."""
        return self.frames - (len(self.means) < self.sealed)

    def table(self, hash_bytes: int) -> Bytes:
        """Return the open clusters as beats of ``s_axis_table``: hash, first token, members."""
        hashes = np.array(self.hashes[self.sealed :], "<u8")[:, None].view(np.uint8)
        members = self.members[self.sealed :]
        numbers = [(tokens[0] & INDEX, len(tokens)) for tokens in members]
        columns = np.array(numbers, "<u2").reshape(-1, 2).view(np.uint8)
        return np.hstack([hashes[:, :hash_bytes], columns])

    def counts(self) -> NDArray[np.uint16]:
        """Return the members of every sealed cluster."""
        return np.array([len(tokens) for tokens in self.members[: self.sealed]], np.uint16)

    def attended(
        self, start: int, sinks: int, sealed: int, selected: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Return the tokens before ``start`` that a frame attends, in order.

        They are the ``sinks`` first ones, the members of the clusters ``selected``, ascending,
        and those of the clusters that were open when ``sealed`` clusters were sealed.
        """
        tokens = list(range(min(start, sinks)))
        for number in [*selected.tolist(), *range(sealed, len(self.members))]:
            tokens += self.members[number]
        found = np.array(tokens, np.int64)
        return found[found < start]
