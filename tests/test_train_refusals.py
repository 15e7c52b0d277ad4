"""Tests training on what it cannot train on: each is named, and nothing of it is half done."""

import contextlib
import dataclasses
import fcntl
import os
import shutil

import numpy as np
import pytest
from commands import SMALL_HEAD, read_state, run_program, run_with_small_files
from refusals import refusal
from small_cache import damage_frame
from small_data import (
    SCORED_SETTINGS,
    change_manifest,
    copy_cache,
    make_ramps,
    train,
    write_cache,
)

from lrcn.common.cache.open_cache import read_cache
from lrcn.common.cache.run_dir import RunDir
from lrcn.common.clips.clip import Clip
from lrcn.common.clips.manifest import (
    read_class_names,
    read_manifest,
    write_class_names,
    write_manifest,
)
from train_head.run.config import FineTuneConfig, TrainConfig, read_config
from train_head.run.run_lock import lock_run
from train_head.run.training_data import TrainingData
from train_head.training.train import train_run


def test_a_model_that_cannot_be_written_is_named_and_leaves_no_half(ramps, tmp_path):
    run = RunDir(tmp_path / "run")
    flags = (f"--cache_dir={ramps.cache_dir}", f"--run_dir={run.path}", *SMALL_HEAD)
    done = run_with_small_files(
        "train_head",
        *(*flags, "--rnn=none", "--fc_units=1024", "--epochs=1"),
        max_file_bytes=2**14,
    )
    assert done.returncode == 1
    assert f"File too large: '{run.model_path}'. Raise the limit" in done.stderr
    assert not [path for path in run.path.iterdir() if "tmp" in path.name]
    assert not run.model_path.exists()


def test_other_settings_are_refused_by_name(run_dir, cache_dir):
    before, run = read_state(run_dir), RunDir(run_dir)
    config = dataclasses.replace(read_config(run), seq_len=5, rnn="lstm")
    with refusal(
        f"{run_dir}: made with seq_len=4, rnn=gru, but this command says seq_len=5, "
        "rnn=lstm. Name another folder (--run_dir, or --output_dir of programs that train several "
        "runs; with make: RUN=..., COMPARE=...), or delete this one."
    ):
        train_run(config, TrainingData(read_cache(cache_dir)), run=run, checkpoint_sec=60)
    assert read_state(run_dir) == before


def test_a_run_is_not_trained_already_on_a_cache_without_its_clips(trained):
    cache, run = trained
    cache.clip_path("rise/test_3").unlink()
    text = f"{cache.cache_dir}: 1 of 88 clips are not in the cache"
    with refusal(text, FileNotFoundError):
        train(cache, run.path, **SCORED_SETTINGS)


def test_a_run_whose_model_is_cut_off_is_not_trained_already(trained):
    cache, run = trained
    run.model_path.write_bytes(run.model_path.read_bytes()[:-100])
    with refusal(f"{run.model_path}: expected a model. Received: a file that is damaged, cut off"):
        train(cache, run.path, **SCORED_SETTINGS)
    run.model_path.unlink()  # as it says
    train(cache, run.path, **SCORED_SETTINGS)
    assert run.model_path.exists()


def test_a_run_of_the_other_program_is_refused_by_its_name():
    head, tuned = TrainConfig(), FineTuneConfig(seq_len=5)
    said = "made by train_head, but this command is train_head.fine_tune"
    assert head.describe_differences(tuned) == said
    said = "made by train_head.fine_tune, but this command is train_head"
    assert tuned.describe_differences(head) == said


def test_other_clips_or_features_are_refused(ramps, tmp_path):
    run = train(ramps, tmp_path / "run", epochs=1)
    cache = copy_cache(ramps, tmp_path / "cache")
    # Sources that have moved are the same clips.
    change_manifest(cache, lambda clip: dataclasses.replace(clip, path=f"moved/{clip.path}"))
    train(cache, run.path, epochs=1)
    change_manifest(cache, lambda clip: None if clip.clip_id == "rise/train_0" else clip)
    text = (
        f"{run.path}: made with other clips, labels, groups or splits, or in another order, than "
        f"{cache.manifest_path} lists now. Name another"
    )
    with refusal(text):
        train(cache, run.path, epochs=1)
    # Batches are drawn by place in the list.
    write_manifest(cache.manifest_path, read_manifest(ramps.manifest_path)[::-1])
    with refusal(text):
        train(cache, run.path, epochs=1)
    cache = copy_cache(ramps, tmp_path / "of_other_classes")
    names = read_class_names(cache.classes_path)
    write_class_names(cache.classes_path, names[::-1])
    with refusal(
        f"{run.path}: made with other classes, or in another order, than {cache.cache_dir}"
    ):
        train(cache, run.path, epochs=1)
    other = {clip: maps[:, :4] for clip, maps in make_ramps(2, split="train").items()}
    cache = write_cache(tmp_path / "other", other)
    with pytest.raises(ValueError, match=r"made with feature_shape=\(6,\), but .*_shape=\(4,\)"):
        train(cache, run.path, epochs=1)


def test_a_run_whose_name_is_not_utf_8_is_refused_before_training(ramps, tmp_path):
    path = tmp_path / os.fsdecode(b"\xe9t\xe9")
    flags = (f"--cache_dir={ramps.cache_dir}", f"--run_dir={path}", *SMALL_HEAD, "--rnn=none")
    done = run_program("train_head", *flags, check=False)
    text = rf"error: {tmp_path}/\udce9t\udce9: expected a folder whose name is UTF-8, as TensorFlow"
    assert done.returncode == 1 and text in done.stderr
    assert not path.exists()


def test_folder_of_somebody_else_is_left_alone(ramps, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match=r"holds files, but no run\. .* Name another folder "):
        train(ramps, tmp_path)
    assert os.listdir(tmp_path) == ["thesis.txt"]


def test_an_unknown_label_is_named_before_a_run_is_made(ramps, tmp_path):
    cache = copy_cache(ramps, tmp_path / "cache")
    change_manifest(
        cache, lambda x: dataclasses.replace(x, label="rize") if x.clip_id == "rise/test_0" else x
    )
    text = r"csv: clip 'rise/test_0': unknown label 'rize'\. .* or add it to .*/classes\.txt as"
    with pytest.raises(ValueError, match=text):
        train(cache, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_number_that_is_none_is_refused():
    flags = ("--cache_dir=a", "--run_dir=b", "--learning_rate=nan", "--only_check_args")
    done = run_program("train_head", *flags, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "error: --learning_rate=nan: expected a finite number. Correct it." in done.stderr


_AT_WORK = r"run: another program is writing to this folder\. .* name another \(--run_dir, or --out"


def test_a_second_training_of_a_run_at_once_is_refused(ramps, tmp_path):
    run = train(ramps, tmp_path / "run", epochs=1)
    run.model_path.unlink()  # not ended
    with lock_run(run), pytest.raises(RuntimeError, match=_AT_WORK):
        train(ramps, run.path, epochs=1)
    assert train(ramps, run.path, epochs=1).model_path.exists()
    # Of two that start at once, one writes its settings.
    run = RunDir(tmp_path / "new" / "run")
    with lock_run(run):
        with pytest.raises(RuntimeError, match=_AT_WORK):
            train(ramps, run.path, epochs=1)
        assert not list(run.path.iterdir())
    assert not (tmp_path / "new").exists()


def _do_before_the_lock(monkeypatch, act):
    """Lets `act` happen after the folder of a run is opened, and before it is locked."""
    lock = fcntl.flock

    def act_and_lock(*args):
        monkeypatch.setattr(fcntl, "flock", lock)
        act()
        lock(*args)

    monkeypatch.setattr(fcntl, "flock", act_and_lock)


def test_a_folder_that_a_refused_training_removes_meanwhile_is_made_anew(tmp_path, monkeypatch):
    run = RunDir(tmp_path / "run")
    run.path.mkdir()
    _do_before_the_lock(monkeypatch, run.path.rmdir)
    with lock_run(run):
        assert run.path.is_dir()
        with pytest.raises(RuntimeError, match=_AT_WORK), lock_run(run):
            pass


def test_who_is_kept_out_leaves_the_folder_to_the_other_training(tmp_path, monkeypatch):
    run = RunDir(tmp_path / "run")
    other = contextlib.ExitStack()
    _do_before_the_lock(monkeypatch, lambda: other.enter_context(lock_run(run)))
    with pytest.raises(RuntimeError, match=_AT_WORK), lock_run(run):
        pass
    assert run.path.is_dir()
    other.close()


def test_missing_clip_is_named(ramps, tmp_path):
    cache = copy_cache(ramps, tmp_path / "cache")
    cache.clip_path("rise/train_3").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of 88 clips .*rise/train_3\.h5\. Finish"):
        train(cache, tmp_path / "run")
    # Once it is there, the same run goes on.
    shutil.copy(ramps.clip_path("rise/train_3"), cache.clip_path("rise/train_3"))
    assert train(cache, tmp_path / "run", epochs=3).model_path.exists()


def test_damaged_clip_is_named(ramps, tmp_path):
    cache = copy_cache(ramps, tmp_path / "cache")
    damage_frame(cache.clip_path("rise/train_3"), 0)
    with pytest.raises(ValueError, match=r"rise/train_3\.h5: damaged .* Delete the file and run"):
        train(cache, tmp_path / "run")


def test_one_class_is_refused(tmp_path):
    clips = {Clip(f"c{i}", "c", "walk", "train"): np.ones((3, 2)) for i in range(3)}
    cache = write_cache(tmp_path / "cache", clips)
    text = (
        r"cache/manifest\.csv: expected at least two classes to tell apart\. Received: \['walk'\]\."
        r" Add clips of another class, or train on labels of frames: python -m train_head --labels="
    )
    with pytest.raises(ValueError, match=text):
        train(cache, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_class_without_train_clips_is_named(ramps, tmp_path):
    cache = copy_cache(ramps, tmp_path / "cache")

    def move(clip):
        is_moved = clip.label == "fall" and clip.split == "train"
        return dataclasses.replace(clip, split="val") if is_moved else clip

    change_manifest(cache, move)
    with pytest.raises(ValueError, match=r"train clips of every class\. Received none of 'fall'\."):
        train(cache, tmp_path / "run")
