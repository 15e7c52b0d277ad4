"""`make finetune`: the cache that it makes, by the cache of the head."""

import dataclasses
import shutil
from pathlib import Path

from commands import SMALL_HEAD
from make_commands import list_flags, run_make
from small_extraction import SMALL_SETTINGS, extract

from lrcn.common.cache.open_cache import create_cache, read_cache
from lrcn.common.cache.run_dir import RunDir
from lrcn.common.clips.manifest import read_manifest
from lrcn.common.pixels.frame_selection import FrameSelection


def test_fine_tuning_follows_the_cache_of_the_head(make, clips_dir, tmp_path):
    work = tmp_path / "work" / "clips"
    settings = dataclasses.replace(SMALL_SETTINGS, selection=FrameSelection(max_frames=3))
    extract(clips_dir, work / "cache", settings, seed=3, group_regex="clip_([0-9])")
    flags = f"FLAGS={' '.join(SMALL_HEAD)} --epochs=1 --tune_epochs=1 --rnn=none"
    done = make("finetune", f"DATA={clips_dir}", flags)
    assert done.stdout.startswith("top-1 ")
    head, tuned = read_cache(work / "cache"), read_cache(work / "cache_block4_pool")
    clips = read_manifest(head.manifest_path)
    assert {clip.group for clip in clips} == set("01234567")
    assert read_manifest(RunDir(work / "finetuned").manifest_path) == clips
    assert read_manifest(tuned.manifest_path) == clips
    assert (tuned.contract.cut, tuned.contract.feature_shape) == ("block4_pool", (2, 2, 512))
    for name in ("image_size_px", "weights_sha256", "frame_selection", "views", "compute_dtype"):
        assert getattr(tuned.contract, name) == getattr(head.contract, name)
    # Another cache that is named is left to itself.
    named = list_flags(
        "finetune", f"DATA={clips_dir}", f"WORK={tmp_path}/work", f"CACHE={tmp_path}/mine"
    )
    assert named[:1] == [f"--cache_dir={tmp_path}/mine"] and len(named) == 2


def test_a_cache_for_fine_tuning_that_fits_no_more_has_its_remedy(make, cache_dir, tmp_path):
    work = tmp_path / "work" / "clips"
    shutil.copytree(cache_dir, work / "cache")
    (work / "cache_block4_pool").mkdir()
    (work / "cache_block4_pool" / "mine.txt").write_text("mine")
    data = read_cache(cache_dir).data_root
    done = make("finetune", f"DATA={data}", status=2)
    assert "holds files, but no cache" in done.stderr
    remedy = f"error: fine-tuning follows {work}/cache. If {work}/cache_block4_pool was made with"
    assert remedy in done.stderr


def test_fine_tuning_takes_no_other_frames_than_the_head(make, cache_dir, tmp_path):
    work = tmp_path / "work" / "clips"
    shutil.copytree(cache_dir, work / "cache")  # made anew since, of all frames
    data, selection = Path(read_cache(cache_dir).data_root), FrameSelection(max_frames=3)
    contract = dataclasses.replace(
        read_cache(cache_dir).contract,
        cut="block4_pool",
        feature_shape=(2, 2, 512),
        frame_selection=str(selection),
    )
    tuned_dir = work / "cache_block4_pool"
    create_cache(tuned_dir, contract=contract, data_root=data)
    done = make("finetune", f"DATA={data}", status=2)
    assert "made with frame_selection=max_frames=3, but this command needs" in done.stderr
    assert f"{tuned_dir} was made with other settings, remove it" in done.stderr
    assert not (work / "finetuned").exists()


def test_without_a_cache_of_the_head_fine_tuning_extracts_by_itself():
    done = run_make("finetune", "DATA=clips", "WORK=gone")
    assert "--cache_dir='gone/clips/cache_block4_pool' --cut=block4_pool\n" in done.stdout
    assert "recut" not in done.stdout and "--manifest" not in done.stdout


def test_imported_features_give_fine_tuning_their_splits_alone(ramps, tmp_path):
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "cache").symlink_to(ramps.cache_dir)
    arguments = ("finetune", "DATA=clips", f"WORK={tmp_path}")
    assert "recut" not in run_make(*arguments).stdout
    assert list_flags(*arguments)[2] == f"--manifest={tmp_path}/clips/cache/manifest.csv"
