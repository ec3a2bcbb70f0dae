"""Synthesis: cell area of the emitted Verilog, and a self-checking bitstream for an FPGA board."""
