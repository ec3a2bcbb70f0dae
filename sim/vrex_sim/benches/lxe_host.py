"""The host of the LXE's benches, on whatever device."""

from typing import Any

from vrex_sim.device import Device


async def exchange(device: Device, given: dict[str, Any]) -> dict[str, Any]:
    """Send the beats of ``given``, wait for as many as it expects, return them by their streams.

    ``given`` is what :meth:`vrex_sim.benches.lxe_traffic.Traffic.arguments` tells.
    """
    for name in ("command", "activation", "matrix", "mean_job", "mean_key"):
        device.send(name, given[name])
    for name, count in given["expected"].items():
        for _ in range(count):
            await device.packet(name)
    results: dict[str, Any] = {"cycles": device.cycle}
    for name in given["expected"]:
        results |= device.outputs[name].results(name)
    return results
