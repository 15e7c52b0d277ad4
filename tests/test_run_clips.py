"""Splits of a manifest that does not go with its cache are refused."""

import dataclasses

import pytest
from refusals import refusal
from small_data import make_ramps, write_cache
from small_splits import write_pairs, write_splits

from lrcn.common.cache.open_cache import read_cache
from lrcn.common.cache.run_dir import read_json, write_json
from lrcn.common.clips.manifest import write_manifest
from train_head.run.run_clips import read_run_clips
from train_head.run.training_data import TrainingData


def test_a_group_that_only_the_cache_knows_may_not_straddle_either(tmp_path):
    cache = write_pairs(tmp_path / "cache", 16)
    path = write_splits(
        cache,
        tmp_path / "leaking.csv",
        test=[0],
        change=lambda x: dataclasses.replace(x, split="test") if x.clip_id == "fall/train_3" else x,
    )
    text = r"leaking\.csv: .* 1 in several:\n  'train_3' \(train: line 8 'rise/train_3'; test: line"
    with pytest.raises(ValueError, match=text) as caught:
        read_run_clips(TrainingData(cache, path))
    # Without a split, a clip of such a manifest is refused.
    assert "the same split (at extraction also none: it is drawn), or" in str(caught.value)
    content = read_json(cache.cache_dir / "cache.json")
    allowing = write_cache(
        tmp_path / "allowing",
        make_ramps(1, split="train"),
    )
    write_json(
        allowing.cache_dir / "cache.json", {**content, "data_settings": {"allow_group_leak": True}}
    )
    allowing.manifest_path.write_bytes(cache.manifest_path.read_bytes())
    clips = read_run_clips(TrainingData(read_cache(allowing.cache_dir), path))
    assert {x.split for x in clips if x.group == "train_3"} == {"train", "test"}


def test_a_manifest_of_other_spans_than_the_features_is_refused(tmp_path):
    features = {
        dataclasses.replace(clip, start_sec=1.0, end_sec=3.0): maps
        for clip, maps in make_ramps(2, split="train").items()
    }
    cache = write_cache(tmp_path / "cache", features)
    path = tmp_path / "mine.csv"
    changed = [dataclasses.replace(x, end_sec=4.0) for x in features]
    write_manifest(path, [*list(features)[:1], *changed[1:]])
    with refusal(
        f"{path}: clip {changed[1].clip_id!r}: expected start_sec and end_sec of the cached "
        f"features, start_sec=1.0 and end_sec=3.0 ({cache.manifest_path}). Received: start_sec=1.0 "
        "and end_sec=4.0. Correct or empty both, or extract"
    ):
        read_run_clips(TrainingData(cache, path))
    # Left out, they are the cache's, as are paths, which start from where the manifest lies.
    left_out = {"start_sec": None, "end_sec": None, "path": "elsewhere"}
    write_manifest(path, [dataclasses.replace(x, **left_out) for x in features])
    assert read_run_clips(TrainingData(cache, path)) == list(features)


def test_a_manifest_that_is_not_there_is_named(tmp_path):
    cache = write_pairs(tmp_path / "cache", 2)
    path = tmp_path / "gone.csv"
    with refusal(f"{path}: no such manifest. Expected a .csv with the", FileNotFoundError):
        read_run_clips(TrainingData(cache, path))


def test_a_group_of_the_manifest_comes_before_that_of_the_cache(tmp_path):
    cache = write_pairs(tmp_path / "cache", 4)
    path = write_splits(
        cache,
        tmp_path / "mine.csv",
        test=[0, 1],
        change=lambda x: dataclasses.replace(x, group="mine") if x.split == "test" else x,
    )
    clips = read_run_clips(TrainingData(cache, path))
    assert {x.group for x in clips if x.split == "test"} == {"mine"}
    assert {x.group for x in clips if x.split == "train"} == {"train_2", "train_3"}
