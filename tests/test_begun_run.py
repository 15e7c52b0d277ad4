"""What ends before an epoch is done holds nothing: it leaves no run that would be in the way."""

import functools
import shutil

import h5py
import numpy as np
import pytest
from commands import read_state
from refusals import refusal
from small_data import (
    SCORED_SETTINGS,
    assert_equal_training,
    change_manifest,
    copy_cache,
    fine_tune,
    train,
)

from lrcn.common.cache.open_cache import read_cache
from lrcn.common.cache.run_dir import RunDir
from lrcn.common.programs import machine
from train_head.run.config import read_config


def leave_as_begun(run):
    """Leaves of a run what a kill leaves in its first epoch."""
    run.remove_scores()
    run.model_path.unlink()
    run.history_path.unlink()
    shutil.rmtree(run.logs_path)
    run.logs_path.mkdir()
    run.checkpoints_path.mkdir()


def write_nan(cache, clip_id):
    """Has a training end in its first step."""
    with h5py.File(cache.clip_path(clip_id), "r+") as file:
        file["feature_maps"][:] = np.nan


@pytest.mark.parametrize("is_new", [True, False])
def test_what_ends_before_an_epoch_is_done_leaves_nothing(trained, tmp_path, is_new):
    cache, run = trained
    if is_new:
        run = RunDir(tmp_path / "new" / "run")
    else:
        leave_as_begun(run)
    write_nan(cache, "rise/train_3")
    with pytest.raises(ValueError, match="epoch 1, step"):
        train(cache, run.path, **SCORED_SETTINGS)
    # A folder that was there stays, and is empty.
    assert not (tmp_path / "new").exists() and not list(run.path.rglob("*"))


def test_what_another_training_has_begun_in_its_place_stays(trained, tmp_path, when_logged):
    cache, _ = trained
    run = RunDir(tmp_path / "new" / "run")

    def begin_another():
        run.path.rename(tmp_path / "removed")
        shutil.copytree(tmp_path / "removed", run.path)

    when_logged(" train clips and ", begin_another)
    write_nan(cache, "rise/train_3")
    with pytest.raises(ValueError, match="epoch 1, step"):
        train(cache, run.path, **SCORED_SETTINGS)
    assert run.config_path.exists() and run.manifest_path.exists()


def test_other_settings_begin_a_run_of_no_epoch_anew(trained, ramps, tmp_path):
    cache, run = trained
    leave_as_begun(run)
    (run.path / "notes.txt").write_text("of mine")
    train(cache, run.path, epochs=1)
    assert read_config(run).epochs == 1
    assert_equal_training(run, train(ramps, tmp_path / "other", epochs=1))
    assert (run.path / "notes.txt").read_text() == "of mine"
    # And so do other clips.
    leave_as_begun(run)
    change_manifest(cache, lambda x: None if x.clip_id == "rise/train_0" else x)
    train(cache, run.path, epochs=1)
    assert "rise/train_0," not in run.manifest_path.read_text()


@pytest.mark.parametrize("kept", ["history.csv", "checkpoints/last_1.npz", "head/history.csv"])
def test_a_run_of_which_an_epoch_is_done_is_kept(trained, kept):
    cache, run = trained
    leave_as_begun(run)
    (run.path / kept).parent.mkdir(exist_ok=True)
    (run.path / kept).write_text("of an epoch")
    before = read_state(run.path)
    with refusal(f"{run.path}: made with"):
        train(cache, run.path, epochs=1)
    assert read_state(run.path) == before


@pytest.mark.parametrize(
    "names",
    [["checkpoints/weights.pt"], ["checkpoints/", "weights.pt"], ["classes.txt", "manifest.csv"]],
)
def test_files_of_others_are_no_start_of_a_run(ramps, tmp_path, names):
    for name in names:
        path = tmp_path / "run" / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not path.is_dir():
            path.write_text("of another tool")
    before = read_state(tmp_path / "run")
    with refusal("run: holds files, but no run."):
        train(ramps, tmp_path / "run")
    assert read_state(tmp_path / "run") == before


def test_fine_tuning_that_ends_in_the_first_epoch_of_the_head_leaves_nothing(block4_dir, tmp_path):
    run, cache = RunDir(tmp_path / "run"), copy_cache(read_cache(block4_dir), tmp_path / "cache")
    settings = {"epochs": 1, "tune_epochs": 1, "tune_learning_rate": 1e38}
    tune = functools.partial(fine_tune, cache, run.path, **settings)
    with pytest.raises(ValueError, match="epoch 1"):
        tune(learning_rate=1e38, clipnorm=0.0)
    assert not run.path.exists()
    # The head is trained: other settings may not take its place.
    with pytest.raises(ValueError, match="epoch 2"):
        tune()
    assert RunDir(run.head_path).model_path.exists()
    with refusal(f"{run.path}: made with tune_learning_rate=1e+38, but this command says"):
        tune(tune_learning_rate=1e-5)


def test_what_a_kill_left_of_a_head_to_tune_goes_too(
    block4_dir, tmp_path, monkeypatch, when_logged
):
    run, cache = RunDir(tmp_path / "run"), read_cache(block4_dir)
    tune = functools.partial(fine_tune, cache, run.path, epochs=1, tune_epochs=1)
    when_logged(" train clips and ", lambda: shutil.copytree(run.path, tmp_path / "killed"))
    with pytest.raises(ValueError, match="epoch 1"):
        tune(learning_rate=1e38, clipnorm=0.0)
    (tmp_path / "killed").rename(run.path)
    assert RunDir(run.head_path).config_path.exists()
    monkeypatch.setattr(machine, "find_memory_bytes", lambda: 1000)
    with pytest.raises(MemoryError):  # before the head is trained
        tune()
    assert not list(run.path.rglob("*"))
