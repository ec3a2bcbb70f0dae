"""The host of the doubler in ``doubler.py``, on whatever device."""

import numpy as np
from doubler import INPUT

from vrex_sim.packer import Packer


def beats(values, size):
    """Return beats of ``size`` bytes that carry ``values``; those of 0 are a packet's last."""
    packer = Packer(INPUT)
    packed = (packer.pack({"value": value, "last": value == 0}) for value in values)
    return [list(word.to_bytes(size, "little")) for word in packed]


async def exchange(device, values, wanted):
    """Send ``values`` and wait for ``wanted`` beats; return the values that came."""
    size = device.inputs["i"].stream.bytes
    device.send("i", np.array(beats(values, size), np.uint8))
    got = await device.packets("o", wanted)
    return [int.from_bytes(beat.tobytes(), "little") & 0x1FFFF for beat in got]
