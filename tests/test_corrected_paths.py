"""Paths of a manifest that were corrected, where size and time of the sources do not tell."""

import os
import shutil

import numpy as np
import pytest
from media import write_video
from PIL import Image
from small_extraction import SMALL_SETTINGS, assert_same_features, extract, snapshot_clips

from extract_features.given_data import DataSettings
from extract_features.planning import make_plan
from lrcn.common.cache.cache_lock import Shard
from lrcn.common.clips.clip import Clip
from lrcn.common.clips.manifest import write_manifest

_NAMES = ("x", "y", "z")
_SPLITS = {"val_fraction": 0.0, "test_fraction": 0.0}


def write_raw_video(path, frames):
    return write_video(path.with_suffix(".avi"), frames, codec="rawvideo", pix_fmt="bgr24")


def write_bitmaps(path, frames):
    path.mkdir()
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(path / f"{number}.bmp")
        os.utime(path / f"{number}.bmp", ns=(0, 0))
    return path


@pytest.fixture(params=[write_raw_video, write_bitmaps])
def sources(tmp_path, request):
    """Three sources of one size and one time, as out of an archive."""
    random = np.random.RandomState(0)
    paths = []
    for name in _NAMES:
        frames = random.randint(0, 256, (3, 16, 16, 3), np.uint8)
        paths.append(request.param(tmp_path / name, frames))
        os.utime(paths[-1], ns=(0, 0))
    return paths


def write_list(folder, sources):
    """Writes a manifest in which the clips a, b and c come from these."""
    clips = [
        Clip(name, os.path.relpath(source, folder), "walk")
        for name, source in zip("abc", sources, strict=True)
    ]
    write_manifest(folder / "clips.csv", clips)
    return folder / "clips.csv"


def swap(sources):
    return [sources[1], sources[0], sources[2]]


def test_clips_that_were_taken_for_each_other_are_extracted_anew(sources, tmp_path):
    cache_dir = tmp_path / "cache"
    extract(write_list(tmp_path, sources), cache_dir, **_SPLITS)
    before = snapshot_clips(cache_dir)
    data = write_list(tmp_path, swap(sources))
    plan = make_plan(
        DataSettings(data=data),
        SMALL_SETTINGS,
        cache_dir=cache_dir,
        batch_size=16,
        compression="gzip",
    )
    assert (plan.clips, plan.skipped) == (2, 1)
    extract(data, cache_dir)
    assert_same_features(cache_dir, extract_whole(data, tmp_path))
    after = snapshot_clips(cache_dir)
    assert [name for name in before if before[name] == after[name]] == ["c.h5"]
    extract(data, cache_dir)
    assert snapshot_clips(cache_dir) == after


def extract_whole(data, tmp_path):
    extract(data, tmp_path / "whole", **_SPLITS)
    return tmp_path / "whole"


def test_shards_need_not_see_the_list_before(sources, tmp_path):
    cache_dir, shards = tmp_path / "cache", [Shard(i, 2) for i in range(2)]
    assert {shard.index for shard in shards for x in "ab" if shard.holds(x)} == {0, 1}
    extract(write_list(tmp_path, sources), cache_dir, **_SPLITS)
    data = write_list(tmp_path, swap(sources))
    for shard in shards:
        extract(data, cache_dir, shard=shard)
    assert_same_features(cache_dir, extract_whole(data, tmp_path))


@pytest.mark.parametrize("move", [shutil.move, shutil.copytree, os.symlink])
def test_sources_that_lie_elsewhere_are_not_extracted_anew(sources, tmp_path, move):
    cache_dir = tmp_path / "cache"
    extract(write_list(tmp_path, sources), cache_dir, **_SPLITS)
    before = snapshot_clips(cache_dir)
    (tmp_path / "new").mkdir()
    elsewhere = []
    for source in sources:
        elsewhere.append(tmp_path / "new" / source.name)
        copy = shutil.copy2 if move is shutil.copytree and source.is_file() else move
        copy(source, elsewhere[-1])
    extract(write_list(tmp_path, elsewhere), cache_dir)
    assert snapshot_clips(cache_dir) == before
