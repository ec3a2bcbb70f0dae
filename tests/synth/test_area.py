"""Area by unit, from a Liberty file small enough to add up by hand."""

import gzip

import pytest
from amaranth import Module, Signal
from amaranth.back import verilog
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from vrex import UserError
from vrex_synth import area

HEADER = 'time_unit : "1ns"; capacitive_load_unit (1, pf);'
TABLES = " ".join(
    f'{table} (scalar) {{ values ("0.1"); }}'
    for table in ("cell_rise", "cell_fall", "rise_transition", "fall_transition")
)


def gate(name, gate_area, function):
    """Return the Liberty text of a gate with inputs A and, where it is used, B."""
    inputs = [pin for pin in "AB" if pin in function]
    pins = [f"pin ({pin}) {{ direction : input; capacitance : 0.01; }}" for pin in inputs]
    arcs = [f'timing () {{ related_pin : "{pin}"; {TABLES} }}' for pin in inputs]
    out = f'pin (Y) {{ direction : output; function : "{function}"; {" ".join(arcs)} }}'
    return f"cell ({name}) {{ area : {gate_area}; {' '.join(pins)} {out} }}"


GATES = f"""library (gates) {{ {HEADER}
  {gate("INVx1", 1.0, "!A")} {gate("BUFx1", 2.0, "A")} {gate("NAND2x1", 2.0, "!(A B)")}
  {gate("NOR2x1", 2.0, "!(A+B)")} {gate("AND2x1", 3.0, "A B")} {gate("OR2x1", 3.0, "A+B")}
}}"""
FLIP_FLOP = f"""library (flops) {{ {HEADER}
  cell (DFFx1) {{ area : 10.0; ff (IQ, IQN) {{ next_state : "D"; clocked_on : "CK"; }}
    pin (CK) {{ direction : input; clock : true; }} pin (D) {{ direction : input; }}
    pin (Q) {{ direction : output; function : "IQ"; }} }}
}}"""


class Unit(wiring.Component):
    """Two flip-flops, and memories of ``depth`` words."""

    d: In(2)
    q: Out(2)

    def __init__(self, depth):
        super().__init__()
        self._depth = depth

    def elaborate(self, platform):
        m = Module()
        m.submodules.words = words = memory.Memory(shape=2, depth=self._depth, init=[])
        write, read = words.write_port(), words.read_port()
        address = Signal(2)
        m.d.sync += [address.eq(self.d), self.q.eq(read.data)]
        m.d.comb += [write.addr.eq(address), read.addr.eq(address), write.en.eq(1)]
        m.d.comb += write.data.eq(self.d)
        return m


class Pair(wiring.Component):
    """Two units, one with a shallow memory."""

    d: In(2)
    q: Out(2)

    def elaborate(self, platform):
        m = Module()
        m.submodules.deep = deep = Unit(64)
        m.submodules.shallow = shallow = Unit(4)
        m.d.comb += [deep.d.eq(self.d), shallow.d.eq(deep.q), self.q.eq(shallow.q)]
        return m


@pytest.fixture
def liberty(tmp_path):
    gates, flops = tmp_path / "gates.lib.gz", tmp_path / "flops.lib"
    gates.write_bytes(gzip.compress(GATES.encode()))
    flops.write_text(FLIP_FLOP)
    return [gates, flops]


def test_area_by_unit_with_memories_apart(liberty):
    source = verilog.convert(Pair(), name="pair")
    measured = area.measure(source, "pair", ["pair.deep", "pair.shallow"], liberty)
    assert measured.nand2_um2 == 2.0
    found = sorted((m.unit, m.width, m.depth) for m in measured.memories)
    assert found == [("pair.deep", 2, 64), ("pair.shallow", 2, 4)]
    assert (measured.memory_bits, measured.shallow_bits) == (128, 8)
    deep, shallow = measured.um2["pair.deep"], measured.um2["pair.shallow"]
    assert 40 <= deep < 80, "four flip-flops and their reset"
    assert shallow >= deep + 8 * 10, "eight more flip-flops: the shallow memory"
    assert measured.um2["pair"] == deep + shallow
    assert measured.nand2("pair") == (deep + shallow) / 2


def test_a_table_is_gates(liberty):
    cases = " ".join(f"6'd{k}: q <= 6'd{k * k % 61};" for k in range(64))
    source = "module table_(input clk, input [5:0] a, output reg [5:0] q);"
    source += f" always @(posedge clk) case (a) {cases} endcase endmodule"
    measured = area.measure(source, "table_", [], liberty)
    assert measured.memories == ()
    assert measured.um2["table_"] > 6 * 10 + 100


def test_bad_liberty_files_are_named(liberty, tmp_path):
    gates, flops = liberty
    broken = tmp_path / "broken.lib.gz"
    broken.write_bytes(gates.read_bytes()[:40])
    for files, message in (
        ([], "name them with --liberty"),
        ([tmp_path / "none.lib"], "none.lib cannot be read"),
        ([broken], "broken.lib.gz cannot be read"),
        ([gates], "hold no flip-flop"),
        ([flops], "no cell named NAND2"),
    ):
        with pytest.raises(UserError, match=message):
            area.measure("module top; endmodule", "top", [], files)
