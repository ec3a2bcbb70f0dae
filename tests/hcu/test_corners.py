"""The HCU's corner cases, by name, for one, two and four accumulators.

With a threshold of 1 a token joins only clusters of equal bits, which makes most of them plain.
"""

from dataclasses import asdict

from vrex_sim.benches.hcu_traffic import Cluster, Head, Registers


def session(packets, registers, **more):
    return {"registers": asdict(registers), "packets": packets, **more}


def equal_only(config, **changes):
    given = {"join_window": config.joinable, "recent_window": config.open // 2, **changes}
    return Registers(**{"hamming_threshold": 1, "cluster_cap": 65535, **given})


def one_cluster(config, head):
    registers = equal_only(config, hamming_threshold=config.hyperplanes + 1)
    tokens = list(range(config.joinable))
    yield session([head.packet(tokens, registers), head.packet([5, 6], registers)], registers)
    assert head.seen["one joinable"] == config.joinable


def as_many_joinable_as_the_memory_holds(config, head):
    registers = equal_only(config)
    many = config.joinable
    packets = [
        head.packet(range(many), registers),
        head.packet([*range(many, 2 * many), many, many + 1], registers),
        head.packet([many + 3], registers),
    ]
    yield session(packets, registers)
    assert head.seen["join window holds only openers"] == many + 1
    assert head.seen["joined the last in reach"] >= 1


def newest_of_a_full_memory(config, head):
    """Its slot was the oldest's, whose word is still in reach."""
    registers = equal_only(config)
    packets = []
    for opened in range(config.joinable, config.joinable + 5):
        head = Head()
        packets.append(head.packet([*range(opened), opened - 1, opened - 1], registers))
        assert head.seen["joined the newest"] == 2
    yield session(packets, registers)


def as_many_open_as_the_memory_holds(config, head):
    registers = equal_only(config, recent_window=config.open)
    packets = [
        head.packet(range(config.open - 1), registers),
        head.packet([config.open], registers),
        head.refused([0]),
        head.packet([], registers),
    ]
    yield session(packets, registers)
    assert packets[-1]["job"]["entries"] == config.open


def full_clusters(config, head):
    registers = equal_only(config, cluster_cap=2)
    packets = [head.packet([1, 1, 1, 1, 2, 1, 2, 2], registers), head.packet([2, 1], registers)]
    packets.append(head.packet([1, 2, 1, 2], registers, resume=True))
    yield session(packets, registers)
    closed = equal_only(config, cluster_cap=0)
    yield session([Head().packet([3, 3], closed)], closed)
    assert head.seen["all full"] >= 2 and head.seen["filled"] >= 4


def heads_that_use_the_same_number(config, head):
    registers = equal_only(config, cluster_cap=4)
    other = Head(clusters=[Cluster(hash=5, first=0, count=1)], index=1)
    packets = [head.packet([5, 5, 5], registers), other.packet([5, 5, 5, 5], registers)]
    yield session(packets, registers)
    assert other.seen["joined"] == 3


def all_ties(config, head):
    registers = equal_only(config, hamming_threshold=2, cluster_cap=2)
    packets = [head.packet([1, 2, 4, 8], registers), head.packet([0, 0, 0, 0], registers)]
    yield session(packets, registers)
    assert [a["number"] for a in packets[1]["assign"][:3]] == [0, 1, 2]
    assert head.seen["all tie"] >= 1


def thresholds_nothing_and_everything_is_below(config, head):
    nothing = equal_only(config, hamming_threshold=0)
    yield session([head.packet([7] * 4, nothing), head.packet([7] * 3, nothing)], nothing)
    everything = equal_only(config, hamming_threshold=config.hyperplanes + 1)
    other = (1 << config.hyperplanes) - 1 ^ 7
    yield session([head.packet([other] * 3, everything)], everything)
    assert head.seen["opened"] == 7 and head.seen["joined"] == 3


def first_frame(config, head):
    registers = equal_only(config)
    packets = [head.packet([9, 8, 9, 7], registers), Head().packet([9], registers)]
    yield session(packets, registers)
    assert head.seen["nothing joinable"] == 1


def index_wraps(config, head):
    head.index = 65536 - 3
    registers = equal_only(config, join_window=4)
    packets = [head.packet([1, 2, 3, 4, 1, 1], registers), head.packet([2, 5, 4], registers)]
    yield session(packets, registers)
    assert head.seen["index wraps"] == 1 and head.seen["joined"] >= 1


def rings_wrap(config, head):
    registers = equal_only(config, recent_window=config.joinable)
    bits = range(1000, 1000 + 3 * config.open)
    step = config.joinable // 2
    packets = [
        head.packet([*bits[at : at + step], bits[at]], registers, resume=at % 3 == 1)
        for at in range(0, len(bits), step)
    ]
    yield session(packets, registers)
    assert head.sealed > 2 * config.open


def numbers_up_to_the_last(config, head):
    head.clusters = [Cluster(hash=0, first=0, count=0)] * 65530
    head.sealed, head.index = 65530, 70000
    registers = equal_only(config)
    packets = [
        head.packet([1, 2, 3], registers),
        head.refused([0, 0, 0]),
        head.packet([4, 5], registers, resume=True),
    ]
    yield session(packets, registers)
    assert packets[-1]["assign"][1]["number"] == 65534


def refused_jobs_harm_nothing(config, head):
    registers = equal_only(config)
    full = config.open - len(head.clusters)
    packets = [
        head.packet([1, 2], registers),
        head.refused([0] * (full - 1)),
        head.refused([0] * 3, entries=config.open - 2),
        head.packet([2, 3], registers, resume=True),
        head.refused([0] * (full - 2), resume=1),
        head.packet([3, 1], registers, resume=True),
        head.packet([1], registers),
    ]
    yield session(packets, registers)
    beyond = equal_only(config, join_window=config.joinable + 1)
    yield session([head.refused([0] * 2), head.refused([]), head.refused([0], resume=1)], beyond)
    yield session([head.packet([3], registers, resume=True)], registers)
    assert head.seen["joined"] >= 4


def packets_of_no_tokens(config, head):
    wide, narrow = equal_only(config), equal_only(config, recent_window=2, join_window=2)
    yield session([head.packet([], wide), head.packet([1, 1, 2, 3], wide)], wide)
    yield session([head.packet([], narrow), head.packet([], narrow, resume=True)], narrow)
    assert head.sealed == 1


def window_smaller_than_a_cluster(config, head):
    registers = equal_only(config, recent_window=1)
    yield session([head.packet([4, 4, 4, 5], registers), head.packet([5], registers)], registers)
    yield session([head.packet([5, 5], registers)], registers)
    assert head.sealed == len(head.clusters)


def join_window_cut_to_the_recent_one(config, head):
    registers = equal_only(config, recent_window=2)
    yield session([head.packet([1, 2, 1, 1, 3, 2], registers)], registers)
    assert head.seen["opened"] == 5


def join_window_that_shrinks_on_resume(config, head):
    wide, narrow = equal_only(config), equal_only(config, join_window=1)
    yield session([head.packet([1, 2, 3, 4], wide)], wide)
    yield session([head.packet([4, 3, 1], narrow, resume=True)], narrow)
    assert head.seen["joined"] == 1


def reset_in_mid_packet(config, head):
    registers = equal_only(config)
    cut = Head().packet([1, 2, 3, 4, 5, 6], registers)
    cut["hash"], cut["assign"] = cut["hash"][:4], cut["assign"][:4]
    ahead = Head(clusters=[Cluster(hash=1, first=0, count=1)] * 4, index=4).packet([], registers)
    ahead["table"], ahead["assign"] = ahead["table"][:2], []
    yield session([cut, ahead], registers, reset=True)
    packets = [head.packet([2, 9, 2], registers, resume=True), head.packet([9], registers)]
    yield session(packets, registers)


CORNERS = (
    one_cluster,
    as_many_joinable_as_the_memory_holds,
    newest_of_a_full_memory,
    as_many_open_as_the_memory_holds,
    full_clusters,
    heads_that_use_the_same_number,
    all_ties,
    thresholds_nothing_and_everything_is_below,
    first_frame,
    index_wraps,
    rings_wrap,
    numbers_up_to_the_last,
    refused_jobs_harm_nothing,
    packets_of_no_tokens,
    window_smaller_than_a_cluster,
    join_window_cut_to_the_recent_one,
    join_window_that_shrinks_on_resume,
    reset_in_mid_packet,
)


def test_corners(simulate, lanes):
    """All in one run, each at full speed and with stalls; a mismatch names the corner."""
    sessions = []
    for corner in CORNERS:
        for one in corner(lanes, Head()):
            sessions.append({**one, "name": corner.__name__})
    simulate(lanes, [*sessions, *({**one, "idle": 0.6, "stall": 0.6} for one in sessions)])
