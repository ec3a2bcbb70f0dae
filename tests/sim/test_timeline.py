"""The picture of a run: its forms, what it says, and what is refused."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from vrex import UserError
from vrex_hw.config import CONFIGS
from vrex_hw.core.ports import UNITS
from vrex_sim import timeline
from vrex_sim.activity import Activity
from vrex_sim.placement import Placement

BEGAN, JOB = 1000, 50


def placement(frames=5, kv_heads=4, layers=2):
    return Placement(
        config=CONFIGS["tiny"],
        frames=frames,
        tokens=3,
        q_heads=kv_heads,
        kv_heads=kv_heads,
        head_dim=8,
        hyperplanes=32,
        host_tokens=15,
        layers=layers,
    )


def activity(jobs):
    """Jobs of 50 cycles, in which one unit works after the other."""
    starts = BEGAN + 10 * np.arange(5 * jobs)
    works = np.arange(5 * jobs)[:, None] % len(UNITS) == np.arange(len(UNITS))
    return Activity(starts=starts, lengths=np.full(5 * jobs, 10), works=works)


def draw(path, **sizes):
    place = placement(**sizes)
    ends = BEGAN + JOB * (1 + np.arange(place.jobs))
    timeline.draw(activity(place.jobs), place, ends, path)


@pytest.fixture
def figures(monkeypatch):
    """Keep the figures that are saved."""
    kept = []
    save = Figure.savefig

    def keep(figure, *arguments, **options):
        kept.append(figure)
        return save(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    return kept


@pytest.mark.parametrize(
    ("form", "begins"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")]
)
def test_the_files_ending_names_its_form(tmp_path, form, begins):
    path = tmp_path / f"run.{form}"
    path.write_text("an older picture")
    draw(path)
    assert path.read_bytes().startswith(begins)
    assert list(tmp_path.iterdir()) == [path]


def test_it_tells_cycles_jobs_and_units(tmp_path, figures):
    draw(tmp_path / "run.png")
    (figure,) = figures
    hidden = activity(20).hidden()
    assert figure.get_suptitle() == (
        f"20 jobs in 1,000 cycles; {hidden:.1%} of prediction hidden behind the DPE"
    )
    whole, last = figure.axes
    assert whole.get_title("left") == "the whole run: 5 frames x 2 layers x 2 KV heads"
    assert whole.get_xlim() == (1000, 2000)
    assert last.get_xlim() == (2000 - JOB * timeline.LAST, 2000)
    for axes in figure.axes:
        labels = [label.get_text() for label in axes.get_yticklabels()]
        assert labels == [label for label, _ in timeline.ROWS]
    named = [label.get_text() for label in last.child_axes[0].get_xticklabels()]
    assert named[-1] == "frame 4, layer 1, head 1" and len(named) == timeline.LAST


def test_a_row_is_a_unit_and_all_units_have_one(tmp_path, figures):
    assert sorted(unit for _, unit in timeline.ROWS) == sorted(UNITS)
    draw(tmp_path / "run.png", frames=1)
    (axes,) = figures[0].axes
    steps = {p.get_facecolor(): p for p in axes.patches if hasattr(p, "get_data")}
    assert len([p for p in axes.patches if hasattr(p, "get_data")]) == len(UNITS) and steps
    row = [unit for _, unit in timeline.ROWS].index("dpe")
    drawn = [p for p in axes.patches if hasattr(p, "get_data")][row].get_data()
    works = (row + 0.4 - drawn.values) / 0.8
    number = UNITS.index("dpe")
    assert np.allclose(works, np.arange(200) // 10 % len(UNITS) == number)


@pytest.mark.parametrize(("frames", "marks"), [(1, 4), (10, timeline.MARKS), (11, 11), (41, 0)])
def test_ends_of_jobs_are_marked_or_of_frames_if_they_are_few(tmp_path, figures, frames, marks):
    draw(tmp_path / "run.png", frames=frames)
    lines = [line for line in figures[0].axes[0].lines if line.get_xdata()[0] > 1]
    assert len(lines) == marks


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("run.gif", "one of png, svg, pdf"),
        ("run", "one of png, svg, pdf"),
        ("none/run.png", "does not exist"),
        ("folder.png", "is a folder"),
    ],
)
def test_what_cannot_be_made_is_refused(tmp_path, name, says):
    (tmp_path / "folder.png").mkdir()
    before = sorted(tmp_path.rglob("*"))
    for make in (timeline.check, draw):
        with pytest.raises(UserError, match=says) as error:
            make(tmp_path / name)
        assert str(error.value).startswith(str(tmp_path / name))
        assert "\n" not in str(error.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_the_trace_is_not_written_over(tmp_path):
    path = tmp_path / "trace.png"
    path.touch()
    timeline.check(path)
    with pytest.raises(UserError, match="is the trace"):
        timeline.check(path, keep=path)


def test_without_matplotlib_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(timeline.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"\.\[plots\]"):
        timeline.check(tmp_path / "run.png")


def test_a_picture_that_fails_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "run.png"
    path.write_text("an older picture")

    def full(figure, name, **options):
        name.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(Figure, "savefig", full)
    with pytest.raises(UserError, match="No space left on device"):
        draw(path)
    assert path.read_text() == "an older picture"
    assert list(tmp_path.iterdir()) == [path]
