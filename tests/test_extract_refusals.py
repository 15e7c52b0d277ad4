"""What an extraction refuses, before anything is changed or paid."""

import csv
import dataclasses
import os
import shutil
from pathlib import Path

import pytest
from commands import SMALL_BACKBONE, read_state, run_and_list_imports, run_program
from refusals import refusal
from small_cache import list_files
from small_extraction import extract, snapshot_clips

from extract_features.given_data import DataSettings, read_given_data
from extract_features.same_data import check_data_root, check_moved_data, check_same_data
from extract_features.worklist import DataSources
from lrcn.common.cache.open_cache import read_cache
from lrcn.common.clips.clip import Clip
from lrcn.common.clips.discover import find_clips
from lrcn.common.clips.manifest import read_class_names, read_manifest, write_manifest


def test_other_settings_are_refused_by_name(clips_dir, cache_copy):
    before = snapshot_clips(cache_copy)
    done = run_program(
        "extract_features",
        f"--data={clips_dir}",
        f"--cache_dir={cache_copy}",
        "--image_size=64",
        "--cut=block4_pool",
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        f"error: {cache_copy}/cache.json: made with cut=block5_pool, image_size_px=32, "
        "feature_shape=(1, 1, 512), but this command needs cut=block4_pool, image_size_px=64, "
        "feature_shape=(4, 4, 512). Leave out the flags that differ to use the cache as it is, or "
        "name another --cache_dir (with make: CACHE=...)."
    ) in done.stderr
    assert snapshot_clips(cache_copy) == before


# The second is a shard without clips.
@pytest.mark.parametrize("flags", [[], ["--num_shards=1000", "--shard_index=0"]])
def test_other_data_of_the_same_names_is_refused(data, cache_copy, clips_dir, flags):
    before = read_state(cache_copy)
    for frame in data.glob("*/*/0.png"):
        frame.write_bytes(frame.read_bytes() + b" ")
    done = run_program(
        "extract_features", f"--data={data}", f"--cache_dir={cache_copy}", *flags, check=False
    )
    assert done.returncode == 1
    assert (
        f"error: {cache_copy}: holds features of {clips_dir}. Expected the same clips in {data}. "
        "Received: 14 of 16 that are missing or have other content or times, such as left/clip_0. "
    ) in done.stderr
    assert read_state(cache_copy) == before


def test_data_that_was_moved_may_have_changed_by_half(data, cache_copy, monkeypatch):
    monkeypatch.chdir(data)  # which the refusal does not call `.`
    cache = read_cache(cache_copy)
    clips = find_clips(data)

    def check():
        check_moved_data(cache, clips, DataSources(data), was="there", now=Path())

    for path in (data / clips[i].path for i in (0, 9, 2, 11, 4, 13, 6, 8)):
        check()
        (path / "0.png").touch()
    check()
    (data / clips[1].path / "0.png").touch()
    with refusal(f"{cache_copy}: holds features of there. Expected the same clips in {data}. "):
        check()
    # Of what is cached alone: the rest is new to it.
    for i in (9, 11):
        cache.clip_path(clips[i].clip_id).unlink()
    check()


def test_a_folder_without_the_clips_is_not_taken_for_theirs(cache_copy, clips_dir, tmp_path):
    before = read_state(cache_copy)
    shutil.copy(cache_copy / "manifest.csv", tmp_path / "clips.csv")
    done = run_program(
        "extract_features",
        f"--data={tmp_path}/clips.csv",
        f"--cache_dir={cache_copy}",
        "--skip_unreadable",
        check=False,
    )
    assert done.returncode == 1
    assert (
        f"error: {cache_copy}: holds features of {clips_dir}. Expected the same clips in "
        f"{tmp_path}. Received: 16 of 16 that are missing or"
    ) in done.stderr
    assert read_state(cache_copy) == before


@pytest.mark.parametrize("module", ["extract_features", "extract_features.plan"])
def test_a_manifest_whose_paths_start_elsewhere_is_refused_at_once(clips_dir, tmp_path, module):
    manifest = tmp_path / "splits" / "split_1.csv"
    manifest.parent.mkdir()
    write_manifest(manifest, find_clips(clips_dir))
    flags = (f"--data={manifest}", f"--cache_dir={tmp_path}/cache", *SMALL_BACKBONE)
    done, imported = run_and_list_imports(module, *flags, "--skip_unreadable", check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        f"error: {manifest}: expected paths of clips below {tmp_path}/splits. Received: 16, of "
        "which none is there, such as left/clip_0. Name the folder that they start from with "
        "--data_root."
    ) in done.stderr
    assert "tensorflow" not in imported and not (tmp_path / "cache").exists()
    settings = DataSettings(data=manifest, data_root=clips_dir)
    check_data_root(read_given_data(settings, None), None)


@pytest.mark.parametrize("module", ["extract_features", "extract_features.plan"])
def test_data_of_which_nothing_is_left_is_refused_at_once(data, tmp_path, module):
    for path in [*data.glob("*/*/*.png"), *data.glob("*/*.mp4")]:
        path.write_bytes(b"")
    path = data / "left" / "clip_7.mp4"
    path.unlink()
    os.mkfifo(path)
    flags = (f"--data={data}", f"--cache_dir={tmp_path}/cache", *SMALL_BACKBONE)
    done, imported = run_and_list_imports(module, *flags, "--skip_unreadable", check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        f"error: {data}: expected a clip that can be read. Received 16 that cannot, such as "
        f"left/clip_0: {data}/left/clip_0: expected a video or images, received 0 bytes."
    ) in done.stderr
    assert "tensorflow" not in imported and not (tmp_path / "cache").exists()


def test_one_source_that_is_there_will_do_be_it_a_link_to_nothing(tmp_path):
    clips = [Clip(f"c{i}", f"v{i}.mp4", ("walk", "run")[i % 2]) for i in range(4)]
    write_manifest(tmp_path / "clips.csv", clips)
    (tmp_path / "V0.mp4").touch()
    with refusal("such as v0.mp4. There is one that looks like it, 'V0.mp4' and not 'v0.mp4'. W"):
        extract(tmp_path / "clips.csv", tmp_path / "cache")
    (tmp_path / "V0.mp4").unlink()
    in_archive = [dataclasses.replace(clip, path=f"v.zip/{clip.path}") for clip in clips]
    write_manifest(tmp_path / "archive.csv", in_archive)
    (tmp_path / "v.zip").touch()
    with refusal("of which none is there, such as v.zip/v0.mp4. Name the folder"):
        extract(tmp_path / "archive.csv", tmp_path / "cache")
    with refusal("expected paths of clips below"):
        extract(tmp_path / "clips.csv", tmp_path / "cache")
    (tmp_path / "v3.mp4").symlink_to(tmp_path / "gone.mp4")
    (tmp_path / "around").symlink_to("around")  # a folder that cannot be looked into
    around = [dataclasses.replace(clip, path=f"around/{clip.path}") for clip in clips]
    write_manifest(tmp_path / "around.csv", around)
    for name in ("clips.csv", "around.csv"):
        with refusal(f"{name}: expected a clip that can be read. Received 4 that cannot, such as "):
            extract(tmp_path / name, tmp_path / "cache")


def test_a_whole_cache_is_of_use_without_any_source(data, cache_copy):
    flags = (f"--data={data}/clips.csv", f"--cache_dir={cache_copy}")
    shutil.copy(cache_copy / "manifest.csv", data / "clips.csv")
    run_program("extract_features", *flags)
    before = snapshot_clips(cache_copy), read_manifest(cache_copy / "manifest.csv")
    for label in ("left", "right"):
        shutil.rmtree(data / label)
    done = run_program("extract_features", *flags, "--skip_unreadable")
    assert "0 clips done, 0 skipped (already there), 16 failed" in done.stderr
    assert (snapshot_clips(cache_copy), read_manifest(cache_copy / "manifest.csv")) == before
    # So is a part of one.
    cache = read_cache(cache_copy)
    given = read_given_data(DataSettings(data=data / "clips.csv"), cache)
    first, *others = [cache.clip_path(clip.clip_id) for clip in given.clips]
    for path in others:
        path.unlink()
    check_data_root(given, cache)
    first.unlink()
    with refusal("expected paths of clips below"):
        check_data_root(given, cache)


def test_other_data_is_refused(clips_dir, cache_copy, tmp_path):
    files = list_files(cache_copy)
    manifest = (cache_copy / "manifest.csv").read_bytes()
    for label in ("walk", "run"):
        for i in range(2):
            shutil.copytree(clips_dir / "left" / "clip_0", tmp_path / "other" / label / f"{i}")
    done = run_program(
        "extract_features", f"--data={tmp_path}/other", f"--cache_dir={cache_copy}", check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert f"error: {cache_copy}: holds other data ({clips_dir}; none of its" in done.stderr
    assert list_files(cache_copy) == files
    assert (cache_copy / "manifest.csv").read_bytes() == manifest
    assert "no features" not in done.stderr
    shutil.rmtree(cache_copy / "clips")
    with refusal(", or remove this one, which has no features."):
        check_same_data(read_cache(cache_copy), find_clips(tmp_path / "other"))


def test_a_refused_extraction_leaves_the_cache_as_it_was(data, cache_copy):
    shutil.copytree(data / "right", data / "run")
    before = {x: (cache_copy / x).read_bytes() for x in ("cache.json", "manifest.csv")}
    flags = (f"--data={data}", f"--cache_dir={cache_copy}", "--seed=7", "--test_fraction=0.5")
    done = run_program("extract_features", *flags, check=False)
    assert done.returncode == 1 and "unknown label 'run'" in done.stderr
    shutil.rmtree(data / "run")
    done = run_program("extract_features", *flags, "--image_size=48", check=False)
    assert done.returncode == 1 and "made with image_size_px=32" in done.stderr
    assert {x: (cache_copy / x).read_bytes() for x in before} == before


def test_a_name_that_is_not_utf8_is_left_out_like_others(data, cache_copy):
    (data / "left" / "clip_0" / os.fsdecode(b"\xff3.png")).write_bytes(b"")
    extract(data, cache_copy, skip_unreadable=True)
    with open(cache_copy / "failures.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[1][0] == "left/clip_0" and "\\udcff3.png" in rows[1][2]


def test_a_class_that_the_cache_does_not_know_is_refused(data, cache_copy):
    shutil.move(data / "right", data / "run")
    with pytest.raises(ValueError, match=r"unknown label 'run'\. .*add it to .*/classes\.txt as"):
        extract(data, cache_copy)
    assert read_class_names(cache_copy / "classes.txt") == ["left", "right"]
    with open(cache_copy / "classes.txt", "a") as file:
        file.write("run\n")
    extract(data, cache_copy)
    assert {x.label for x in read_manifest(cache_copy / "manifest.csv")} == {"left", "run"}


def test_a_folder_of_something_else_is_refused_before_anything_is_paid(clips_dir, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    flags = (f"--data={clips_dir}", f"--cache_dir={tmp_path}", "--weights=random")
    done, imported = run_and_list_imports("extract_features", *flags, check=False)
    assert done.returncode == 1 and f"error: {tmp_path}: holds files, but no cache." in done.stderr
    assert list_files(tmp_path) == ["mine.txt"] and "tensorflow" not in imported


@pytest.mark.parametrize("num_over", [-27, 300])
def test_a_folder_whose_path_leaves_no_room_for_clips_is_refused(clips_dir, tmp_path, num_over):
    folder = tmp_path / "long"
    num_letters = os.pathconf(tmp_path, "PC_PATH_MAX") + num_over - len(f"{folder}/")
    cache_dir = f"{folder}/{'/'.join(['x' * 99] * 50)[: num_letters - 1]}x"
    done = run_program(
        "extract_features",
        *(f"--data={clips_dir}", f"--cache_dir={cache_dir}", *SMALL_BACKBONE),
        check=False,
    )
    assert done.returncode == 1 and f"error: [Errno 36] File name too long: '{folder}/x" in (
        done.stderr
    )
    assert done.stderr.endswith(". Shorten the path, or name another.\n")
    assert not folder.exists()
