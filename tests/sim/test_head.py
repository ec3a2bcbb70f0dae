"""What the host keeps of a KV head: the HC table as assignments make it, and who attends what."""

import numpy as np
import pytest

from vrex_sim.head import Head


def filled(assignments):
    """Return a head that took ``assignments``: cluster number, whether it opens, token."""
    head = Head()
    for number, opened, token in assignments:
        head.assign(number, opened, token, bits=0x1_0000 + token)
    return head


THREE = [(0, True, 0), (1, True, 1), (0, False, 2), (2, True, 3), (1, False, 4), (1, False, 5)]
"""Clusters {0, 2}, {1, 4, 5} and {3}."""


def test_assignments_make_clusters_in_arrival_order():
    head = filled(THREE)
    assert head.members == [[0, 2], [1, 4, 5], [3]]
    assert head.hashes == [0x1_0000, 0x1_0001, 0x1_0003], "those of the leaders"


def test_a_cluster_that_is_not_open_is_refused():
    head = filled(THREE)
    for number in (3, 0xFFFF):
        with pytest.raises(ValueError, match=f"token 6: cluster {number} is not open"):
            head.assign(number, False, 6, 0)
    head.seal(1)
    with pytest.raises(ValueError, match="cluster 0 is not open"):
        head.assign(0, False, 6, 0)


def test_sealing_tells_which_clusters_are_new():
    head = filled(THREE)
    assert list(head.seal(2)) == [0, 1]
    assert list(head.seal(2)) == []
    assert head.counts().tolist() == [2, 3]
    assert list(head.seal(3)) == [2]
    with pytest.raises(ValueError, match="4 clusters are sealed, of 3"):
        head.seal(4)


def test_numbers_wrap_at_16_bits():
    head = Head()
    head.members = [[0]] * 65_535
    head.hashes = [0] * 65_535
    assert head.seal(65_535) == range(65_535)
    head.assign(65_535, True, 70_000, 1)
    head.assign(0, True, 70_001, 2)
    head.assign(0, False, 70_002, 2)
    assert head.members[65_535:] == [[70_000], [70_001, 70_002]]
    assert list(head.seal(1)) == [65_535, 65_536]


def test_the_table_has_the_open_clusters_as_beats():
    head = filled(THREE)
    head.assign(3, True, 0x2_ABCD, bits=0x89_1234_5678)
    head.seal(1)
    beats = head.table(hash_bytes=5)
    assert beats.dtype == np.uint8
    assert [bytes(beat).hex() for beat in beats] == [
        "0100010000" + "0100" + "0300",
        "0300010000" + "0300" + "0100",
        "7856341289" + "cdab" + "0100",
    ]
    assert Head().table(4).shape == (0, 8)


def test_a_frame_attends_sinks_selected_and_open_clusters_before_it():
    head = filled([*THREE, (3, True, 6), (2, False, 7)])
    head.seal(3)
    # Clusters {0, 2}, {1, 4, 5}, {3, 7}, {6}; two were sealed when the frame was scored.
    selected = np.array([1])
    assert head.attended(8, 0, 2, selected).tolist() == [1, 4, 5, 3, 7, 6]
    assert head.attended(7, 0, 2, selected).tolist() == [1, 4, 5, 3, 6], "7 is the frame's own"
    assert head.attended(8, 0, 2, np.array([0, 1])).tolist() == [0, 2, 1, 4, 5, 3, 7, 6]
    assert head.attended(8, 0, 4, selected[:0]).tolist() == []


def test_sinks_come_first_up_to_the_frame():
    head = filled([(0, True, 3), (0, False, 4)])
    assert head.attended(5, 3, 0, np.array([], int)).tolist() == [0, 1, 2, 3, 4]
    assert head.attended(2, 3, 0, np.array([], int)).tolist() == [0, 1]


def test_a_frame_is_stored_when_the_means_of_what_it_sealed_have_come():
    head = filled(THREE)
    assert head.stored == 0
    head.frames += 1
    assert head.stored == 1
    head.seal(2)
    for stored in (0, 0, 1):
        assert head.stored == stored
        head.means.append(np.zeros(4, np.uint16))
