"""What tests of every folder share; `play` is imported by its name."""

import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from amaranth.hdl import Elaboratable

from vrex_cli.app import main

sys.path.insert(0, str(Path(__file__).parent))


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


@pytest.fixture
def vrex(capsys):
    """Call the command in this process, with its exit code and streams."""

    def call(*arguments: object) -> Result:
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Result(int(end.value.code or 0), out, err)

    return call


@pytest.fixture
def refuses() -> Callable[[Callable[[], Any], str], None]:
    """Return a check that making a unit raises a ValueError whose text matches.

    Amaranth warns of every unit that was made and never elaborated, some time later, in whatever
    test runs then. One that its own constructor refused is none of those: it is told so.
    """

    def check(make: Callable[[], Any], says: str) -> None:
        with pytest.raises(ValueError, match=says) as caught:
            make()
        for frame, _ in traceback.walk_tb(caught.tb):
            unit = frame.f_locals.get("self")
            if isinstance(unit, Elaboratable):
                unit._MustUse__used = True

    return check
