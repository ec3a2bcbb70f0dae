"""COIN's protocol on a small annotation file that we made."""

import json

import pytest

from vrex import UserError
from vrex_eval import coin

LABELS = ["open the cover", "take out the card", "insert the card", "close the cover"]


def entry(task, subset, labels):
    spans = [[10.0 * i + 2, 10.0 * i + 8.5] for i in range(len(labels))]
    return {
        "class": task,
        "subset": subset,
        "start": 2.0,
        "end": 48.5,
        "duration": 60.0,
        "annotation": [
            {"id": str(i), "segment": s, "label": label}
            for i, (s, label) in enumerate(zip(spans, labels, strict=True))
        ],
    }


@pytest.fixture
def path(tmp_path):
    database = {
        "a": entry("ReplaceSIMCard", "testing", LABELS),
        "b": entry("MakeTea", "training", ["boil water", "add tea"]),
        "c": entry("MakeTea", "testing", ["boil water"]),
    }
    (tmp_path / "COIN.json").write_text(json.dumps({"database": database}))
    return tmp_path / "COIN.json"


@pytest.fixture
def data(path):
    return coin.load(path)


def test_splits_and_categories(path, data):
    assert [v.name for v in data.videos] == ["a", "c"]
    assert [v.name for v in coin.load(path, "train").videos] == ["b"]
    assert data.tasks == ("make tea", "replace SIM card")
    assert set(data.steps) == {*LABELS, "boil water", "add tea"}


def test_samples_of_every_kind(data):
    of = {kind: list(data.samples(kind)) for kind in coin.KINDS}
    assert [len(of[kind]) for kind in coin.KINDS] == [5, 3, 2, 3, 3]
    assert of["step"][1].answer == (LABELS[1],) and of["next"][1].answer == (LABELS[2],)
    assert of["task"][0].answer == ("replace SIM card",)
    assert of["proc"][0].answer == tuple(LABELS[1:])
    assert "next 3 actions" in of["proc"][0].prompt and "number prefix" in of["proc"][0].prompt
    assert of["proc_plus"][2].prompt.startswith("To replace SIM card, what is the next action")
    assert of["step"][0].frames(2) == range(4, 18)


def test_answers_count_by_the_nearest_category(data):
    samples = list(data.samples("step"))[:4]
    said = ["Open the cover.", "took out the card", "insert card", "boil water"]
    assert coin.accuracy(data, samples, said) == 3 / 4
    assert coin.nearest("Replace sim cards", data.tasks) == "replace SIM card"


def test_a_procedure_counts_step_by_step(data):
    (first, *_) = data.samples("proc")
    text = "1. Take out the card.\n2. Boil water."
    assert coin.accuracy(data, [first], [text]) == pytest.approx(1 / 3)


def plain(a, b):
    if not a or not b:
        return len(a) + len(b)
    same = plain(a[1:], b[1:]) + (a[0] != b[0])
    return min(same, plain(a[1:], b) + 1, plain(a, b[1:]) + 1)


def test_distances_are_levenshteins():
    others = ["kitten", "", "sit", "sitting", "tin"]
    for text in ("sittin", "", "knit"):
        assert coin.distances(text, others).tolist() == [plain(text, o) for o in others]


def test_words():
    assert coin.words("ReplaceCDDriveWithSSD") == "replace CD drive with SSD"
    assert coin.words("MakeRJ45Cable") == "make RJ45 cable"


@pytest.mark.parametrize("content", ["[]", "{", '{"database": {"a": 3}}', '{"database": []}'])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(UserError, match=r"x\.json"):
        coin.load(tmp_path / "x.json")


def test_unknown_names_are_refused(tmp_path, data):
    with pytest.raises(UserError, match="split 'dev'"):
        coin.load(tmp_path / "x.json", "dev")
    with pytest.raises(UserError, match="COIN benchmark 'after'"):
        list(data.samples("after"))
    with pytest.raises(UserError, match="cannot be read"):
        coin.load(tmp_path / "none.json")
