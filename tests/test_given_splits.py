"""Splits and classes that are given: they stay, what lacks is drawn, and what is odd is said."""

import dataclasses
import logging

import pytest
from made_clips import make_clips
from refusals import refusal

from extract_features.given_data import DataSettings, read_given_data
from lrcn.common.clips.clip import Clip
from lrcn.common.clips.manifest import write_manifest
from lrcn.common.clips.splits import count_splits, draw_splits


def test_given_classes_without_train_clips_are_said_when_they_are_read(tmp_path, caplog):
    write_manifest(
        tmp_path / "clips.csv",
        [
            clip
            for label, split in [
                ("walk", "train"),
                ("walk", "test"),
                ("jump", "test"),
                ("a", "val"),
            ]
            for clip in make_clips(label, 2, split=split)
        ],
    )
    for paths_are_sources in (True, False):
        caplog.clear()
        settings = DataSettings(data=tmp_path / "clips.csv")
        read_given_data(settings, None, paths_are_sources=paths_are_sources)
        (said,) = [x for x in caplog.messages if "without train clips" in x]
        assert said == (
            "Classes without train clips, with which training will not start: 'a', 'jump'. Add "
            "clips, move some to the train split, or take the classes out"
        )


def test_one_class_alone_is_said_when_it_is_read(tmp_path, caplog):
    # As of a folder `videos` beside a file of labels.
    for labels, is_said in ((["videos"], True), (["walk", "run"], False)):
        caplog.clear()
        clips = [clip for label in labels for clip in make_clips(label, 3)]
        write_manifest(tmp_path / "clips.csv", clips)
        read_given_data(DataSettings(data=tmp_path / "clips.csv"), None)
        assert (f"All clips are of one class, {labels[0]!r}: training" in caplog.text) == is_said


def test_groups_that_the_expression_finds_obey_the_rules(tmp_path):
    write_manifest(tmp_path / "clips.csv", [Clip("walk/s1 a", "a.mp4", "walk")])
    settings = DataSettings(data=tmp_path / "clips.csv", group_regex="s[0-9] ")
    with refusal(f"{tmp_path}/clips.csv: clip 'walk/s1 a': expected a group without white space"):
        read_given_data(settings, None)


def test_settings_and_seed_decide_what_is_drawn(tmp_path, caplog):
    path = tmp_path / "clips.csv"
    clips = make_clips("walk", 40)
    write_manifest(path, clips)
    with caplog.at_level(logging.INFO, logger="absl"):
        drawn = read_given_data(
            DataSettings(data=path, seed=3, val_fraction=0.25, test_fraction=0.5), None
        )
    assert drawn.clips == draw_splits(clips, seed=3, val_fraction=0.25, test_fraction=0.5)
    assert "40 clips of 1 class: 10 train, 10 val, 20 test" in caplog.messages
    assert drawn.settings.seed == 3 and drawn.settings.skip_unreadable is False
    write_manifest(path, make_clips("walk", 1))
    with refusal(f"{path}: class 'walk': no clip for test. It has one clip"):
        read_given_data(DataSettings(data=path), None)


def test_groups_that_straddle_splits_are_told_of_where_they_may(tmp_path, caplog):
    path = tmp_path / "clips.csv"
    clips = make_clips("walk", 2, group="s1", split="train") + make_clips("run", 2, split="train")
    clips += make_clips("walk", 2, group="s1", split="test") + make_clips("run", 2, split="test")
    write_manifest(path, clips)
    read_given_data(DataSettings(data=path, allow_group_leak=True), None)
    assert caplog.messages == ["Groups that straddle splits: 1. Scores will be too good"]
    # A group that is found by an expression may not either.
    with refusal("expected every group in one split, received 1 in several:\n  's1' ("):
        read_given_data(DataSettings(data=path), None)
    write_manifest(path, [dataclasses.replace(clip, group="") for clip in clips])
    read_given_data(DataSettings(data=path), None)
    with refusal("expected every group in one split, received 2 in several:\n  '0' ("):
        read_given_data(DataSettings(data=path, group_regex="[01]$"), None)


def test_given_splits_stay_and_count():
    clips = make_clips("walk", 20, split="test") + make_clips("walk", 80)
    drawn = draw_splits(clips, seed=0)
    assert all(clip.split == "test" for clip in drawn[:20])
    assert count_splits(drawn) == {"walk": {"train": 65, "val": 15, "test": 20}}


def test_empty_rows_follow_the_given_split_of_their_group():
    clips = [*make_clips("walk", 9, group="g1"), *make_clips("walk", 1, group="g1", split="val")]
    clips += make_clips("walk", 1, group="g2") + make_clips("walk", 1, group="g3")
    drawn = draw_splits(clips, seed=0)
    assert [clip.split for clip in drawn[:10]] == ["val"] * 10
    assert sorted(clip.split for clip in drawn[10:]) == ["test", "train"]


def test_without_val_it_is_drawn_from_train_and_said(caplog):
    clips = make_clips("walk", 80, split="train") + make_clips("walk", 20, split="test")
    with caplog.at_level(logging.INFO, logger="absl"):
        drawn = draw_splits(clips, seed=0, val_fraction=0.25)
    assert count_splits(drawn) == {"walk": {"train": 55, "val": 25, "test": 20}}
    assert all(clip.split == "test" for clip in drawn[80:])
    assert "No clip is given as val: drawing val from train (val_fraction=0.25)." in caplog.text


def test_val_is_taken_from_a_benchmarks_train_clips_only_if_asked(caplog):
    train, test = make_clips("walk", 80, split="train"), make_clips("walk", 20, split="test")
    with caplog.at_level(logging.INFO, logger="absl"):
        for clips in (train + test, test):
            assert draw_splits(clips, seed=0) == clips
    assert "No clip is given as val" not in caplog.text
    # Without test clips, nothing else would be held out.
    assert count_splits(draw_splits(train, seed=0))["walk"]["val"] == 12


@pytest.mark.parametrize(
    "clips",
    [
        [],
        make_clips("walk", 5, split="test"),
        # Fewer than would be drawn.
        make_clips("walk", 20, split="train") + make_clips("walk", 1, split="val"),
    ],
)
def test_what_is_given_in_full_is_left_alone(clips):
    assert draw_splits(clips, seed=0) == clips


def test_no_test_is_drawn_from_given_train_clips_or_at_fraction_0():
    drawn = draw_splits(make_clips("walk", 20, split="train"), seed=0)
    assert count_splits(drawn) == {"walk": {"train": 17, "val": 3, "test": 0}}
    drawn = draw_splits(make_clips("walk", 20), seed=0, test_fraction=0)
    assert count_splits(drawn) == {"walk": {"train": 17, "val": 3, "test": 0}}
    drawn = draw_splits(make_clips("walk", 1), seed=0, val_fraction=0, test_fraction=0)
    assert drawn[0].split == "train"
