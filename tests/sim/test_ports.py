"""The ports of an emitted top, and the streams that they make up."""

import numpy as np
import pytest

from vrex_sim import ports
from vrex_sim.ports import Port

VERILOG = """
module inner(clk, x);
  input clk;
  input [2:0] x;
endmodule

module \\top (clk, rst, i__payload, i__valid, i__ready, status, m_axis_tdata);
  input clk;
  wire clk;
  input rst;
  input [11:0] i__payload;
  wire [11:0] i__payload;
  input i__valid;
  output i__ready;
  reg [3:0] hidden;
  output [8:0] status;
  output m_axis_tdata;
endmodule
"""
AXI = [
    Port("clk", True, 1),
    Port("s_axis_row_tdata", True, 20),
    Port("s_axis_row_tlast", True, 1),
    Port("s_axis_row_tvalid", True, 1),
    Port("s_axis_row_tready", False, 1),
    Port("s_axil_awaddr", True, 12),
    Port("s_axil_awvalid", True, 1),
    Port("s_axil_awready", False, 1),
    Port("s_axil_wdata", True, 32),
    Port("s_axil_wvalid", True, 1),
    Port("s_axil_wready", False, 1),
    Port("o__payload", False, 9),
    Port("o__valid", False, 1),
    Port("o__ready", True, 1),
    Port("o__more__payload", False, 3),
    Port("o__more__valid", False, 1),
    Port("o__more__ready", True, 1),
    Port("irq", False, 1),
    Port("only_valid", False, 1),
]


def streams():
    """Return the streams of ``AXI`` by name."""
    return {stream.name: stream for stream in ports.group(AXI)[0]}


def test_ports_are_read_in_the_order_of_their_declarations():
    assert ports.read(VERILOG, "top") == [
        Port("clk", True, 1),
        Port("rst", True, 1),
        Port("i__payload", True, 12),
        Port("i__valid", True, 1),
        Port("i__ready", False, 1),
        Port("status", False, 9),
        Port("m_axis_tdata", False, 1),
    ]
    assert ports.read(VERILOG, "inner") == [Port("clk", True, 1), Port("x", True, 3)]
    for name in ("other", "to", "nner"):
        with pytest.raises(ValueError, match=f"no module '{name}'"):
            ports.read(VERILOG, name)


def test_streams_are_found_by_valid_and_ready():
    found, plain = streams(), ports.group(AXI)[1]
    assert set(found) == {"s_axis_row", "s_axil_aw", "s_axil_w", "o", "o__more"}
    assert {name for name, stream in found.items() if not stream.input} == {"o", "o__more"}
    assert [port.name for port in plain] == ["irq", "only_valid"]
    assert [port.name for port in found["s_axil_w"].payload] == ["s_axil_wdata"]
    assert [port.name for port in found["s_axil_aw"].payload] == ["s_axil_awaddr"]
    assert {name: stream.handle for name, stream in found.items()} == {
        "s_axis_row": "s_axis_row_t",
        "s_axil_aw": "s_axil_aw",
        "s_axil_w": "s_axil_w",
        "o": "o",
        "o__more": "o__more",
    }


def test_a_beat_is_the_whole_bytes_of_its_ports():
    found = streams()
    assert {name: (stream.bytes, stream.last_bit) for name, stream in found.items()} == {
        "s_axis_row": (4, 24),
        "s_axil_aw": (2, -1),
        "s_axil_w": (4, -1),
        "o": (2, -1),
        "o__more": (1, -1),
    }


def test_beats_that_do_not_fit_are_refused():
    row = streams()["s_axis_row"]
    good = np.array([[0xFF, 0xFF, 0x0F, 1]], np.uint8)
    assert np.array_equal(row.check(good), good)
    assert row.check(np.asfortranarray(np.repeat(good, 3, axis=0))).flags.c_contiguous
    for shape, dtype in (((1, 5), np.uint8), ((4,), np.uint8), ((1, 4), np.uint16)):
        with pytest.raises(ValueError, match=r"stream s_axis_row: beats are .*uint8 \[n, 4\]"):
            row.check(np.zeros(shape, dtype))
    for at, port in ((2, "s_axis_row_tdata has 20 bits"), (3, "s_axis_row_tlast has 1 bits")):
        wrong = good.copy()
        wrong[0, at] = 0x12
        with pytest.raises(ValueError, match=port):
            row.check(wrong)
