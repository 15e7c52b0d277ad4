"""The commands that make a run once more: they are run, and the runs compared."""

import dataclasses
import os
import shlex
import subprocess

import numpy as np
import pytest
from commands import run_program
from small_data import train
from small_extraction import SMALL_SETTINGS, assert_same_features, extract

from lrcn.common.cache.open_cache import read_cache
from lrcn.common.cache.run_dir import RunDir, read_json, write_json
from lrcn.common.clips.manifest import read_manifest, write_class_names, write_manifest
from lrcn.common.pixels.frame_selection import FrameSelection
from train_head.head.run_model import load_model
from train_head.run.reproduction import list_commands, make_extraction_command


def swap_splits(clips, one, other):
    """Gives each of the two splits the clips of the other."""
    swapped = {one: other, other: one}
    return [dataclasses.replace(x, split=swapped.get(x.split, x.split)) for x in clips]


def test_imported_features_have_no_command(ramps):
    with pytest.raises(ValueError, match=r"imported from somewhere\.h5.*extract_features made"):
        make_extraction_command(ramps, cache_dir="new_cache", cut="block4_pool")


def test_groups_that_straddle_splits_may_do_so_again(cache_copy):
    path = cache_copy / "cache.json"
    content = read_json(path)
    content["data_settings"]["allow_group_leak"] = True
    write_json(path, content)
    command = make_extraction_command(read_cache(cache_copy), cache_dir="again")
    assert "--allow_group_leak=true" in shlex.split(command)


def test_the_commands_make_the_same_cache_and_run_again(clips_dir, tmp_path, monkeypatch):
    cache_dir, run_dir, manifest = tmp_path / "cache", tmp_path / "a run", tmp_path / "other.csv"
    selection = FrameSelection(frame_stride=2, max_frames=3)
    settings = dataclasses.replace(SMALL_SETTINGS, views="flip", selection=selection)
    extract(clips_dir, cache_dir, settings)
    cache = read_cache(cache_dir)
    # As where clips of the one came later.
    write_class_names(cache.classes_path, ["right", "left"])
    write_manifest(manifest, swap_splits(read_manifest(cache.manifest_path), "val", "test"))
    train(cache, run_dir, manifest_path=manifest)
    # Since then, clips have been taken out of the data.
    write_manifest(cache.manifest_path, read_manifest(cache.manifest_path)[1:])
    # As a user names them, from a folder that the commands are not run in, by one that goes.
    (tmp_path / "x").mkdir()
    monkeypatch.chdir(tmp_path / "x")
    commands = list_commands(RunDir("../x/../a run"), read_cache("../x/../cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x").rmdir()
    run, cache = RunDir("a run"), read_cache("cache")

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for command in commands[:-1]:
        program, *arguments = shlex.split(command)
        if program == "python":
            option, module, *flags = arguments
            assert option == "-m"
            run_program(module, *flags, cwd=elsewhere)
        else:
            subprocess.run([program, *arguments], cwd=elsewhere, check=True)
    again = RunDir(elsewhere / "new_run")
    assert read_cache(elsewhere / "new_cache").contract == cache.contract
    assert again.classes_path.read_text() == run.classes_path.read_text()
    splits_of_run, splits_again = (
        [(x.clip_id, x.split) for x in read_manifest(x.manifest_path)] for x in (run, again)
    )
    assert splits_again == splits_of_run
    weights = zip(load_model(run).weights, load_model(again).weights, strict=True)
    for a, b in weights:
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_the_commands_find_clips_where_they_are_now(run_dir, cache_copy, data, tmp_path):
    clips = read_manifest(cache_copy / "manifest.csv")
    moved = [dataclasses.replace(x, path=f"moved/{x.path}") for x in clips]
    data.rename(tmp_path / "moved")
    write_manifest(tmp_path / "clips.csv", moved)
    extract(tmp_path / "clips.csv", cache_copy)
    run = RunDir(run_dir)
    command, *_ = list_commands(run, read_cache(cache_copy))
    _, _, module, *flags = shlex.split(command)
    run_program(module, *flags, cwd=tmp_path)
    assert_same_features(tmp_path / "new_cache", cache_copy)
    # Of other spans, the list is not that of the run's clips.
    spans = [dataclasses.replace(x, start_sec=0.0, end_sec=0.1) for x in moved]
    write_manifest(cache_copy / "manifest.csv", spans)
    command, *_ = list_commands(run, read_cache(cache_copy))
    assert f"--data={run.manifest_path}" in shlex.split(command)


def test_a_folder_whose_name_is_not_utf_8_is_named_as_bash_reads_it(trained, tmp_path):
    cache_dir = trained[0].cache_dir.rename(tmp_path / os.fsdecode(b"it's caf\xe9\xff1"))
    command, _ = list_commands(trained[1], read_cache(cache_dir))
    program = f"printf '%s\\n' {command}".encode()  # as a page of UTF-8 has it
    words = subprocess.check_output(["bash", "-c", program])
    assert os.fsencode(f"--cache_dir={cache_dir}") in words.splitlines()
