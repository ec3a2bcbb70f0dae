"""An evaluation counts what it should, stops and goes on, and writes every figure."""

import json

import pytest
import torch

from vrex import UserError
from vrex_eval import run, summary, tables
from vrex_eval.benchmark import Question
from vrex_eval.methods import METHODS, make
from vrex_eval.run import Settings, evaluate
from vrex_eval.units import Folder
from vrex_eval.watch import Reference, Watch, rounds
from vrex_video.benchmark import load

from .tiny import TinyBenchmark

SMALL = {"contexts": (60,), "streams": 3, "batch": 2, "recent": 8, "probe": 3}
RECENT, CHUNKS = "recent:budget=5", "chunks:budget=1"
CELL = {
    *("method", "question", "context", "budget", "accuracy", "fetched_frame", "fetched_text"),
    *("hidden_error", "seed", "n"),
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = tmp_path_factory.mktemp("results")
    chosen = ("full", RECENT, CHUNKS, "recommended", "oaken", "rekv:budget=2")
    cells = evaluate([TinyBenchmark(0), TinyBenchmark(1)], Settings(methods=chosen, **SMALL), path)
    return path, cells


def of(cells, method, question="step", seed=0):
    return next(
        c for c in cells if (c["method"], c["question"], c["seed"]) == (method, question, seed)
    )


def test_results_have_the_agreed_form(finished):
    path, cells = finished
    assert json.loads((path / "results.json").read_text()) == cells
    assert len(cells) == 6 * 3 * 2
    for cell in cells:
        assert cell.keys() == CELL
        for name in ("accuracy", "fetched_frame", "fetched_text"):
            assert 0 <= cell[name] <= 1
    assert of(cells, "full")["n"] == 3 and of(cells, "full", "recall")["n"] == 1


def test_full_attention_is_its_own_reference(finished):
    _, cells = finished
    full = of(cells, "full", "proc")
    assert full["hidden_error"] == 0
    assert full["fetched_frame"] == full["fetched_text"] == 1
    assert of(cells, RECENT)["hidden_error"] > of(cells, CHUNKS)["hidden_error"] > 0


def test_reads_are_those_of_the_windows(finished):
    _, cells = finished
    # Frame f has 5 f tokens before it, of which recent-only reads its budget.
    read = sum(min(5, 5 * f) for f in range(12)) / sum(5 * f for f in range(12))
    assert of(cells, RECENT)["fetched_frame"] == pytest.approx(read)
    few = TinyBenchmark()
    batch = few.batch(60, 0, 2)
    sums = Watch(few, make("recent", 10), None, 0).run(batch, lambda: None)
    read = sum(min(10, 5 * f) for f in range(12)) / sum(5 * f for f in range(12))
    assert summary.cells({("recent", 10.0, 60, 0): sums})[0]["fetched_frame"] == read
    step = sums["questions"]["step"]
    assert step["read"] / step["past"] == 10 / 45
    assert "mass" not in sums["frame"]


def test_details_tell_what_was_measured(finished):
    path, _ = finished
    details = json.loads((path / "details.json").read_text())
    by_name = {d["method"]: d for d in details if d["seed"] == 0}
    full = by_name["full"]
    assert full["frame"]["mass_p10"] == 1 and full["frame"]["output_error"] < 1e-5
    assert full["questions"]["step"]["logit_kl"] == pytest.approx(0, abs=1e-6)
    chunks = by_name[CHUNKS]
    assert 0 < chunks["frame"]["mass_p10"] <= chunks["frame"]["mass_mean"] + 0.01 < 1.01
    assert chunks["frame"]["output_error"] > 0.001
    assert chunks["frame"]["overhead"] > 0
    assert len(chunks["text"]["per_layer_and_head"]) == 3
    assert chunks["questions"]["recall"]["far"]["n"] == 1
    proc = full["questions"]["proc"]
    assert proc["all_right"] <= proc["accuracy"]
    assert by_name["oaken"]["frame"]["read"] < 0.7


def test_tables_and_plots(finished):
    path, _ = finished
    text = (path / "tables.md").read_text()
    for wanted in ("recommended", "Another data set", "60 tokens", "pre_rope", "(92.5)"):
        assert wanted in text
    names = {p.name for p in (path / "plots").glob("*.png")}
    assert {
        "accuracy-60.png",
        "errors-60.png",
        "heads-recommended-60.png",
        "hamming-0.png",
    } <= names


def test_hashes_follow_cosine(finished):
    path, _ = finished
    figures = json.loads((path / "hamming-0.json").read_text())
    assert len(figures) == 3 * 2 * 2
    assert all(-1 <= one["correlation"] < -0.3 for one in figures)


def test_a_stopped_run_goes_on(tmp_path):
    settings = Settings(methods=("full", "chunks", "quest"), **SMALL)

    def stop(done, total, what):
        if what.startswith("quest"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate([TinyBenchmark()], settings, tmp_path / "a", stop)
    again = TinyBenchmark()
    resumed = evaluate([again], settings, tmp_path / "a")
    assert again.begun.count("chunks") == 1, "the second batch alone"
    assert again.begun.count("quest") == 2
    assert resumed == evaluate([TinyBenchmark()], settings, tmp_path / "b")
    third = TinyBenchmark()
    assert evaluate([third], settings, tmp_path / "a") == resumed
    assert third.begun == [], "all is there"


def test_a_folder_of_other_settings_is_refused(tmp_path):
    settings = Settings(methods=("full",), **SMALL)
    evaluate([TinyBenchmark()], settings, tmp_path)
    other = Settings(methods=("full",), **{**SMALL, "recent": 10})
    with pytest.raises(UserError, match="recent 8, not 10"):
        evaluate([TinyBenchmark()], other, tmp_path)
    (tmp_path / "plan.json").write_text("{")
    with pytest.raises(UserError, match=r"plan\.json: cannot be read"):
        evaluate([TinyBenchmark()], settings, tmp_path)


def test_a_folder_that_cannot_be_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be made"):
        Folder(tmp_path / "file", {})


def test_rounds_ask_each_stream_once_at_a_time():
    batch = TinyBenchmark().batch(60, 0, 2)
    extra = Question(kind="step", stream=1, frame=8, text=(1, 2, 3), answer=(4,), distance=1)
    batch.questions.append(extra)
    made = list(rounds(batch))
    assert [r.frame for r in made] == sorted(r.frame for r in made)
    asked = [q for r in made for q in r.questions if q is not None]
    assert sorted(map(id, asked)) == sorted(map(id, batch.questions))
    late = next(r for r in made if r.questions == [None, extra])
    assert late.text.tolist() == [[1, 2, 3], [1, 2, 3]]


def test_a_stream_that_is_not_asked_counts_nothing():
    benchmark = TinyBenchmark()
    batch = benchmark.batch(60, 0, 2)
    alone = Watch(benchmark, make("chunks", 2, recent=8), None, 3)
    sums = alone.run(batch, lambda: None)
    asked = sum(own["past"] for own in sums["questions"].values())
    assert torch.tensor(sums["text"]["past"]).sum() == asked


def test_the_reference_is_what_errors_are_measured_from():
    benchmark = TinyBenchmark()
    batch = benchmark.batch(60, 0, 2)
    full = Watch(benchmark, make("full"), None, 0)
    full.run(batch, lambda: None)
    assert isinstance(full.reference, Reference) and len(full.reference.hidden) == 12
    sums = Watch(benchmark, make("recent", 5), full.reference, 0).run(batch, lambda: None)
    assert sums["frame"]["hidden_n"] == 2 * 60
    assert summary.hidden_error(sums) > 0.01
    kl = [kl for own in sums["questions"].values() for _, _, kl in own["answers"]]
    assert all(value > 0 for value in kl)


def test_sweep_and_ablation_choose_methods():
    swept = run.chosen(Settings(methods=("chunks", "full"), sweep=True))
    assert [run.budget_of(m) for m in swept] == [*METHODS["chunks"].ladder, 1.0]
    names = [m.name for m in run.chosen(Settings(ablation=True))]
    assert "resv:k_min=4,k_max=16" in names and "resv_exact" not in names
    with pytest.raises(UserError, match="--sweep"):
        run.chosen(Settings(sweep=True, budgets=(1,)))
    with pytest.raises(UserError, match="streams is 0"):
        Settings(streams=0)
    with pytest.raises(UserError, match="sinks is -1"):
        Settings(sinks=-1)


def test_streams_that_are_too_short_leave_nothing(tmp_path):
    with pytest.raises(UserError, match="use 10 tokens or more"):
        evaluate([load(None, None, "cpu")], Settings(contexts=(5,)), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_the_table_tells_what_is_lost(finished):
    path, _ = finished
    lines = (path / "tables.md").read_text().splitlines()
    head, _, *rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("|")][:8]
    means = {row[0]: float(row[head.index("mean")]) for row in rows}
    for row in rows:
        lost = float(row[head.index("loss")])
        assert lost == pytest.approx(means["full"] - means[row[0]], abs=0.1)
        assert row[head.index("seeds")] == "2"
    assert len({row[head.index("loss")] for row in rows}) > 1


def test_ablation_has_its_table(tmp_path):
    evaluate([TinyBenchmark()], Settings(methods=("full",), ablation=True, **SMALL), tmp_path)
    assert "+ floor of 4, cap of 16" in (tmp_path / "tables.md").read_text()
    assert tables.table(["a"], [["1"]]) == "| a |\n| --- |\n| 1 |"


def test_longer_streams_go_in_smaller_batches(monkeypatch, tmp_path):
    monkeypatch.setattr(run, "BATCHED", 30)
    settings = Settings(contexts=(20, 30, 60, 900), streams=4, batch=4)
    jobs = run._pending([TinyBenchmark(0)], [make("full")], settings, Folder(tmp_path, {}))
    sizes = [(job.context, job.count) for job in jobs]
    assert sizes == [(20, 4), (30, 4), *[(60, 2)] * 2, *[(900, 1)] * 4]
