"""ReSV's parameters: what they accept, what they refuse, what they mean in fixed point."""

import dataclasses

import pytest

from vrex import MODES, Params, UserError

ON = Params(estimate=True)


def test_missing_names_take_the_recommended_values():
    assert Params.from_json("{}") == MODES["recommended"]


def test_paper_mode():
    paper = MODES["paper"]
    assert (paper.k_min, paper.k_max, paper.hamming_threshold) == (1, None, 7)
    assert (paper.cluster_cap, paper.join_window, paper.hash_keys) == (256, 256, "post_rope")


def test_json_round_trip():
    params = Params(k_max=None, score_temperature=0.25, n_hyperplanes=48, text_k_max=7)
    assert Params.from_json(params.to_json()) == params


def test_mode_keeps_what_it_does_not_name():
    params = Params(n_hyperplanes=16, n_sinks=9, score_temperature=4.0).with_mode("paper")
    assert (params.n_hyperplanes, params.n_sinks, params.score_temperature) == (16, 9, 4.0)
    assert params.hamming_threshold == 7


def test_a_mode_has_no_floor_and_cap_for_text():
    params = Params(text_k_min=1, text_k_max=2)
    assert params.with_mode("recommended") == MODES["recommended"]


def test_join_window_never_exceeds_recent_window():
    assert Params(recent_window=50).join_window == 50
    assert Params(recent_window=300, join_window=200).replace(recent_window=100).join_window == 100


@pytest.mark.parametrize(
    ("ratio", "fixed"),
    [(0.0, 0), (1.0, 65536), (0.3, 19661), (0.5 / 65536, 0), (1.5 / 65536, 2), (2.5 / 65536, 2)],
)
def test_ratio_rounds_ties_to_even(ratio, fixed):
    assert Params(wicsum_ratio=ratio).ratio_fixed == fixed


def test_no_cap_is_the_largest_register_value():
    assert Params(k_max=None).k_max_fixed == 0xFFFF
    assert Params(k_max=7).k_max_fixed == 7


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, (4, 16)),
        ({"text_k_min": 2}, (2, 16)),
        ({"text_k_max": 3}, (4, 3)),
        ({"text_k_min": 9, "text_k_max": 65535}, (9, 65535)),
        ({"k_max": None}, (4, None)),
    ],
)
def test_a_text_step_has_its_own_floor_and_cap_or_those_of_a_frame(changes, text):
    params = Params(**changes)
    assert params.at(text=False) is params
    found = params.at(text=True)
    assert (found.k_min, found.k_max) == text
    assert found.replace(k_min=params.k_min, k_max=params.k_max) == params


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_hyperplanes", 0),
        ("n_hyperplanes", 65),
        ("n_hyperplanes", True),
        ("hamming_threshold", -1),
        ("wicsum_ratio", float("nan")),
        ("wicsum_ratio", -0.1),
        ("wicsum_ratio", "0.3"),
        ("k_min", 0),
        ("k_max", 0),
        ("k_max", 1.5),
        ("text_k_min", 0),
        ("text_k_min", 65536),
        ("text_k_max", 0),
        ("text_k_max", 65536),
        ("text_k_max", True),
        ("score_map", "softmax"),
        ("score_temperature", 3),
        ("score_temperature", 32),
        ("score_temperature", "1"),
        ("hash_keys", "rope"),
        ("recent_window", 0),
        ("join_window", 0),
        ("cluster_cap", 0),
        ("n_sinks", -1),
        ("attend_recent", 1),
        ("cluster_scope", "global"),
        ("cluster_bits", "median"),
        ("query", "next_layer"),
        ("estimate", 1),
        ("estimate", "true"),
    ],
)
def test_out_of_bounds_names_field_and_value(name, value):
    with pytest.raises(UserError, match=rf"parameter {name} is .*it must be"):
        Params(**{name: value})


@pytest.mark.parametrize("text", ["", "[1]", "{", '{"k_mim": 1}'])
def test_bad_json(text):
    with pytest.raises(UserError):
        Params.from_json(text)


@pytest.mark.parametrize(
    "change",
    [
        {"score_map": "raw"},
        {"attend_recent": False},
        {"cluster_scope": "per_layer"},
        {"cluster_bits": "mean"},
    ],
)
def test_what_only_the_float_reference_does(change):
    with pytest.raises(UserError, match="--engine float"):
        Params(**change).require_exact()


@pytest.mark.parametrize("change", [{"attend_recent": False}, {"cluster_scope": "per_layer"}])
def test_stand_ins_need_sealed_clusters_of_a_head(change):
    for wrong in (lambda: Params(estimate=True, **change), lambda: ON.replace(**change)):
        with pytest.raises(UserError, match=r"parameter estimate is True with .* it must be False"):
            wrong()
    assert not Params(**change).estimate


def test_hardware_refuses_stand_ins_and_what_only_float_does():
    ON.require_exact()
    with pytest.raises(UserError, match=r"the rtl engine does not do it, run it with .* exact"):
        ON.require_hardware("rtl")
    with pytest.raises(UserError, match=r"the rtl engine does not do it, run it with .* float"):
        Params(score_map="raw").require_hardware("rtl")
    Params().require_hardware("rtl")


def test_stand_ins_are_off_where_a_file_does_not_name_them():
    assert not Params.from_json("{}").estimate
    assert Params.from_json('{"estimate": true}') == ON == Params.from_json(ON.to_json())


def test_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Params().k_min = 5
