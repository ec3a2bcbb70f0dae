"""Boards: pins, clocks, and what the user reads when a name is wrong."""

import re

import pytest

from vrex import UserError
from vrex_synth import boards
from vrex_synth.pll import VCO_MHZ, dividers


def test_an_unknown_board_is_named_with_the_known_ones(tmp_path):
    with pytest.raises(UserError, match="unknown board 'basys3': known are ulx3s-85f"):
        boards.build("basys3", None, tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_output_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(UserError, match=r"folder .*file/x cannot be written"):
        boards.build("ulx3s-85f", None, tmp_path / "file" / "x")


@pytest.mark.parametrize("board", boards.BOARDS.values(), ids=boards.BOARDS)
def test_every_port_has_pins_of_its_own(board):
    text = board.constraints()
    balls = re.findall(r'LOCATE COMP "([^"]+)" SITE "(\w+)"', text)
    assert len({ball for _, ball in balls}) == len(balls)
    wanted = {
        name if port.shape == 1 else f"{name}[{bit}]"
        for name, port in boards.PORTS.items()
        for bit in range(port.shape)
    }
    assert {name for name, _ in balls} == wanted
    assert f'FREQUENCY PORT "crystal" {board.crystal_mhz:g} MHZ;' in text


@pytest.mark.parametrize("wanted", [10, 25, 40, 50, 62.5, 65, 75, 80, 100, 125, 400])
def test_pll_dividers_are_exact_and_in_range(wanted):
    found = dividers(25, wanted)
    assert 25 * found.feedback / found.reference == wanted
    assert VCO_MHZ[0] <= wanted * found.output <= VCO_MHZ[1]


@pytest.mark.parametrize("wanted", [2, 33.3, 500])
def test_a_clock_that_the_pll_cannot_make_is_refused(wanted):
    with pytest.raises(UserError, match=f"cannot make {wanted:g} MHz from 25 MHz"):
        dividers(25, wanted)
