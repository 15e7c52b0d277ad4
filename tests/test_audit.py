"""Near duplicates across splits: planted ones are found, and the search agrees with brute force."""

import dataclasses
import itertools

import numpy as np
import pytest
from commands import run_program
from small_data import write_cache

from lrcn.common.cache.run_dir import read_json
from lrcn.common.clips.clip import Clip
from lrcn.common.clips.manifest import write_manifest
from train_head.studies.audit_text import format_audit
from train_head.studies.near_duplicates import find_closest, find_near_duplicates

NUM_CLIPS = {"train": 12, "val": 4, "test": 5}


def make_features(*, shape=(48,), num_frames=9, seed=0):
    """Makes unrelated clips: {Clip: [T, ...] float16}, two classes."""
    random = np.random.RandomState(seed)
    features = {}
    for split, num_clips in NUM_CLIPS.items():
        for i in range(num_clips):
            clip_id = f"{split}_{i}"
            maps = random.gamma(0.5, 20, shape) * random.uniform(0.5, 1.5, (num_frames, *shape))
            clip = Clip(clip_id, clip_id, ("walk", "run")[i % 2], split)
            features[clip] = maps.astype(np.float16)
    return features


def find_clip(features, clip_id):
    return next(clip for clip in features if clip.clip_id == clip_id)


def plant(features, clip_id, maps):
    features[find_clip(features, clip_id)] = maps.astype(np.float16)


def get_maps(features, clip_id):
    return features[find_clip(features, clip_id)].astype(np.float32)


def list_pairs(audit):
    return [(pair["clip_a"], pair["clip_b"]) for pair in audit["pairs"]]


def test_planted_duplicates_across_splits_come_first_and_those_within_one_do_not(tmp_path):
    features = make_features(num_frames=130)
    plant(features, "test_0", get_maps(features, "train_3"))
    noise = np.random.RandomState(1).uniform(0.5, 1.5, (130, 48))
    near = get_maps(features, "train_5") * noise
    near[102] = get_maps(features, "train_5")[102]  # one of the 64 frames is the same
    plant(features, "val_2", near)
    plant(features, "train_8", get_maps(features, "train_7"))
    cache = write_cache(tmp_path / "cache", features)
    flags = (f"--cache_dir={cache.cache_dir}", f"--output_dir={tmp_path / 'new' / 'audit'}")
    done = run_program("train_head.audit", *flags, "--threshold=0.9", check=False)
    assert done.returncode == 1
    assert "Near duplicates across splits make scores too good. Give them one group" in done.stderr
    audit = read_json(tmp_path / "new" / "audit" / "audit.json")
    assert [audit[x] for x in ("num_clips", "threshold", "num_pairs")] == [21, 0.9, 2]
    first, second, *others = audit["pairs"]
    assert list(first) == [
        *("clip_a", "split_a", "label_a", "clip_b", "split_b", "label_b"),
        *("similarity", "frame_similarity", "frame_a", "frame_b"),
    ]
    assert list(first.values())[:8] == ["train_3", "train", "run", "test_0", "test", "walk", 1, 1]
    assert (second["clip_a"], second["clip_b"]) == ("train_5", "val_2")
    assert 0.9 < second["similarity"] < 0.9999 and second["frame_similarity"] == 1
    assert (second["frame_a"], second["frame_b"]) == (102, 102)
    assert len(others) == 48 and max(pair["similarity"] for pair in others) < 0.8
    assert not {("train_7", "train_8"), ("train_8", "train_7")} & set(list_pairs(audit))
    assert all(pair["split_a"] != pair["split_b"] for pair in audit["pairs"])
    lines = done.stdout.splitlines()
    assert lines[1].split() == [
        *(
            "1.000",
            "1.000",
            "train_3",
            "(train,",
            "run)",
            "test_0",
            "(test,",
            "walk)",
            "same",
            "frames",
        )
    ]
    assert "same frames" not in lines[2]
    assert lines[-1].startswith("In different splits with a similarity of 0.9 or more, or a frame")
    assert lines[-1].endswith("in common: 2 pairs of the 21 clips.")
    # In one split they are no leak.
    other = tmp_path / "other.csv"
    move = {"test_0": "train", "val_2": "train"}
    clips = [dataclasses.replace(x, split=move.get(x.clip_id, x.split)) for x in features]
    write_manifest(other, clips)
    run_program("train_head.audit", *flags, "--threshold=0.9", f"--manifest={other}")
    assert read_json(tmp_path / "new" / "audit" / "audit.json")["num_pairs"] == 0
    # The same again is the same file, and without a threshold nothing fails.
    assert find_near_duplicates(cache, threshold=0.9) == audit
    done = run_program("train_head.audit", *flags)
    assert "make scores too good. Give them one group" in done.stderr
    assert read_json(tmp_path / "new" / "audit" / "audit.json")["threshold"] == 0.95


@pytest.mark.parametrize("shape", [(48,), (3, 3, 512)])
def test_similarities_are_those_of_the_formula(shape, tmp_path):
    features = make_features(shape=shape, num_frames=8)  # as many as the search takes
    for i, maps in enumerate(features.values()):
        if len(shape) > 1:  # what differs lies behind the features that a search might stop at
            maps[:, :2] = 10
        maps[..., i % 3 :: 3] *= -1  # as another tool's may be
    for i in range(4):  # pairs of every similarity, so that the closest are not chance
        mixed = (1 - i / 5) * get_maps(features, f"train_{i}")
        plant(features, f"test_{i}", mixed + i / 5 * get_maps(features, f"test_{i}"))
    audit = find_near_duplicates(write_cache(tmp_path / "cache", features), threshold=0.5)
    clips, frames = {}, {}
    for clip, maps in features.items():
        rows = maps.astype(np.float64).reshape(len(maps), -1)
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        roots = np.sign(rows) * np.sqrt(np.abs(rows))
        clips[clip.clip_id] = (roots / np.sqrt(lengths.mean())).mean(axis=0)
        frames[clip.clip_id] = roots / np.sqrt(lengths)
    mean = 0.999 * np.mean(list(clips.values()), axis=0)
    expected = {}
    for a, b in itertools.combinations(features, 2):
        if a.split != b.split:
            x, y = (clips[clip.clip_id] - mean for clip in (a, b))
            expected[a.clip_id, b.clip_id] = x @ y / np.linalg.norm(x) / np.linalg.norm(y)
    closest = sorted(expected, key=expected.get, reverse=True)
    assert list_pairs(audit)[:4] == closest[:4]
    for pair in audit["pairs"]:
        key = (pair["clip_a"], pair["clip_b"])
        assert pair["similarity"] == pytest.approx(expected[key], abs=2e-6)
        x, y = (frames[clip_id] - mean for clip_id in key)
        cosines = x @ y.T / np.outer(np.linalg.norm(x, axis=1), np.linalg.norm(y, axis=1))
        assert pair["frame_similarity"] == pytest.approx(cosines.max(), abs=2e-6)
        assert cosines[pair["frame_a"], pair["frame_b"]] == pytest.approx(cosines.max(), abs=2e-6)
    assert audit["num_pairs"] == sum(cosine >= 0.5 for cosine in expected.values())


def test_the_search_finds_the_closest_of_many_clips():
    random = np.random.RandomState(0)
    vectors = random.normal(size=(2600, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    splits = random.choice(["train", "val", "test"], 2600, p=[0.45, 0.1, 0.45])
    pairs, num_reaching = find_closest(vectors, splits, num_pairs=50, threshold=0.95)
    cosines = np.triu(np.where(splits[:, None] == splits, -2, vectors @ vectors.T), 1)
    assert num_reaching == (cosines >= 0.95).sum() > 50
    a, b = np.unravel_index(np.argsort(-cosines, axis=None)[:50], cosines.shape)
    assert {frozenset(pair) for pair in pairs} == {*map(frozenset, zip(a, b, strict=True))}
    order = ["train", "val", "test"]
    assert all(order.index(splits[a]) < order.index(splits[b]) for a, b in pairs)
    assert pairs == sorted(pairs) == find_closest(vectors, splits, num_pairs=50, threshold=2)[0]


def test_clips_that_are_all_alike_have_the_same_frames(tmp_path):
    maps = next(iter(make_features().values()))
    cache = write_cache(tmp_path / "cache", dict.fromkeys(make_features(), maps))
    audit = find_near_duplicates(cache, threshold=1)
    assert audit["num_pairs"] == 12 * 4 + 12 * 5 + 4 * 5  # also those that are not listed
    assert {pair["similarity"] for pair in audit["pairs"]} == {1}


def test_what_all_clips_have_in_common_makes_none_alike(tmp_path):
    features = {clip: maps + np.float16(1000) for clip, maps in make_features().items()}
    plant(features, "test_0", get_maps(features, "train_3"))
    audit = find_near_duplicates(write_cache(tmp_path / "cache", features))
    # Of 128, more than are listed: the others are judged by the search alone.
    assert audit["num_pairs"] == 1
    assert list_pairs(audit)[0] == ("train_3", "test_0")


def test_a_threshold_of_1_counts_what_is_said_to_have_the_same_frames(tmp_path):
    features = make_features()
    # One that differs by no more than rounding does, and one that is only much alike.
    for number, noise in ((1, 0.02), (2, 0.1)):
        maps = get_maps(features, f"train_{number}")
        around = np.random.RandomState(0).uniform(1 - noise, 1 + noise, maps.shape)
        plant(features, f"test_{number}", maps * around)
    audit = find_near_duplicates(write_cache(tmp_path / "cache", features), threshold=1)
    first, second, *_ = audit["pairs"]
    assert 1 - 1e-5 < first["similarity"] < 1 - 2e-6 and 0.999 < second["similarity"] < 1 - 2e-5
    said = [line for line in format_audit(audit).splitlines() if "same frames" in line]
    assert len(said) == audit["num_pairs"] == 1 and "train_1" in said[0]


def test_what_the_head_takes_for_the_same_is_the_same(tmp_path):
    features = make_features()
    plant(features, "test_1", get_maps(features, "train_1") * 0.5)
    audit = find_near_duplicates(write_cache(tmp_path / "cache", features))
    assert (audit["num_pairs"], list_pairs(audit)[0]) == (1, ("train_1", "test_1"))
    assert min(audit["pairs"][0][x] for x in ("similarity", "frame_similarity")) > 1 - 1e-5


def test_features_of_the_other_sign_are_others(tmp_path):
    features = make_features()
    plant(features, "test_1", -get_maps(features, "train_1"))
    audit = find_near_duplicates(write_cache(tmp_path / "cache", features))
    assert audit["num_pairs"] == 0


def test_a_part_of_a_clip_counts_by_the_frame_in_common(tmp_path):
    features = make_features()
    maps = get_maps(features, "train_1") * np.arange(1, 10)[:, None] ** 1.5
    other = get_maps(features, "train_2")
    # Few of its frames, which alone have another scale and mean; more alike is one without any.
    plant(features, "train_1", maps)
    plant(features, "test_1", maps[:4:2])
    plant(features, "test_2", other * np.random.RandomState(0).uniform(0.5, 1.5, other.shape))
    # Frames in which nothing was found are no part of another clip.
    for clip_id in ("train_3", "test_3"):
        plant(features, clip_id, get_maps(features, clip_id) * (np.arange(9) > 1)[:, None])
    audit = find_near_duplicates(write_cache(tmp_path / "cache", features), threshold=0.999)
    first, second, *others = audit["pairs"]
    assert audit["num_pairs"] == 1
    assert list_pairs(audit)[:2] == [("train_1", "test_1"), ("train_2", "test_2")]
    assert first["similarity"] < second["similarity"] < 0.999
    assert first["frame_similarity"] > 1 - 1e-5 > second["frame_similarity"]
    assert (first["frame_a"], first["frame_b"]) in [(0, 0), (2, 1)]
    lines = format_audit(audit).splitlines()
    assert [i for i, line in enumerate(lines) if line.endswith("  a frame in common")] == [1]
    assert lines[-1].endswith(" 0.999 or more, or a frame in common: 1 pair of the 21 clips.")
    # Ten that do not count show how far below they are; the list is no alarm.
    assert lines[-3:-1] == ["audit.json has 39 pairs more, less alike than these.", ""]
    assert lines.index(lines[-3]) == 1 + 1 + 10
    assert ("train_3", "test_3") in list_pairs(audit)
    assert all(pair["frame_similarity"] < 0.9 for pair in others)


def test_the_first_view_decides(tmp_path):
    views = make_features(shape=(2, 48))
    for clip_id, other, view in (("test_1", "train_1", 0), ("test_2", "train_2", 1)):
        maps = get_maps(views, clip_id)
        maps[:, view] = get_maps(views, other)[:, view]
        plant(views, clip_id, maps)
    audit = find_near_duplicates(write_cache(tmp_path / "cache", views, views="flip"))
    assert audit["num_pairs"] == 1
    assert list_pairs(audit)[0] == ("train_1", "test_1")
