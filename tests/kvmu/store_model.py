"""What the storer has to do, line by line: a head's slots, entries and clusters in plain Python."""

from dataclasses import dataclass, field

import numpy as np
import torch

from resv_ref.numerics import fp32, from_bf16, mean_bf16
from vrex_hw.kvmu.layouts import Fault
from vrex_hw.kvmu.regions import Regions


def mean(keys):
    """Return the mean's bits, uint16 [d], of keys uint16 [n, d]."""
    total = torch.zeros(keys.shape[1])
    for key in torch.from_numpy(keys.view(np.int16)).view(torch.bfloat16):
        total = fp32.add(total, from_bf16(key))
    return mean_bf16(total, torch.tensor(len(keys))).view(torch.int16).numpy().view(np.uint16)


@dataclass
class Frame:
    """A job: its tokens' keys and values uint16 [T, chunks, side], and what the HCU says."""

    k: np.ndarray
    v: np.ndarray
    k_line: int
    v_line: int
    stride: int
    skip: int = 0
    assign: list = field(default_factory=list)
    """(number, opened), a token each."""
    trailer: int = 0
    refused: bool = False
    hashes: list = field(default_factory=list)
    faults: dict = field(default_factory=dict)


@dataclass
class Stored:
    """What a job does, and how it ends."""

    writes: list = field(default_factory=list)
    transfers: list = field(default_factory=list)
    given: list = field(default_factory=list)
    map: list = field(default_factory=list)
    entries: list = field(default_factory=list)
    tokens: int = 0
    fault: Fault = Fault.NONE
    whole: bool = True
    """Nothing of the lists is left out; False after a fault while tokens are placed."""
    done: dict = field(default_factory=dict)


class Head:
    """One head's state."""

    def __init__(self, config, state, host, host_tokens, chunks_log2):
        self.config, self.regions = config, Regions(config)
        self.state, self.host, self.host_tokens = state, host, host_tokens
        self.chunks_log2, self.chunks = chunks_log2, 1 << chunks_log2
        self.dimension = self.chunks * config.lxe.side
        self.tokens = self.sealed = self.opened = self.offloaded = 0
        self.entries = {}
        """Open entries by slot, as the hardware's table has them, also of clusters long sealed."""
        self.slots = {}
        """(slot, position) -> key and value, uint16 [chunks, side] each."""

    def fields(self, frame):
        return {
            "state": self.state,
            "host": self.host,
            "host_tokens": self.host_tokens,
            "k": frame.k_line,
            "v": frame.v_line,
            "kv_stride": frame.stride,
            "dimension": self.dimension,
            "chunks_log2": self.chunks_log2,
            "tokens": len(frame.k),
            "skip": frame.skip,
            "start": self.tokens,
            "sealed": self.sealed,
            "opened": self.opened,
            "offloaded": self.offloaded,
        }

    def store(self, frame):
        """Store a frame, up to its first fault; faults of memory and link are not looked at."""
        out = Stored()
        end = self.sealed
        if len(frame.k) > frame.skip and frame.refused:
            out.fault = Fault.WINDOW_FULL
        else:
            self._place(frame, out)
            if not out.fault and len(frame.k) > frame.skip:
                end = frame.trailer
                short = len(frame.assign) != len(frame.k) - frame.skip
                if short or not self.sealed <= end <= self.opened:
                    out.fault = Fault.OUT_OF_BOUNDS
        out.whole = not out.fault
        while not out.fault and self.sealed < end:
            self._seal(out)
        self.tokens += len(frame.k)
        out.done = {"sealed": self.sealed, "opened": self.opened, "offloaded": self.offloaded}
        return out

    def _place(self, frame, out):
        if len(frame.k) > frame.skip and not frame.assign:
            return  # a trailer comes first: not even sinks are stored
        size = self.config.kvmu.slot_tokens
        for t in range(frame.skip):
            if self.tokens + t >= size:
                out.fault = Fault.OUT_OF_BOUNDS
                return
            self._copy(frame, t, self.regions.sinks, self.tokens + t, out)
        for n, (number, opened) in enumerate(frame.assign):
            slot, t = number % self.config.kvmu.window_slots, frame.skip + n
            entry = self.entries.get(slot, {"count": 0})
            out.fault = self._judge(number, opened, entry["count"], t >= len(frame.k))
            if out.fault:
                return
            if opened:
                entry = {"hash": frame.hashes[n], "first": (self.tokens + t) % 65536, "count": 0}
                self.opened += 1
            position, entry = entry["count"], {**entry, "count": entry["count"] + 1}
            self.entries[slot] = entry
            out.entries.append([slot, {**entry, "padding": 0}])
            self.slots[slot, position] = frame.k[t], frame.v[t]
            first = self.regions.window + (slot << self.regions.slot_bits)
            self._copy(frame, t, first, position, out)

    def _judge(self, number, opened, count, surplus):
        kvmu = self.config.kvmu
        if surplus:
            return Fault.OUT_OF_BOUNDS
        if not opened:
            fits = self.sealed <= number < self.opened and count < kvmu.slot_tokens
            return Fault.NONE if fits else Fault.OUT_OF_BOUNDS
        if number != self.opened:
            return Fault.OUT_OF_BOUNDS
        if number == 65535:
            return Fault.STATE_FULL
        full = self.opened - self.sealed >= kvmu.window_slots
        return Fault.WINDOW_FULL if full else Fault.NONE

    def _copy(self, frame, t, first, position, out):
        regions = self.regions
        for value, lines in enumerate((frame.k[t], frame.v[t])):
            for chunk, line in enumerate(lines):
                place = ((value << regions.chunk_bits) + chunk << regions.token_bits) + position
                out.writes.append((self.state + first + place, line, 255))
        out.tokens += 1

    def _seal(self, out):
        config, regions, number = self.config, self.regions, self.sealed
        slot = number % config.kvmu.window_slots
        count = self.entries[slot]["count"]
        if number >= config.wtu.entries:
            out.fault = Fault.STATE_FULL
        elif not 0 < count <= config.kvmu.slot_tokens:
            out.fault = Fault.OUT_OF_BOUNDS
        elif self.offloaded + count > self.host_tokens:
            out.fault = Fault.HOST_FULL
        if out.fault:
            return
        token = 2 * self.chunks
        out.transfers.append([self.host + self.offloaded * token, count * token])
        members = [self.slots[slot, position] for position in range(count)]
        out.given += [line for pair in members for lines in pair for line in lines]
        side = config.lxe.side
        tile, row = divmod(number, side)
        out.writes.append((self.state + regions.counts + tile, [count] * side, 1 << row))
        centre = mean(np.stack([k.reshape(-1) for k, _ in members])).reshape(-1, side)
        for chunk, line in enumerate(centre):
            place = ((tile << regions.chunk_bits) + chunk) * side + row
            out.writes.append((self.state + regions.means + place, line, 255))
        entry = {"offset": self.offloaded, "count": count, "slot": 0, "resident": 0, "chosen": 0}
        out.map.append([number, {**entry, "fresh": 0, "priority": 0}])
        self.sealed += 1
        self.offloaded += count
