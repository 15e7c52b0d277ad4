"""Paths of a manifest that were corrected, where size and time of the sources do not tell."""

import os
import shutil

import numpy as np
import pytest
from media import write_video
from PIL import Image
from small_extraction import SMALL_SETTINGS, assert_same_features, extract, snapshot_clips

from extract_features.corrected_paths import find_corrected
from extract_features.given_data import DataSettings
from extract_features.planning import make_plan
from extract_features.worklist import DataSources
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


def write_sources(folder, write=write_raw_video):
    """Writes three sources of one size and one time, as out of an archive."""
    random = np.random.RandomState(0)
    sources = []
    for name in _NAMES:
        frames = random.randint(0, 256, (3, 16, 16, 3), np.uint8)
        sources.append(write(folder / name, frames))
        os.utime(sources[-1], ns=(0, 0))
    return sources


def make_clips(folder, sources):
    """Makes the clips a, b and c of these."""
    return [
        Clip(name, os.path.relpath(source, folder), "walk")
        for name, source in zip("abc", sources, strict=True)
    ]


def write_list(folder, sources):
    write_manifest(folder / "clips.csv", make_clips(folder, sources))
    return folder / "clips.csv"


def swap(sources):
    return [sources[1], sources[0], sources[2]]


@pytest.mark.parametrize("write", [write_raw_video, write_bitmaps])
def test_clips_that_were_taken_for_each_other_are_extracted_anew(write, tmp_path):
    sources, cache_dir = write_sources(tmp_path, write), tmp_path / "cache"
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


def test_shards_need_not_see_the_list_before(tmp_path):
    sources, cache_dir = write_sources(tmp_path), tmp_path / "cache"
    shards = [Shard(i, 2) for i in range(2)]
    assert {shard.index for shard in shards for x in "ab" if shard.holds(x)} == {0, 1}
    extract(write_list(tmp_path, sources), cache_dir, **_SPLITS)
    data = write_list(tmp_path, swap(sources))
    for shard in shards:
        extract(data, cache_dir, shard=shard)
    assert_same_features(cache_dir, extract_whole(data, tmp_path))


@pytest.mark.parametrize("move", [shutil.move, shutil.copytree, os.symlink])
@pytest.mark.parametrize("write", [write_raw_video, write_bitmaps])
def test_sources_that_lie_elsewhere_are_the_same(write, move, tmp_path):
    sources = write_sources(tmp_path, write)
    listed = make_clips(tmp_path, sources)
    (tmp_path / "new").mkdir()
    elsewhere = [tmp_path / "new" / source.name for source in sources]
    for source, place in zip(sources, elsewhere, strict=True):
        copies_file = move is shutil.copytree and source.is_file()
        (shutil.copy2 if copies_file else move)(source, place)
    clips = make_clips(tmp_path, elsewhere)
    assert find_corrected(listed, clips, DataSources(tmp_path)) == set()
    swapped = make_clips(tmp_path, swap(elsewhere))
    corrected = find_corrected(listed, swapped, DataSources(tmp_path))
    assert corrected == (set() if move is shutil.move else {"a", "b"})


def test_files_that_are_numbered_anew_are_those_of_their_times(tmp_path):
    sources = write_sources(tmp_path)
    for time_sec, source in enumerate(sources):
        os.utime(source, (time_sec, time_sec))
    listed = make_clips(tmp_path, sources)
    places = [*sources[1:], tmp_path / "more.avi"]
    for source, place in zip(reversed(sources), reversed(places), strict=True):
        source.rename(place)
    assert find_corrected(listed, make_clips(tmp_path, places), DataSources(tmp_path)) == set()
