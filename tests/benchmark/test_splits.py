"""Which split a network belongs to."""

import hashlib
import re
from collections import Counter
from itertools import islice

import pytest
from scipy import stats

from benchmark.space.imagesets import get_images
from benchmark.space.sampler import sequence
from benchmark.space.skeletons import SKELETONS
from benchmark.space.splits import SPLITS, split_of

SEEN = ["peephole-3x2", "shallow-3x1", "wide-3x1"]
PUBLISHED = {  # the first networks of peephole-3x2
    "18ed5d1fdc2d473a": "test",
    "9d15d4e39dc08313": "train",
    "147be5220ad6a0b4": "train",
    "e738eef3d4b5a615": "train",
}


@pytest.mark.parametrize("identity", PUBLISHED)
def test_a_published_network_never_changes_its_split(identity: str) -> None:
    assert split_of("peephole-3x2", identity) == PUBLISHED[identity]


def test_the_hash_decides_by_its_first_digits() -> None:
    """By hand: below 8000... is train, below 9999... is validation, the rest is test."""
    for number in range(500):
        identity = f"{number:016x}"
        digest = hashlib.sha256(b"split-v1:" + identity.encode()).hexdigest()
        expected = "test"
        if digest < "8":
            expected = "train"
        elif digest[:13] < "9" * 13:
            expected = "validation"
        assert split_of("peephole-3x2", identity) == expected


def test_shares_over_four_thousand_networks_are_50_10_40() -> None:
    drawn = islice(sequence("peephole-3x2", get_images("cifar10")), 4_000)
    counts = Counter(one.split for one in drawn)
    found = [counts[split] for split in ("train", "validation", "test")]
    assert sum(found) == 4_000
    assert stats.chisquare(found, [2_000, 400, 1_600]).pvalue > 1e-3
    assert stats.chisquare(found, [2_200, 400, 1_400]).pvalue < 1e-3  # 55 / 10 / 35 is told apart


@pytest.mark.parametrize("skeleton", SKELETONS)
def test_a_network_is_in_the_same_split_in_both_image_sets(skeleton: str) -> None:
    splits = [
        {one.architecture_id: one.split for one in islice(sequence(skeleton, images), 50)}
        for images in map(get_images, ("cifar10", "mnist"))
    ]
    assert splits[0] == splits[1]


@pytest.mark.parametrize("skeleton", SKELETONS)
def test_held_out_skeletons_are_in_no_other_split(skeleton: str) -> None:
    splits = {one.split for one in islice(sequence(skeleton, get_images("cifar10")), 60)}
    assert splits == ({"train", "validation", "test"} if skeleton in SEEN else {"heldout"})


def test_the_four_splits_are_named() -> None:
    assert SPLITS == ("train", "validation", "test", "heldout")


def test_an_unknown_skeleton_is_refused_with_the_nearest_name() -> None:
    known = ", ".join(SKELETONS)
    message = f"unknown skeleton 'wide-3x2'; did you mean 'wide-3x1'? Known: {known}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        split_of("wide-3x2", "0" * 16)
