"""What cannot be scored is refused, with the reason."""

import dataclasses
import functools
import os
import shutil
import subprocess
import zipfile

import numpy as np
import pytest
from commands import SMALL_HEAD, run_program
from refusals import no_more_open_files, refusal
from small_data import change_manifest, write_cache
from small_extraction import extract

from lrcn.common.cache.open_cache import read_cache
from lrcn.common.cache.run_dir import RunDir, read_json, write_json
from lrcn.common.clips.clip import Clip
from lrcn.common.clips.manifest import read_manifest
from train_head.head.run_model import load_model
from train_head.reports.report_data import describe_origin
from train_head.reports.reporting import write_report
from train_head.run.config import read_config
from train_head.run.training_data import TrainingData
from train_head.scores.evaluation import evaluate_run
from train_head.training.train import train_run

SCORE_AND_REPORT = (functools.partial(evaluate_run, split="test"), write_report)


def test_cache_of_other_features_is_refused(run_dir, tmp_path):
    clip = Clip("left/clip_0", "left/clip_0", "left", "test")
    other = write_cache(tmp_path / "other", {clip: np.ones((3, 2))})
    for make in SCORE_AND_REPORT:
        with pytest.raises(ValueError, match=r"other: made with backbone=imported, .* but this"):
            make(RunDir(run_dir), other)
    assert not (run_dir / "report.html").exists()


def test_split_without_clips_is_refused(run_dir, cache_dir, tmp_path):
    run = RunDir(shutil.copytree(run_dir, tmp_path / "run"))
    lines = run.manifest_path.read_text().splitlines(keepends=True)
    run.manifest_path.write_text("".join(line for line in lines if ",val," not in line))
    with refusal("manifest.csv: has no clips of the split val, but of test and train. Name"):
        evaluate_run(run, read_cache(cache_dir), split="val")
    run.manifest_path.write_text(
        "".join(line for line in lines if ",val," not in line and ",test," not in line)
    )
    with refusal("manifest.csv: expected test or val clips to report on. Received: train clips"):
        write_report(run, read_cache(cache_dir))


@pytest.mark.parametrize(
    ("field", "text"),
    [
        (
            {"label": "hop"},
            "clip '{}': unknown label 'hop'. The classes are 'left', 'right'. Correct the label. "
            "Or undo what was changed in {run}/classes.txt.",
        ),
        ({"split": ""}, "expected a split for every clip. Received: '{}' without. Give it"),
    ],
)
def test_a_clip_of_the_run_that_somebody_changed_is_refused(
    run_dir, cache_dir, tmp_path, field, text
):
    run = RunDir(shutil.copytree(run_dir, tmp_path / "run"))
    name = next(x.clip_id for x in run.read_clips() if x.split == "test")
    change_manifest(run, lambda x: dataclasses.replace(x, **field) if x.clip_id == name else x)
    flags = (f"--cache_dir={cache_dir}", f"--run_dir={run.path}")
    done = run_program("train_head.evaluate", *flags, check=False)
    assert done.returncode == 1
    assert f"error: {run.manifest_path}: {text.format(name, run=run.path)}" in done.stderr


def test_clips_that_the_cache_lacks_or_has_of_another_span_are_not_scored(
    run_dir, cache_copy, tmp_path
):
    run, cache = RunDir(shutil.copytree(run_dir, tmp_path / "run")), read_cache(cache_copy)
    clips = [clip for clip in read_manifest(run.manifest_path) if clip.split == "train"]

    def move(clip):
        return dataclasses.replace(clip, start_sec=1.0) if clip == clips[0] else clip

    change_manifest(run, move)
    with refusal(
        f"{cache_copy}: 1 of {len(clips)} clips hold another span than {run.manifest_path} lists, "
        f"such as {cache.clip_path(clips[0].clip_id)}. Name the --cache_dir that the run was"
    ):
        evaluate_run(run, cache, split="train")
    cache.clip_path(clips[1].clip_id).unlink()
    with refusal(f"{cache_copy}: 1 of {len(clips)} clips are not in the cache", FileNotFoundError):
        evaluate_run(run, cache, split="train")


def test_a_clip_that_left_the_data_is_not_said_to_come_by_another_extraction(
    run_dir, data, cache_copy, tmp_path
):
    run, cache = RunDir(shutil.copytree(run_dir, tmp_path / "run")), read_cache(cache_copy)
    split_of = {clip.clip_id: clip.split for clip in run.read_clips()}
    gone = next(x for x in split_of if split_of[x] == "test" and (data / x).is_dir())
    shutil.rmtree(data / gone)
    extract(data, cache_copy)
    run_program("train_head.evaluate", f"--cache_dir={cache_copy}", f"--run_dir={run.path}")
    cache.clip_path(gone).unlink()  # as verify allows
    text = (
        f"clips are not in the cache, such as {cache.clip_path(gone)}, which {cache.manifest_path} "
        "does not list either, as where its source is gone or cannot be read. Give extract_features"
    )
    for program in ("evaluate", "report"):
        flags = (f"--cache_dir={cache_copy}", f"--run_dir={run.path}")
        done = run_program(f"train_head.{program}", *flags, check=False)
        assert done.returncode == 1 and text in done.stderr
        assert f"or train a new run on those left of {run.manifest_path}." in done.stderr
        assert "scored all the same" not in done.stderr
    flags = (f"--cache_dir={cache_copy}", f"--run_dir={tmp_path}/new", *SMALL_HEAD)
    named = f"--manifest={run.manifest_path}"
    done = run_program("train_head", *flags, named, check=False)
    assert text in done.stderr and "or take such clips out of the manifest that" in done.stderr


def test_more_windows_than_the_longest_clip_has_frames_are_refused(run_dir, cache_dir, tmp_path):
    run = RunDir(shutil.copytree(run_dir, tmp_path / "run"))
    cache = read_cache(cache_dir)
    clips = read_manifest(run.manifest_path)
    longest = max(cache.count_frames(x.clip_id) for x in clips if x.split == "test")
    with refusal(
        f"Expected at most {longest} windows, a frame each of the longest test clip: more repeat "
        f"these. Received: --windows={longest + 1}. Lower it."
    ):
        evaluate_run(run, cache, split="test", num_windows=longest + 1)
    evaluate_run(run, cache, split="test", num_windows=longest)


def test_a_run_on_a_read_only_disk_is_refused_at_once(run_dir, cache_dir, make_small_disk):
    run = RunDir(shutil.copytree(run_dir, make_small_disk(16384) / "run"))
    subprocess.run(["mount", "-o", "remount,ro", run.path.parent], check=True)
    for make in SCORE_AND_REPORT:
        with pytest.raises(PermissionError, match=f"cannot be written to: '{run.path}'"):
            make(run, read_cache(cache_dir))


def test_what_lacks_a_file_of_a_run_says_which(run_dir, cache_dir, tmp_path):
    run, cache = RunDir(shutil.copytree(run_dir, tmp_path / "run")), read_cache(cache_dir)
    run.history_path.unlink()
    with refusal(f"{run.path}: history.csv of the run missing, without", FileNotFoundError):
        write_report(run, cache)
    evaluate_run(run, cache, split="test")
    run.classes_path.unlink()
    for use in (
        lambda: evaluate_run(run, cache, split="test"),
        lambda: train_run(read_config(run), TrainingData(cache), run=run, checkpoint_sec=60),
    ):
        with refusal(f"{run.path}: classes.txt of the run missing, without", FileNotFoundError):
            use()


def test_files_of_a_run_that_are_no_text_are_named(run_dir, cache_dir, tmp_path):
    run, cache = RunDir(shutil.copytree(run_dir, tmp_path / "run")), read_cache(cache_dir)
    uses = {
        run.flags_path: lambda: describe_origin(run, cache, {}),
        run.sources_path: lambda: evaluate_run(run, cache, split="test"),
    }
    for path, use in uses.items():
        path.write_bytes(b"\xff")
        with refusal(f"{path}:1: expected UTF-8 text, received byte 0xff."):
            use()


def test_a_run_of_another_version_is_not_read_with_settings_of_this_one(
    run_dir, cache_dir, tmp_path
):
    run = RunDir(shutil.copytree(run_dir, tmp_path / "run"))
    settings = read_json(run.config_path)
    del settings["sampling"]
    write_json(run.config_path, settings)
    with refusal(f"{run.config_path}: expected the settings [") as caught:
        evaluate_run(run, read_cache(cache_dir), split="test")
    assert "made by another version of this project: use that one, or" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sequence", "raged"),
        ("sampling", ["segments"]),
        ("seq_len", 0),
        ("batch_size", "16"),
        ("jitter", 1),
        ("dropout", None),
        ("learning_rate", "auto"),
    ],
)
def test_a_setting_that_is_none_is_named(trained, name, value):
    _, run = trained
    settings = read_json(run.config_path)
    write_json(run.config_path, {**settings, "dropout": 0, "learning_rate": 1})
    assert read_config(run).learning_rate == 1
    write_json(run.config_path, {**settings, name: value})
    with refusal(
        f"{run.config_path}: expected {name} as training wrote it. Received: {value!r}. Undo the "
        "change, or copy the run again."
    ):
        read_config(run)


def test_missing_run_and_unfinished_run_are_said(run_dir, cache_dir, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone: there is no run here\. Expected the --run"):
        evaluate_run(RunDir(tmp_path / "gone"), read_cache(cache_dir), split="test")
    run = RunDir(shutil.copytree(run_dir, tmp_path / "run"))
    with refusal(f"has ended, such as {run.path} in this folder.", FileNotFoundError):
        evaluate_run(RunDir(tmp_path), read_cache(cache_dir), split="test")
    run.model_path.unlink()
    with refusal("training command again; it goes on from its last checkpoint.", FileNotFoundError):
        evaluate_run(run, read_cache(cache_dir), split="test")


@pytest.mark.parametrize("damage", ["cut_off", "changed", "another"])
def test_a_damaged_model_is_named(run_dir, tmp_path, damage):
    run = RunDir(shutil.copytree(run_dir, tmp_path / "run"))
    content = run.model_path.read_bytes()
    with zipfile.ZipFile(run.model_path) as archive:
        # A header is 30 bytes, and a name.
        middles = [
            x.header_offset + 30 + len(x.filename) + x.compress_size // 2
            for x in archive.infolist()
        ]
    # Of the list of files at the end, what version and what compression one has.
    places = [*middles, *(content.rindex(b"PK\1\2") + x for x in (6, 10))]
    changed = [content[:i] + bytes([content[i] ^ 65]) + content[i + 1 :] for i in places]
    damaged = {"cut_off": [content[:-100]], "changed": changed, "another": [b"no model"]}
    for content in damaged[damage]:
        run.model_path.write_bytes(content)
        with refusal(f"{run.model_path}: expected a model. Received: a file that is damaged, cut"):
            load_model(run)


def test_a_model_that_cannot_be_read_now_is_not_damaged(run_dir):
    load_model(RunDir(run_dir))  # what it imports is imported
    with no_more_open_files(), refusal("Too many open files", OSError):
        load_model(RunDir(run_dir))


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="no disk to break")
def test_a_model_on_a_disk_that_fails_is_not_damaged(tmp_path):
    """`zipfile` says of one that it is no zip file; whoever then removed the model lost it."""
    run = RunDir(tmp_path)
    run.model_path.symlink_to("/proc/self/mem")  # which cannot be read from its end
    with pytest.raises(OSError, match=rf"\[Errno \d+\] .*: '{run.model_path}'$"):
        load_model(run)


def test_a_head_that_its_last_step_broke_is_not_scored(trained):
    cache, run = trained  # of an earlier version: training refuses to end so
    model = load_model(run)
    for variable in model.trainable_variables:
        variable.assign(variable * np.nan)
    model.save(run.model_path)
    with refusal(f"{run.model_path}: expected finite probabilities. Received: NaN, as after a las"):
        evaluate_run(run, cache, split="train")
    assert not run.metrics_path("train").exists() and not run.predictions_path("train").exists()
