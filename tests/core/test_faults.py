"""A short campaign of faults; `vrex soak` makes ten thousand."""

import json

import pytest

from vrex import HardwareError, UserError
from vrex_sim.faults import Campaign
from vrex_sim.faults import session as sessions
from vrex_sim.faults.campaign import CONFIG


@pytest.fixture(scope="module")
def keep(tmp_path_factory):
    return tmp_path_factory.mktemp("campaign") / "kept" / "soak.json"


@pytest.fixture(scope="module")
def campaign(keep):
    return Campaign(keep)


def test_nothing_wrong_goes_unflagged_and_a_campaign_goes_on(campaign, keep):
    counts = campaign.run(60)
    assert Campaign(keep).counts == counts
    assert counts.made.total() == 60
    assert counts.met.total() > 20
    assert counts.flagged.total() > 10


def test_a_wrong_output_would_be_seen(campaign, monkeypatch):
    wrong = campaign._expected["attn_out"].clone()
    wrong[0, 1, 2, 3] += 1
    monkeypatch.setitem(campaign._expected, "attn_out", wrong)
    campaign.counts.seed = 1
    with pytest.raises(
        HardwareError, match=r"session 1: .*frame 0 of head 1 is wrong, not flagged"
    ):
        campaign.run(campaign.counts.made.total() + 20)


def test_a_stray_write_would_be_seen(campaign, monkeypatch):
    monkeypatch.setattr(sessions.Session, "_lines", lambda self: [self._place.starts["out"]])
    with pytest.raises(HardwareError, match="outside of every region was written"):
        campaign.run(campaign.counts.made.total() + 20)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda kept: {"made": 3},
        lambda kept: {**kept, "made": {"reset": "many"}},
        lambda kept: {**kept, "first": 7},
        lambda kept: {**kept, "system": "another"},
    ],
    ids=["no counts", "no number", "another seed", "other Verilog"],
)
def test_counts_that_are_not_this_campaigns_are_refused(campaign, keep, tmp_path, spoil):
    kept = {**vars(campaign.counts), "made": {"reset": 1}, "met": {}, "flagged": {}}
    (tmp_path / "soak.json").write_text(json.dumps(spoil(kept)))
    with pytest.raises(UserError, match="delete it to begin anew"):
        Campaign(tmp_path / "soak.json")


def test_a_place_for_counts_that_cannot_be_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="folder cannot be made"):
        Campaign(tmp_path / "file" / "soak.json")


def test_an_output_of_before_is_not_taken_for_a_new_one(campaign):
    """Before a job its output is spoilt, also where the frame was done once before."""
    session = sessions.Session(CONFIG, campaign._verilog, campaign._trace, campaign._expected, 1)
    session.begin()
    place = session._place

    def own(frame):
        lines = place.tensor(session._run(session._output(frame)), place.tokens, place.q_heads)
        return lines[:, : place.q_heads // place.kv_heads]

    for _ in range(place.frames + 2):
        frame = session._run(session._frame(0))
        assert (own(frame) == 0x101 * sessions.CANARY).all()
        other = session._run(session._frame(1))
        session._check("none", [frame, other], session._run(session._jobs([frame, other])))
        assert (own(frame) != 0x101 * sessions.CANARY).all()
