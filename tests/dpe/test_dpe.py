"""The engine: loads by rows and columns into either bank, between beats on both."""

from random import Random

import model
import operands
import pytest
from drive import drive

from vrex_hw.config import LXEConfig
from vrex_hw.dpe import DPE, beat_layout, load_layout


class Tiles:
    """What the tile registers hold, cycle after cycle."""

    def __init__(self, config):
        self.config = config
        side = config.side
        self.banks = [[[None] * side for _ in range(side)] for _ in range(2)]

    def load(self, load):
        if not load["valid"]:
            return
        tile = self.banks[load["bank"]]
        for k, row in enumerate(load["rows"]):
            if load["enable"][k]:
                for j, value in enumerate(row):
                    if load["column"]:
                        tile[j][load["index"] + k] = value
                    else:
                        tile[load["index"] + k][j] = value

    def beat(self, beat, window):
        """Return every tree's result; None where it would see what was never loaded."""
        results = []
        for inputs, acc in zip(self.banks[beat["bank"]], beat["acc"], strict=True):
            known = None not in inputs
            args = (beat["a"], inputs, beat["live"], acc, window)
            results.append(model.beat(*args) if known else None)
        return results


def random_load(random, config):
    load_rows, side = config.load_rows, config.side
    return {
        "valid": int(random.random() < 0.6),
        "bank": random.getrandbits(1),
        "column": random.getrandbits(1),
        "index": random.randrange(0, side, load_rows),
        "enable": [int(random.random() < 0.8) for _ in range(load_rows)],
        "rows": [operands.beat(random, side)[0] for _ in range(load_rows)],
    }


def random_beat(random, config):
    a, _, live, _ = operands.beat(random, config.side)
    acc = [operands.beat(random, 2)[3] for _ in range(config.side)]
    return {"bank": random.getrandbits(1), "live": live, "a": a, "acc": acc}


@pytest.mark.parametrize(("side", "load_rows"), [(4, 4), (8, 1), (8, 2)])
def test_random_loads_and_beats(side, load_rows):
    config = LXEConfig(side=side, load_rows=load_rows)
    random = Random(side + load_rows)
    cycles = 600
    loads = [random_load(random, config) for _ in range(cycles)]
    beats = [random_beat(random, config) for _ in range(cycles)]
    dpe = DPE(config)
    inputs = {"load": [pack_load(config, x) for x in loads]}
    inputs["beat"] = [beat_layout(config).const(x).as_value().value for x in beats]
    got = drive(dpe, inputs, ["out"])["out"]
    tiles, results = Tiles(config), set()
    assert dpe.load_latency == 1
    for load, beat, found in zip(loads, beats, got, strict=True):
        for h, wanted in enumerate(tiles.beat(beat, config.window)):
            if wanted is not None:
                assert found >> 32 * h & 0xFFFFFFFF == wanted
                results.add(wanted)
        tiles.load(load)
    assert len(results) > 500


def pack_load(config, load):
    enable = sum(bit << k for k, bit in enumerate(load["enable"]))
    return load_layout(config).const({**load, "enable": enable}).as_value().value
