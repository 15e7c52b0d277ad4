"""Drawn splits: by group, from the seed alone, with something of every class in each."""

import collections
import dataclasses
import logging
import random

import pytest
from made_clips import make_clips
from refusals import refusal

from lrcn.common.clips.clip import Clip
from lrcn.common.clips.splits import count_splits, draw_splits


def make_random_clips(rng):
    """A manifest where groups hold one or several classes, and some splits are given."""
    clips = []
    labels = [f"class_{i}" for i in range(rng.randint(1, 5))]
    for group in range(rng.randint(12, 30)):
        split = rng.choice(["", "", "", "", "train", "val", "test"])
        for label in rng.sample(labels, rng.randint(1, len(labels))):
            for clip in make_clips(label, rng.randint(1, 6), group=f"s{group}", split=split):
                keep = rng.random() < 0.7
                clips.append(clip if keep else dataclasses.replace(clip, split=""))
    return clips


def split_of(clips):
    return {clip.clip_id: clip.split for clip in clips}


def test_fractions_are_kept_by_class():
    clips = make_clips("walk", 100) + make_clips("run", 20)
    assert count_splits(draw_splits(clips, seed=0)) == {
        "run": {"train": 13, "val": 3, "test": 4},
        "walk": {"train": 65, "val": 15, "test": 20},
    }


def test_the_draw_depends_on_the_seed_alone():
    clips = [clip for label in "abc" for clip in make_clips(label, 40)]
    drawn = draw_splits(clips, seed=0)
    assert [clip.clip_id for clip in drawn] == [clip.clip_id for clip in clips]
    shuffled = random.Random(1).sample(clips, len(clips))
    assert split_of(draw_splits(shuffled, seed=0)) == split_of(drawn)
    assert split_of(draw_splits(clips, seed=1)) != split_of(drawn)
    # The hash is the same everywhere and always: a new version must draw the same.
    few = draw_splits(make_clips("walk", 10), seed=0)
    assert " ".join(clip.split for clip in few) == (
        "test val train train train train test train train train"
    )


def test_one_more_clip_changes_little():
    clips = make_clips("walk", 200)
    before = split_of(draw_splits(clips[:-1], seed=3))
    after = split_of(draw_splits(clips, seed=3))
    assert sum(after[clip_id] != split for clip_id, split in before.items()) <= 3


@pytest.mark.parametrize("seed", range(150))
def test_on_random_manifests_no_group_straddles_and_no_class_lacks(seed):
    rng = random.Random(seed)
    clips = make_random_clips(rng)
    drawn = draw_splits(clips, seed=seed)
    splits_of = collections.defaultdict(set)
    for clip, given in zip(drawn, clips, strict=True):
        assert given.split in ("", clip.split)
        splits_of[clip.group].add(clip.split)
    assert {len(splits) for splits in splits_of.values()} == {1}
    shuffled = rng.sample(clips, len(clips))
    assert split_of(draw_splits(shuffled, seed=seed)) == split_of(drawn)
    for counts in count_splits(drawn).values():
        assert counts["train"] and counts["test"] and counts["val"]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(
    ("sizes", "splits"),
    [
        ([1, 1], ["test", "train"]),
        ([9, 1], ["test", "train"]),
        ([9, 6], ["test", "train"]),
        ([1, 1, 1], ["test", "train", "val"]),
        ([30, 1, 1], ["test", "train", "val"]),
        ([5, 5, 5], ["test", "train", "val"]),
    ],
)
def test_few_groups_are_shared_out(sizes, splits, seed):
    clips = []
    for group, size in enumerate(sizes):
        clips += make_clips("walk", size, group=f"g{group}")
    drawn = draw_splits(clips, seed=seed)
    assert sorted({clip.split for clip in drawn}) == splits
    assert sum(clip.split == "train" for clip in drawn) == max(sizes)


@pytest.mark.parametrize(
    ("groups", "val_fraction"),
    [
        # Val gives up its only group.
        ([{"a": 1}, {"a": 1}], 0.6),
        # A group of two classes stays in train for the sake of one.
        ([{"a": 1}, {"a": 1, "b": 2}, {"b": 3}], 0.15),
        # What a class has too many of counts against the group, too.
        ([{"c": 2, "a": 2}, {"b": 1}, {"a": 3, "b": 1}, {"b": 2, "c": 1}], 0.15),
        # A group that empties nothing goes before a smaller one that does.
        ([{"c": 1, "b": 1}, {"c": 3}, {"c": 2, "a": 2}, {"b": 1, "a": 2}], 0.6),
        # One that another class needs in train goes to test, and another comes in its place.
        ([{"c": 1}, {"a": 1}, {"b": 1, "c": 2}, {"a": 2, "b": 2}], 0.15),
        ([{"d": 2, "c": 2}, {"b": 1}, {"d": 1, "b": 2}, {"c": 2}], 0.15),
        # What comes in its place is of both classes that need one.
        (
            [
                {"d": 1},
                {"c": 2, "a": 1, "b": 1},
                {"e": 1},
                {"d": 1, "e": 2, "a": 1},
                {"b": 1, "c": 2, "e": 1},
            ],
            0.15,
        ),
    ],
)
def test_groups_of_several_classes_are_shared_out(groups, val_fraction):
    clips = []
    for number, counts in enumerate(groups):
        for label, count in counts.items():
            clips += make_clips(label, count, group=f"g{number}")
    drawn = draw_splits(clips, seed=0, val_fraction=val_fraction, test_fraction=0.2)
    for counts in count_splits(drawn).values():
        assert counts["train"] and counts["test"]
    in_reverse = draw_splits(clips[::-1], seed=0, val_fraction=val_fraction, test_fraction=0.2)
    assert in_reverse[::-1] == drawn


@pytest.mark.parametrize("seed", range(20))
def test_subjects_who_do_every_action(seed):
    clips = []
    for subject in range(3):
        for label in ("walk", "run", "hop"):
            clips += make_clips(label, 4, group=f"subject{subject}")
    for counts in count_splits(draw_splits(clips, seed=seed)).values():
        assert counts == {"train": 4, "val": 4, "test": 4}


@pytest.mark.parametrize("seed", range(20))
def test_spans_of_one_video_stay_together(seed):
    clips = [
        Clip(f"{video}/{i}", f"{video}.mp4", "walk", start_sec=float(i), end_sec=float(i + 1))
        for video in range(8)
        for i in range(5)
    ]
    drawn = draw_splits(clips, seed=seed)
    assert len({(clip.path, clip.split) for clip in drawn}) == 8


def test_no_val_for_a_class_with_two_groups_is_a_warning(caplog):
    with caplog.at_level(logging.WARNING, logger="absl"):
        draw_splits(make_clips("walk", 2) + make_clips("run", 3), seed=0)
    assert "with too few groups for val clips: 'walk'. These do not help to choose" in caplog.text
    assert "Add clips of other groups, or give the splits" in caplog.text


def test_train_is_covered_even_at_a_large_test_fraction():
    drawn = draw_splits(make_clips("walk", 2), seed=0, val_fraction=0, test_fraction=0.9)
    assert sorted(clip.split for clip in drawn) == ["test", "train"]


@pytest.mark.parametrize(
    ("clips", "text"),
    [
        (make_clips("hop", 1), "class 'hop': no clip for test. It has one clip ('hop/x0.mp4') to"),
        (
            make_clips("hop", 4, group="g1"),
            "It has one group ('g1', 4 clips) to draw, which cannot",
        ),
        (
            [Clip(a + b, a + b, b, "", a) for a, b in ["1a", "1b", "2b", "2c", "3c", "3a"]],
            "It has groups that other classes need elsewhere (",
        ),
    ],
)
def test_a_class_that_cannot_be_trained_and_tested(clips, text):
    with refusal(text) as caught:
        draw_splits(make_clips("walk", 9) + clips, seed=0)
    assert "cannot be both trained on and tested. Add clips" in str(caught.value)
    assert "draw no test split: --test_fraction=0 (with make: make" in str(caught.value)


@pytest.mark.parametrize(
    ("val_fraction", "test_fraction"),
    [(-0.1, 0.2), (0.1, -0.2), (0.5, 0.5), (float("nan"), 0.2), (0.1, float("nan"))],
)
def test_bad_fractions_are_refused(val_fraction, test_fraction):
    with refusal(f"received val_fraction={val_fraction}, test_fraction={test_fraction}. Correct"):
        draw_splits([], seed=0, val_fraction=val_fraction, test_fraction=test_fraction)
