"""How the tests call the command: in this process, with its exit code and streams."""

from dataclasses import dataclass

import pytest

from vrex_cli.app import main


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


@pytest.fixture
def vrex(capsys):
    def call(*arguments: object) -> Result:
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Result(int(end.value.code or 0), out, err)

    return call
