"""What every harness is made of: the reset, checks that heed it, free values, stream rules.

A harness is an Amaranth module around one unit. Its registers and the unit's start with anything
in them; the first cycle is a reset, and nothing is checked in it.
"""

from typing import Any

from amaranth.asserts import AnyConst, AnySeq, Initial
from amaranth.hdl import Assert, Assume, Cover, Module, ResetSignal, Signal, Value


def start(m: Module) -> None:
    """Reset in the first cycle, from any state at all, and never again."""
    m.d.comb += Assume(ResetSignal() == Initial())


def always(m: Module, test: Any, claim: str) -> None:
    """Prove ``test`` in every cycle after the reset; ``claim`` names it in the report."""
    with m.If(~Initial()):
        m.d.comb += Assert(test, claim)


def given(m: Module, test: Any) -> None:
    """Look only at runs in which ``test`` holds in every cycle after the reset."""
    with m.If(~Initial()):
        m.d.comb += Assume(test)


def reach(m: Module, test: Any, what: str) -> None:
    """Demand a run that gets to ``test``: without one, the proof says nothing."""
    with m.If(~Initial()):
        m.d.comb += Cover(test, what)


def constant(m: Module, shape: Any, name: str) -> Any:
    """Return a value of ``shape``, of the solver's choice and the same in every cycle."""
    value = Signal(shape, name=name)
    m.d.comb += Value.cast(value).eq(AnyConst(len(Value.cast(value))))
    return value


def any_constant(m: Module, port: Any, shape: Any = None) -> None:
    """Hold an input of the unit at a value of the solver's choice.

    With a ``shape`` narrower than the input only its values are tried; a signed one wraps, so
    that ``signed(4)`` tries the 8 lowest and the 8 highest values. Narrow values keep the
    solver's work small.
    """
    shape = len(Value.cast(port)) if shape is None else shape
    m.d.comb += Value.cast(port).eq(AnyConst(shape))


def any_sequence(m: Module, port: Any, shape: Any = None) -> None:
    """Give an input a new value every cycle; ``shape`` as at :func:`any_constant`."""
    shape = len(Value.cast(port)) if shape is None else shape
    m.d.comb += Value.cast(port).eq(AnySeq(shape))


def taken(stream: Any) -> Value:
    """Return 1 in a cycle that moves a beat."""
    return stream.valid & stream.ready


def held(m: Module, stream: Any) -> Value:
    """Return 0 in a cycle that withdraws or changes a beat that was offered and not taken."""
    payload = Value.cast(stream.payload)
    waiting = Signal()
    before = Signal(len(payload))
    m.d.sync += [waiting.eq(stream.valid & ~stream.ready), before.eq(payload)]
    return ~waiting | (stream.valid & (payload == before))


def source(m: Module, stream: Any) -> None:
    """Feed an input stream of the unit: anything, at any time, held until taken."""
    any_sequence(m, stream.valid)
    any_sequence(m, stream.payload)
    given(m, held(m, stream))


def sink(m: Module, stream: Any, what: str) -> None:
    """Drain an output stream of the unit at any time and prove that it holds its beats."""
    any_sequence(m, stream.ready)
    always(m, held(m, stream), f"{what} holds its payload until it is taken")
    reach(m, stream.valid & ~stream.ready, f"{what} has to wait")


def counter(m: Module, step: Any, most: int) -> Signal:
    """Count the cycles in which ``step`` is 1, up to ``most`` and no further."""
    count = Signal(range(most + 1))
    with m.If(step & (count != most)):
        m.d.sync += count.eq(count + 1)
    return count


def at_most(m: Module, step: Any, most: int) -> None:
    """Look only at runs in which ``step`` is 1 in ``most`` cycles or fewer."""
    count = counter(m, step, most + 1)
    given(m, count <= most)


def drain(m: Module, stream: Any, waits: int) -> None:
    """Take every beat of an output stream, at once but for ``waits`` cycles at any time."""
    if waits:
        any_sequence(m, stream.ready)
        at_most(m, ~stream.ready, waits)
    else:
        m.d.comb += stream.ready.eq(1)


def total(values: list[Any]) -> Value:
    """Add up, wide enough never to overflow."""
    return sum((Value.cast(v) for v in values), start=Value.cast(0))


def within(m: Module, cycles: int, done: Any, claim: str) -> None:
    """Prove that ``done`` is 1 when ``cycles`` cycles after the reset have passed."""
    age = counter(m, 1, cycles)
    always(m, (age != cycles) | done, claim)


def in_order(
    m: Module, put: Any, given_data: Any, get: Any, got: Any, *, most: int, what: str
) -> Signal:
    """Prove that beats come out (``get``) as they went in (``put``); return how many are inside.

    The solver marks any one beat as it goes in. So many gets later as there were beats before it
    the marked one has to come out: this shows order, and that nothing is lost, doubled or made
    up. At most ``most`` beats are ever inside; a beat may pass through in one cycle.
    """
    data = Value.cast(given_data)
    level, before = Signal(range(most + 2)), Signal(range(most + 2))
    kept, marked, mark = Signal(len(data)), Signal(), Signal()
    any_sequence(m, mark)
    m.d.sync += level.eq(level + put - get)
    through = (level == 0) & put
    with m.If(marked & get):
        m.d.sync += [before.eq(before - 1), marked.eq(before != 0)]
    with m.Elif(~marked & put & mark & ~(get & through)):
        m.d.sync += [marked.eq(1), before.eq(level - get), kept.eq(data)]
    result = Value.cast(got)
    always(m, level <= most, f"{what}: it never holds more than its depth")
    always(m, ~get | (level != 0) | put, f"{what}: nothing comes out of nothing")
    always(m, ~(get & through) | (result == data), f"{what}: what passes through is unchanged")
    due = marked & get & (before == 0)
    always(m, ~due | (result == kept), f"{what}: what goes in comes out, in order")
    reach(m, due, f"{what}: a marked beat comes out")
    return level
