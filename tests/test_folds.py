"""Folds hold every clip out once, whole groups with it."""

import dataclasses
import warnings

import pytest

from lrcn.common.clips.clip import Clip
from train_head.studies.folds import draw_folds


def make_clips(groups, label="walk"):
    return [Clip(f"{label}_{i}", f"{label}_{i}", label, "", g) for i, g in enumerate(groups)]


def test_folds_hold_every_clip_out_once_and_whole_groups():
    clips = make_clips("aabbccddeeffgghh") + make_clips("abcdefghijklmnop", "run")
    folds = draw_folds(clips, num_folds=4, seed=0)
    held_out = [{clip.clip_id for clip in fold if clip.split == "test"} for fold in folds]
    assert sum(map(len, held_out)) == len(clips) and len(set.union(*held_out)) == len(clips)
    for fold in folds:
        assert [clip.clip_id for clip in fold] == [clip.clip_id for clip in clips]
        split_of = {}
        for clip in fold:
            assert split_of.setdefault(clip.group, clip.split) == clip.split
        for label in ("walk", "run"):
            splits = {clip.split for clip in fold if clip.label == label}
            assert splits == {"train", "test"}
    assert draw_folds(clips, num_folds=4, seed=0) == folds
    assert draw_folds(clips, num_folds=4, seed=1) != folds


def test_too_few_groups_are_refused():
    text = r"a group of clips for each fold\. Received: 2 groups, --folds=3\. Lower --folds"
    with pytest.raises(ValueError, match=text):
        draw_folds(make_clips("aaabbb"), num_folds=3, seed=0)
    clips = make_clips("abcdef") + make_clips("gggggg", "run")
    with pytest.raises(ValueError, match=r"at least two folds\. Received: all clips of run in one"):
        draw_folds(clips, num_folds=2, seed=0)


def test_a_class_of_several_groups_in_one_fold_may_be_parted():
    clips = make_clips("aabccc") + make_clips("aab", "run")
    text = r"all clips of run in one, .*Where they are of several groups, take more --folds or anot"
    with pytest.raises(ValueError, match=text):
        draw_folds(clips, num_folds=2, seed=0)
    assert len(draw_folds(clips, num_folds=3, seed=0)) == 3
    assert len(draw_folds(clips, num_folds=2, seed=1)) == 2


def test_classes_smaller_than_the_folds_are_refused_in_our_words():
    clips = make_clips("abcd") + make_clips("efgh", "run")
    with pytest.raises(ValueError, match=r"at most 4 clips of a class, --folds=5\. Lower"):
        draw_folds(clips, num_folds=5, seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of scikit-learn's, which names no flag
        draw_folds(clips + make_clips("ij", "rest"), num_folds=3, seed=0)
    # One class with a clip for each is enough.
    assert len(draw_folds(clips, num_folds=4, seed=0)) == 4


def test_as_many_folds_as_groups_leave_one_out_each():
    clips = make_clips("rqqp", "a") + make_clips("rqq", "b") + make_clips("sps", "c")
    folds = draw_folds(clips, num_folds=4, seed=0)
    held_out = [{clip.group for clip in fold if clip.split == "test"} for fold in folds]
    assert held_out == [{"p"}, {"q"}, {"r"}, {"s"}]


def test_labels_of_clips_do_not_count_where_frames_have_them():
    clips = [dataclasses.replace(x, label=x.clip_id) for x in make_clips("aabbccdd")]
    with pytest.raises(ValueError, match=r"at most 1 clip of a class, --folds=2\. Lower"):
        draw_folds(clips, num_folds=2, seed=0)
    folds = draw_folds(clips, num_folds=2, seed=0, by_class=False)
    first, second = ([x.group for x in fold if x.split == "test"] for fold in folds)
    assert sorted(first + second) == [*"aabbccdd"] and len(first) == 4
