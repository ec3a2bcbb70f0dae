"""The register block: an AXI4-Lite subordinate made from the register map."""

from typing import Any

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from vrex_hw.axi import LiteSignature, Response
from vrex_hw.config import Config
from vrex_hw.registers.model import ADDRESS_BITS, Access, Register, RegisterMap


class RegisterBlock(wiring.Component):
    """The registers of a map on AXI4-Lite (our decision).

    ``bus`` takes one write and one read at a time: address and data of a write may come in either
    order; a write answers 2 cycles after it is complete, a read 3 cycles after its address. Byte
    strobes are honoured; the two low address bits are ignored. An address that is not in the map
    answers SLVERR, reads 0 and changes nothing; a write to a read-only register answers OKAY and
    changes nothing.

    ``settings`` holds what was written; ``command`` has each bit high for the one cycle in which
    it was written as 1; ``events`` takes the level of level bits and a pulse for sticky ones (a
    pulse wins over clearing in the same cycle); ``counts`` are the units' counters, which are
    never reset: ``clear_counters`` notes where they stand and reads subtract that; ``values`` are
    read as they are; ``irq`` is high while a status bit that ``interrupt_enable`` names is set.
    """

    def __init__(self, registers: RegisterMap, config: Config) -> None:
        """Make the block of ``registers`` with the constants of ``config``."""
        self._map, self._constants = registers, registers.constants(config)
        settings = registers.of(Access.SETTING)
        reset = {r.name: r.reset for r in settings}
        super().__init__(
            {
                "bus": In(LiteSignature(ADDRESS_BITS)),
                "settings": Out(data.StructLayout({r.name: r.bits for r in settings}), init=reset),
                "command": Out(_bits(registers, Access.COMMAND)),
                "events": In(_bits(registers, Access.STATUS)),
                "counts": In(_words(registers, Access.COUNTER)),
                "values": In(_words(registers, Access.VALUE)),
                "irq": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the two channels' handshakes, the registers, the counters and the read mux."""
        m = Module()
        status = self._status(m, self._write(m))
        values = dict(self._constants) | {"command": 0, "status": status}
        for access, port in (
            (Access.SETTING, self.settings),
            (Access.COUNTER, self.counts),
            (Access.VALUE, self.values),
        ):
            values |= {r.name: getattr(port, r.name) for r in self._map.of(access)}
        self._read(m, values)
        m.d.sync += self.irq.eq((status & self.settings.interrupt_enable).any())
        return m

    def _write(self, m: Module) -> Value:
        """Take writes; return the data bits written as 1 to status in this cycle."""
        bus = self.bus
        address, word, strobe = Signal(ADDRESS_BITS), Signal(32), Signal(4)
        have_address, have_data, do = Signal(), Signal(), Signal()
        ones = Signal(32)
        cleared = Signal(32)
        m.d.comb += [
            bus.awready.eq(~have_address),
            bus.wready.eq(~have_data),
            do.eq(have_address & have_data & ~bus.bvalid),
            ones.eq(word & Cat(bit.replicate(8) for bit in strobe)),
        ]
        with m.If(bus.awvalid & bus.awready):
            m.d.sync += [address.eq(bus.awaddr), have_address.eq(1)]
        with m.If(bus.wvalid & bus.wready):
            m.d.sync += [word.eq(bus.wdata), strobe.eq(bus.wstrb), have_data.eq(1)]
        with m.If(bus.bready):
            m.d.sync += bus.bvalid.eq(0)
        with m.If(do):
            m.d.sync += [have_address.eq(0), have_data.eq(0), bus.bvalid.eq(1)]
            m.d.sync += bus.bresp.eq(Response.OKAY)
            with m.Switch(address[2:]):
                for register in self._map.registers:
                    with m.Case(register.offset >> 2):
                        self._take(m, register, word, strobe)
                        if register.access is Access.COMMAND:
                            m.d.comb += self.command.eq(ones)
                        if register.access is Access.STATUS:
                            m.d.comb += cleared.eq(ones)
                with m.Default():
                    m.d.sync += bus.bresp.eq(Response.SLVERR)
        return cleared

    def _take(self, m: Module, register: Register, word: Signal, strobe: Signal) -> None:
        """Write the strobed bytes of ``word`` into a setting."""
        if register.access is not Access.SETTING:
            return
        setting = getattr(self.settings, register.name)
        for low in range(0, register.bits, 8):
            high = min(low + 8, register.bits)
            with m.If(strobe[low // 8]):
                m.d.sync += setting[low:high].eq(word[low:high])

    def _read(self, m: Module, values: dict[str, Any]) -> None:
        """Answer reads in two steps: pick a value and a counter's start, then subtract."""
        bus, start = self.bus, self._starts(m)
        address, have_address, picked = Signal(ADDRESS_BITS), Signal(), Signal()
        value, base, error = Signal(32), Signal(32), Signal()
        m.d.comb += bus.arready.eq(~have_address)
        with m.If(bus.arvalid & bus.arready):
            m.d.sync += [address.eq(bus.araddr), have_address.eq(1)]
        with m.If(bus.rready):
            m.d.sync += bus.rvalid.eq(0)
        m.d.sync += picked.eq(have_address & ~picked & ~bus.rvalid)
        m.d.sync += [value.eq(0), base.eq(0), error.eq(0)]
        with m.Switch(address[2:]):
            for register in self._map.registers:
                with m.Case(register.offset >> 2):
                    m.d.sync += value.eq(values[register.name])
                    m.d.sync += base.eq(start.get(register.name, 0))
            with m.Default():
                m.d.sync += error.eq(1)
        with m.If(picked):
            m.d.sync += [bus.rdata.eq(value - base), bus.rvalid.eq(1), have_address.eq(0)]
            m.d.sync += bus.rresp.eq(Mux(error, Response.SLVERR, Response.OKAY))

    def _starts(self, m: Module) -> dict[str, Signal]:
        """Return where each counter stood when the counters were cleared last."""
        starts = {name: Signal(32, name=f"{name}_start") for name in self.counts.shape().members}
        with m.If(self.command.clear_counters):
            m.d.sync += [start.eq(getattr(self.counts, name)) for name, start in starts.items()]
        return starts

    def _status(self, m: Module, cleared: Value) -> Value:
        """Return the status bits: levels as they are, sticky ones from flip-flops."""
        bits = []
        for index, flag in enumerate(self._map.flags(Access.STATUS)):
            bit = event = getattr(self.events, flag.name)
            if flag.sticky:
                bit = Signal(name=flag.name)
                m.d.sync += bit.eq(event | bit & ~cleared[index])
            bits.append(bit)
        return Cat(bits)


def _bits(registers: RegisterMap, access: Access) -> data.StructLayout:
    return data.StructLayout({flag.name: 1 for flag in registers.flags(access)})


def _words(registers: RegisterMap, access: Access) -> data.StructLayout:
    return data.StructLayout({register.name: 32 for register in registers.of(access)})
