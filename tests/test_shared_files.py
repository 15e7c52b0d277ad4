"""Clips of one path stay together, whatever groups they are given."""

import dataclasses
import logging
import random

import pytest
from commands import run_program
from refusals import refusal
from small_data import change_manifest, train
from small_imports import make_features, write_features

from extract_features.given_data import DataSettings, read_given_data
from extract_features.shared_files import join_shared_files
from lrcn.common.cache.open_cache import read_cache
from lrcn.common.clips.clip import Clip
from lrcn.common.clips.group_leaks import join_groups
from lrcn.common.clips.manifest import read_manifest, write_manifest


def make_clips(rows):
    """Makes a clip of each (path, group), in turn of two classes."""
    return [
        Clip(f"c{i}", path, ("walk", "run")[i % 2], group=group)
        for i, (path, group) in enumerate(rows)
    ]


@pytest.mark.parametrize(
    ("rows", "groups"),
    [
        # Nothing is shared between groups: all stays.
        ([("a", "s1"), ("a", "s1"), ("b", ""), ("./b", "")], ["s1", "s1", "", ""]),
        ([("a", "s1"), ("b", "s1"), ("./a", ""), ("c", "")], ["a", "a", "a", ""]),
        ([("b", "s1"), ("b", "s2"), ("c", "s2"), ("d", "s3")], ["b", "b", "b", "s3"]),
        # A chain: the file that comes first as text names it.
        ([("c", "1"), ("c", "2"), ("b", "2"), ("b", "3"), ("a", "3"), ("a", "4")], ["a"] * 6),
        ([("c", "1"), ("c", "2"), ("d", "3"), ("d", "4"), ("a", "2"), ("a", "4")], ["a"] * 6),
        ([("c", "1"), ("c", "2"), ("d", "3"), ("d", "4")], ["c", "c", "d", "d"]),
        # One pair twice.
        ([("c", "1"), ("c", "2"), ("d", "1"), ("d", "2")], ["c"] * 4),
        ([], []),
    ],
)
def test_groups_that_share_a_file_are_one(rows, groups):
    clips = make_clips(rows)
    expected = {clip.clip_id: group for clip, group in zip(clips, groups, strict=True)}
    for seed in range(5):
        shuffled = random.Random(seed).sample(clips, len(clips))
        joined = join_groups(shuffled)
        assert [dataclasses.replace(x, group="") for x in joined] == [
            dataclasses.replace(x, group="") for x in shuffled
        ]
        assert {clip.clip_id: clip.group for clip in joined} == expected
        assert join_groups(joined) == joined


@pytest.mark.parametrize(
    ("groups", "splits", "num_spans", "told"),
    [
        ([""], [""], 0, "12 of 12"),
        ([""], ["train", "test", ""], 0, "12 of 12"),
        ([f"s{i}" for i in range(12)], [""], 0, ""),
        ([""], ["test"], 0, ""),
        ([""], [""], 2, "10 of 14"),  # Spans of one video are drawn together.
        ([""], [""], 12, ""),
        (["s1", "s1", ""], [""], 0, ""),
    ],
)
def test_clips_that_are_drawn_one_by_one_are_told_of(
    tmp_path, caplog, groups, splits, num_spans, told
):
    clips = [
        dataclasses.replace(clip, split=splits[i % len(splits)])
        for i, clip in enumerate(make_clips([(f"{i}.mp4", (groups * 12)[i]) for i in range(12)]))
    ]
    clips += [
        dataclasses.replace(clip, clip_id=f"s{i}", start_sec=1.0)
        for i, clip in enumerate(clips[:num_spans])
    ]
    write_manifest(tmp_path / "clips.csv", clips)
    with caplog.at_level(logging.INFO, logger="absl"):
        read_given_data(DataSettings(data=tmp_path / "clips.csv"), None)
    expected = (
        f"No group is known of {told} clips: splits are drawn clip by clip there. Where several "
        "show one subject or are of one recording, scores are too good. Name it at extraction: "
        "in a manifest's group column, or by --group_regex"
    )
    assert (expected in caplog.messages) == bool(told)
    assert any(text.startswith("No group") for text in caplog.messages) == bool(told)


def test_no_file_is_drawn_into_two_splits(tmp_path):
    path = tmp_path / "clips.csv"
    # Of each of 20 videos a span with a group and the same one without.
    clips = [
        dataclasses.replace(x, start_sec=1.0, end_sec=2.0)
        for x in make_clips([(f"v{i}.mp4", group) for i in range(20) for group in (f"s{i}", "")])
    ]
    write_manifest(path, clips)
    for seed in range(10):
        drawn = read_given_data(DataSettings(data=path, seed=seed), None).clips
        assert len({(clip.path, clip.split) for clip in drawn}) == 20


def test_a_file_that_lies_in_two_given_splits_is_refused_by_name(tmp_path):
    path = tmp_path / "clips.csv"
    rows = make_clips([("b/v.mp4", "s1"), ("b/v.mp4", ""), ("w.mp4", "s2"), ("x.mp4", "s3")])
    splits = ["train", "test", "train", "test"]
    clips = [dataclasses.replace(x, split=s) for x, s in zip(rows, splits, strict=True)]
    write_manifest(path, clips)
    flags = (f"--data={path}", f"--cache_dir={tmp_path}/cache", "--weights=random")
    done = run_program("extract_features", *flags, check=False)
    assert done.returncode == 1
    assert (
        f"error: {path}: expected every group in one split, received 1 in several:\n"
        "  'b/v.mp4' (train: line 2 'c0'; test: line 3 'c1')\n"
    ) in done.stderr
    assert "Groups that share a file are one, called after the file (" in done.stderr
    assert (
        "Clips of files that several groups share: 2, such as b/v.mp4. These groups are one"
        in done.stderr
    )
    assert not (tmp_path / "cache").exists()


def test_a_shared_file_is_named_as_short_as_can_be(tmp_path, caplog):
    clips = make_clips([("./v.mp4", "s1"), ("./v.mp4", "s2")])
    with caplog.at_level(logging.INFO, logger="absl"):
        joined = join_shared_files(clips, tmp_path)
    assert [clip.group for clip in joined] == ["v.mp4", "v.mp4"]
    assert caplog.messages[0] == (
        "Clips of files that several groups share: 2, such as ./v.mp4. These groups are one"
    )


def test_a_run_on_a_file_in_two_splits_is_refused(cache_copy, tmp_path):
    cache = read_cache(cache_copy)
    first, *_ = clips = read_manifest(cache.manifest_path)
    other = next(x for x in clips if x.split != first.split)
    groups = {first.clip_id: "s1", other.clip_id: "s2"}

    def share(clip):
        if clip.clip_id not in groups:
            return clip
        return dataclasses.replace(clip, path="v.mp4", group=groups[clip.clip_id])

    change_manifest(cache, share)
    with refusal("received 1 in several:\n  'v.mp4' ("):
        train(cache, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_paths_of_imported_features_say_nothing_of_groups(run_import, manifest, tmp_path):
    clips = read_manifest(manifest)
    clips = [dataclasses.replace(x, path="x", group=f"s{i}") for i, x in enumerate(clips)]
    write_manifest(manifest, clips)
    run_import(write_features(tmp_path / "features.h5", make_features()))
    assert read_manifest(tmp_path / "cache" / "manifest.csv") == clips
    run = train(read_cache(tmp_path / "cache"), tmp_path / "run", epochs=1)
    assert read_manifest(run.manifest_path) == clips


def test_a_group_that_the_expression_finds_is_checked_too(tmp_path):
    clips = [Clip(f"s{i} /{i}", "a", ("walk", "run")[i % 2]) for i in range(4)]
    write_manifest(tmp_path / "clips.csv", clips)
    done = run_program(
        "extract_features",
        f"--data={tmp_path}/clips.csv",
        f"--cache_dir={tmp_path}/cache",
        "--group_regex=(s.+)/",
        check=False,
    )
    assert done.returncode == 1
    assert "clips.csv: clip 's0 /0': expected a group without white space around" in done.stderr
    assert "received 's0 '. Rename it, or have --group_regex leave these out.\n" in done.stderr
    assert not (tmp_path / "cache").exists()
