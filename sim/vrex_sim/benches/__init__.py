"""Cocotb benches, one a unit; they run inside the simulator and never import torch."""
