"""Clips of one file stay together, whatever groups they are given."""

import dataclasses
import random

import pytest
from commands import SMALL_HEAD, run_program
from small_data import change_manifest
from small_imports import make_features, write_features

from extract_features.clip_list import DataSettings, read_split_clips
from lrcn.common.clip import Clip
from lrcn.common.group_leaks import join_groups
from lrcn.common.manifest import read_manifest, write_manifest
from lrcn.common.open_cache import read_cache


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


def test_no_file_is_drawn_into_two_splits(tmp_path):
    path = tmp_path / "clips.csv"
    # Of each of 20 videos a span with a group and the same one without.
    clips = [
        dataclasses.replace(x, start_sec=1.0, end_sec=2.0)
        for x in make_clips([(f"v{i}.mp4", group) for i in range(20) for group in (f"s{i}", "")])
    ]
    write_manifest(path, clips)
    for seed in range(10):
        drawn, _ = read_split_clips(DataSettings(data=path, seed=seed).complete(None))
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
    assert "Groups that share a file are one, called after the file." in done.stderr
    assert "2 clips are of files that several groups share, such as b/v.mp4" in done.stderr
    assert not (tmp_path / "cache").exists()


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
    flags = (f"--cache_dir={cache_copy}", f"--run_dir={tmp_path}/run", *SMALL_HEAD)
    done = run_program("train_head", *flags, check=False)
    assert done.returncode == 1 and "received 1 in several:\n  'v.mp4' (" in done.stderr
    assert not (tmp_path / "run").exists()


def test_paths_of_imported_features_say_nothing_of_groups(run_import, manifest, tmp_path):
    clips = read_manifest(manifest)
    clips = [dataclasses.replace(x, path="x", group=f"s{i}") for i, x in enumerate(clips)]
    write_manifest(manifest, clips)
    run_import(write_features(tmp_path / "features.h5", make_features()))
    assert read_manifest(tmp_path / "cache" / "manifest.csv") == clips
    flags = (f"--cache_dir={tmp_path}/cache", f"--run_dir={tmp_path}/run", *SMALL_HEAD)
    run_program("train_head", *flags)
    assert read_manifest(tmp_path / "run" / "manifest.csv") == clips


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
    assert not (tmp_path / "cache").exists()
