"""Tests training: what a run holds, what it refuses, and that a kill changes nothing."""

import csv
import dataclasses
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from commands import ROOT, SMALL_HEAD, make_command, run_program
from small_data import make_config, make_ramps, write_cache

from lrcn.common.clip import Clip
from lrcn.common.feature_cache import read_cache
from lrcn.common.manifest import read_class_names, read_manifest, write_manifest
from lrcn.common.run_dir import RunDir, read_json
from train_head.batch_plan import plan_epoch
from train_head.clip_reader import ClipReader
from train_head.config import TrainConfig
from train_head.evaluation import evaluate_run, load_model
from train_head.normalization import measure_features
from train_head.recorder import read_history
from train_head.train import train_run

_WAIT_SEC = 100


@pytest.fixture(scope="module")
def ramps(tmp_path_factory):
    """A cache of clips that are told apart by the order of their frames alone."""
    features = {
        **make_ramps(24, split="train"),
        **make_ramps(8, split="val"),
        **make_ramps(12, split="test"),
    }
    return write_cache(tmp_path_factory.mktemp("ramps") / "cache", features)


def train(cache, folder, *, checkpoint_sec=60.0, **settings):
    """Trains in this process; returns the run."""
    run = RunDir(folder)
    train_run(make_config(**settings), cache=cache, run=run, checkpoint_sec=checkpoint_sec)
    return run


def change_manifest(cache, change):
    """Replaces each clip in the manifest by `change(clip)`, or removes it where that is None."""
    clips = [change(clip) for clip in read_manifest(cache.manifest_path)]
    write_manifest(cache.manifest_path, [clip for clip in clips if clip is not None])


def copy_cache(cache, folder):
    shutil.copytree(cache.cache_dir, folder)
    return read_cache(folder)


def read_state(folder: Path) -> dict:
    """Content and time of every file of a folder."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def assert_equal_training(found: RunDir, wanted: RunDir):
    assert found.history_path.read_bytes() == wanted.history_path.read_bytes()
    weights = [load_model(run).get_weights() for run in (found, wanted)]
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_run_holds_all_that_is_needed(run_dir, cache_dir):
    assert sorted(os.listdir(run_dir)) == [
        "classes.txt",
        "config.json",
        "contract.json",
        "flags.txt",
        "history.csv",
        "logs",
        "manifest.csv",
        "metrics.json",
        "model.keras",
        "predictions.csv",
        "versions.json",
    ]
    run = RunDir(run_dir)
    config = TrainConfig(**read_json(run.config_path))
    assert config == TrainConfig(fc_units=16, rnn_units=8, seq_len=4, epochs=3)
    assert "--seq_len=4\n" in run.flags_path.read_text()
    assert read_class_names(run.classes_path) == ["left", "right"]
    assert run.read_contract() == read_cache(cache_dir).contract
    assert run.manifest_path.read_bytes() == (cache_dir / "manifest.csv").read_bytes()
    assert {"python", "tensorflow", "keras", "numpy"} <= set(read_json(run.versions_path))
    history = read_history(run.history_path)
    assert [row["epoch"] for row in history] == [1, 2, 3]
    names = {"epoch", "loss", "top1", "val_loss", "val_top1", "learning_rate", "phase"}
    assert set(history[0]) == names
    assert {path.parent.name for path in run.logs_path.rglob("*.v2")} == {"train", "validation"}


def test_stdout_is_one_result_line(run_dir):
    scores = read_json(RunDir(run_dir).metrics_path("test"))
    low, high = (100 * x for x in scores["top1_interval"])
    expected = f"top-1 {scores['top1']:.1%} [{low:.1f}, {high:.1f}] of {scores['num_clips']} test "
    assert (run_dir.parent / "stdout.txt").read_text() == f"{expected}clips, run in {run_dir}\n"


def test_flags_file_repeats_the_run_and_redoes_nothing(run_dir, cache_dir):
    before = read_state(run_dir)
    done = run_program(
        "train_head",
        f"--cache_dir={cache_dir}",
        f"--run_dir={run_dir}",
        f"--flagfile={run_dir / 'flags.txt'}",
    )
    assert done.stdout == (run_dir.parent / "stdout.txt").read_text()
    assert "trained already" in done.stderr
    assert read_state(run_dir) == before


def test_a_model_that_cannot_be_written_is_named_and_leaves_no_half(ramps, tmp_path):
    run = RunDir(tmp_path / "run")
    flags = (f"--cache_dir={ramps.cache_dir}", f"--run_dir={run.path}", *SMALL_HEAD)
    command = make_command("train_head", *flags, "--fc_units=256")
    limited = ["bash", "-c", 'ulimit -f 16; exec "$@"', "bash", *command]
    done = subprocess.run(limited, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert f"File too large: '{run.model_path}'. Raise the limit" in done.stderr
    assert not [path for path in run.path.iterdir() if "tmp" in path.name]
    assert not run.model_path.exists()


def test_other_settings_are_refused_by_name(run_dir, cache_dir):
    before = read_state(run_dir)
    done = run_program(
        "train_head",
        f"--cache_dir={cache_dir}",
        f"--run_dir={run_dir}",
        *SMALL_HEAD,
        "--seq_len=5",
        "--rnn=lstm",
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert (
        f"error: {run_dir}: made with seq_len=4, rnn=gru, but this command says seq_len=5, "
        "rnn=lstm. Name another folder (--run_dir, or --output_dir of programs that train several "
        "runs; with make: RUN=...), or delete this one." in done.stderr
    )
    assert read_state(run_dir) == before


def test_other_clips_or_features_are_refused(ramps, tmp_path):
    run = train(ramps, tmp_path / "run", epochs=1)
    cache = copy_cache(ramps, tmp_path / "cache")
    change_manifest(cache, lambda clip: None if clip.clip_id == "rise/train_0" else clip)
    with pytest.raises(ValueError, match=r"run: made with other clips or splits than .*cache/mani"):
        train(cache, run.path, epochs=1)
    other = {clip: maps[:, :4] for clip, maps in make_ramps(2, split="train").items()}
    cache = write_cache(tmp_path / "other", other)
    with pytest.raises(ValueError, match=r"made with feature_shape=\(6,\), but .*_shape=\(4,\)"):
        train(cache, run.path, epochs=1)


def test_folder_of_somebody_else_is_left_alone(ramps, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match=r"holds files, but no run\. .* Name another folder "):
        train(ramps, tmp_path)
    assert os.listdir(tmp_path) == ["thesis.txt"]


def test_best_epoch_on_val_is_kept_and_patience_ends_training(ramps, tmp_path):
    # Large steps of the whole set at once: soon an epoch is worse than the one before.
    settings = {"epochs": 30, "patience": 1, "learning_rate": 1.0, "batch_size": 1000}
    run = train(ramps, tmp_path / "run", **settings)
    history = read_history(run.history_path)
    best = min(history, key=lambda row: (-row["val_top1"], -row["epoch"]))
    assert len(history) < 30
    assert history.index(best) == len(history) - 2
    evaluate_run(run, ramps, split="val")
    with open(run.predictions_path("val"), newline="") as file:
        rows = list(csv.DictReader(file))
    top1 = np.mean([row["predicted"] == row["label"] for row in rows])
    loss = np.mean([-np.log(float(row[row["label"]])) for row in rows])
    assert top1 == pytest.approx(best["val_top1"])
    assert loss == pytest.approx(best["val_loss"], rel=1e-3)


def test_statistics_are_those_of_the_train_clips(run_dir, cache_dir):
    run, cache = RunDir(run_dir), read_cache(cache_dir)
    clips = read_manifest(run.manifest_path)
    train_ids = [clip.clip_id for clip in clips if clip.split == "train"]
    statistics = measure_features(ClipReader(cache, train_ids, memory_bytes=0))
    normalization = load_model(run).get_layer("per_frame").model.get_layer("normalization")
    np.testing.assert_allclose(np.ravel(normalization.mean), np.ravel(statistics.mean), rtol=1e-6)


def test_order_is_learnt_where_a_frame_tells_nothing(ramps, tmp_path):
    gru = train(ramps, tmp_path / "gru", epochs=15, dropout=0.0, input_dropout=0.0)
    assert evaluate_run(gru, ramps, split="test")["top1"] > 0.9
    mean = train(
        ramps,
        tmp_path / "mean",
        epochs=15,
        dropout=0.0,
        input_dropout=0.0,
        rnn="none",
        output="mean",
    )
    assert evaluate_run(mean, ramps, split="test")["top1"] <= 0.6


@pytest.mark.parametrize("batch_size", [1, 3])
def test_whole_clips_train_in_ragged_batches(ramps, tmp_path, batch_size):
    run = train(
        ramps,
        tmp_path / "run",
        sequence="ragged",
        batch_size=batch_size,
        epochs=6,
        dropout=0.0,
        input_dropout=0.0,
    )
    assert evaluate_run(run, ramps, split="test")["top1"] > 0.9


def test_seed_decides_everything(ramps, tmp_path):
    runs = {}
    for name, seed in (("first", 0), ("again", 0), ("other", 1)):
        runs[name] = train(ramps, tmp_path / name, epochs=2, seed=seed)
    assert_equal_training(runs["again"], runs["first"])
    assert runs["other"].history_path.read_bytes() != runs["first"].history_path.read_bytes()


def test_test_clips_are_not_read_before_the_evaluation(ramps, tmp_path):
    cache = copy_cache(ramps, tmp_path / "cache")
    for path in (cache.cache_dir / "clips").rglob("test_*.h5"):
        path.write_text("not features")
    run = train(cache, tmp_path / "run", epochs=1)
    with pytest.raises(ValueError, match=r"test_\d+\.h5: not a readable HDF5 file"):
        evaluate_run(run, cache, split="test")
    assert evaluate_run(run, ramps, split="test")["num_clips"] == 24


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
    path = cache.clip_path("rise/train_3")
    with h5py.File(path, "r") as file:
        chunk = file["feature_maps"].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset + chunk.size // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"rise/train_3\.h5: damaged .* Delete the file and run"):
        train(cache, tmp_path / "run")


def test_gone_cache_is_said(run_dir, tmp_path):
    flags = (f"--cache_dir={tmp_path / 'gone'}", f"--run_dir={run_dir}")
    done = run_program("train_head", *flags, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert f"error: {tmp_path}/gone/cache.json: there is no cache here. Make" in done.stderr


def test_without_held_out_clips_the_last_epoch_is_kept_and_there_is_no_score(tmp_path):
    cache = write_cache(tmp_path / "cache", make_ramps(2, split="train"))
    done = run_program(
        "train_head",
        f"--cache_dir={cache.cache_dir}",
        f"--run_dir={tmp_path / 'run'}",
        *SMALL_HEAD,
        "--epochs=3",
        "--patience=1",
        "--summary",
        "--devices=all",
    )
    assert done.stdout == ""
    # A batch of 4 clips with 4 frames each, through the FC layer and the RNN.
    for layer in (r"  fc \(Dense\) +\(16, 16\) +112", r"rnn_1 \(GRU\) +\(4, 8\) +624"):
        assert re.search(f"^{layer}$", done.stderr, re.MULTILINE)
    assert "767 weights, of which 754 are trained" in done.stderr
    assert (
        "The batch of 16 is larger than the 4 train clips, so an epoch is one step" in done.stderr
    )
    assert "No clip is in the val split: the last epoch is kept" in done.stderr
    assert "Keeping epoch 3, the last" in done.stderr
    assert "No clip is held out, so there is no score" in done.stderr
    assert "val_loss" not in read_history(tmp_path / "run" / "history.csv")[0]


def test_one_class_is_refused(tmp_path):
    clips = {Clip(f"c{i}", "c", "walk", "train"): np.ones((3, 2)) for i in range(3)}
    cache = write_cache(tmp_path / "cache", clips)
    with pytest.raises(ValueError, match=r"at least two classes .* Received: \['walk'\]\. Add"):
        train(cache, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_class_without_train_clips_is_named(ramps, tmp_path):
    cache = copy_cache(ramps, tmp_path / "cache")

    def move(clip):
        is_moved = clip.label == "fall" and clip.split == "train"
        return dataclasses.replace(clip, split="val") if is_moved else clip

    change_manifest(cache, move)
    with pytest.raises(ValueError, match=r"train clips of every class\. Received none of \['fall'"):
        train(cache, tmp_path / "run")


DIVERGING = {"learning_rate": 1e38, "clipnorm": 0.0, "optimizer": "sgd", "rnn": "none"}


def test_loss_that_is_not_finite_ends_training_at_its_step_with_its_clips(ramps, tmp_path):
    # The first step breaks the weights, so the second has no loss.
    with pytest.raises(
        ValueError,
        match=r"^epoch 1, step 2 of 3: the loss is (nan|inf), at a learning rate "
        r"of \d\S*\. Expected a finite number\. Lower --learning_rate.* Clips of this batch: ",
    ) as error:
        train(ramps, tmp_path / "run", **DIVERGING, batch_size=20)
    clips = [clip for clip in read_manifest(ramps.manifest_path) if clip.split == "train"]
    lengths = np.array([ramps.count_frames(clip.clip_id) for clip in clips])
    config = make_config(**DIVERGING, batch_size=20)
    batch = plan_epoch(lengths, np.zeros(len(clips)), config, epoch=0)[1]
    named = ", ".join(clips[i].clip_id for i in batch[:16])
    assert str(error.value).endswith(f"Clips of this batch: {named} and 4 more.")
    assert not (tmp_path / "run" / "model.keras").exists()
    assert not (tmp_path / "run" / "history.csv").exists()


def test_val_loss_that_is_not_finite_is_an_error(ramps, tmp_path):
    # One step in the epoch: the loss before it is finite, what it leaves behind is not.
    with pytest.raises(ValueError, match=r"epoch 1: the val_loss is (nan|inf)\."):
        train(
            ramps,
            tmp_path / "run",
            **DIVERGING,
            batch_size=1000,
            epochs=1,
        )


@pytest.mark.parametrize("num_files", [0, 3])
def test_run_that_was_cut_off_at_its_start_starts_anew(ramps, tmp_path, num_files):
    run = RunDir(tmp_path / "run")
    run.checkpoints_path.mkdir(parents=True)
    for path in (run.classes_path, run.manifest_path, run.contract_path)[:num_files]:
        path.write_text("of other settings")
    (run.path / ".versions.json.tmp").write_text("{")
    train(ramps, run.path, epochs=1)
    assert run.model_path.exists()
    assert run.read_contract() == ramps.contract


KILLED_FLAGS = (
    "--fc_units=64",
    "--rnn_units=8",
    "--seq_len=4",
    "--epochs=16",
    "--patience=16",
    "--batch_size=8",
    "--learning_rate=0.01",
    "--checkpoint_sec=0",
    # All that draws or counts.
    "--rnn_layers=2",
    "--recurrent_dropout=0.2",
    "--balanced_sampling",
    "--min_span=0.5",
    "--drop_frames=0.2",
    "--warmup_epochs=1.5",
)


def kill_training(flags, run: RunDir, *, when):
    """Starts the training and kills it, by its own number, as soon as `when()` is true."""
    process = subprocess.Popen(
        make_command("train_head", *flags),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline_sec = time.monotonic() + _WAIT_SEC
    try:
        while not when():
            assert process.poll() is None, "training ended before it could be killed"
            assert time.monotonic() < deadline_sec
            time.sleep(0.0005)
    finally:
        process.kill()
        process.wait()
    assert not run.model_path.exists()


def count_rows(run: RunDir) -> int:
    return len(read_history(run.history_path)) if run.history_path.exists() else 0


def test_killed_training_goes_on_as_if_nothing_had_happened(ramps, tmp_path):
    flags = (f"--cache_dir={ramps.cache_dir}", *KILLED_FLAGS)
    whole = RunDir(tmp_path / "whole")
    run_program("train_head", *flags, f"--run_dir={whole.path}")
    assert count_rows(whole) == 16

    run = RunDir(tmp_path / "run")
    flags = (*flags, f"--run_dir={run.path}")

    def is_writing(prefix):
        return run.checkpoints_path.is_dir() and any(
            name.startswith(prefix) for name in os.listdir(run.checkpoints_path)
        )

    kill_training(flags, run, when=run.config_path.exists)
    assert count_rows(run) == 0
    kill_training(flags, run, when=lambda: count_rows(run) >= 2 and is_writing(".tmp.last"))
    num_rows = count_rows(run)
    assert num_rows >= 2
    kill_training(
        flags, run, when=lambda: count_rows(run) >= num_rows + 2 and is_writing(".tmp.best")
    )
    done = run_program("train_head", *flags)
    first = int(re.search(r"Going on after epoch (\d+)", done.stderr)[1])
    assert first > num_rows, "what a checkpoint holds is not done again"
    assert_equal_training(run, whole)
    for path in (run.metrics_path("test"), run.predictions_path("test")):
        assert path.read_bytes() == (whole.path / path.name).read_bytes()
    assert not run.checkpoints_path.exists()


def test_stopped_training_says_where_it_goes_on(ramps, tmp_path):
    run = RunDir(tmp_path / "run")
    flags = (f"--cache_dir={ramps.cache_dir}", f"--run_dir={run.path}", *SMALL_HEAD)
    flags = (*flags, "--epochs=5000", "--patience=5000", "--checkpoint_sec=2")
    process = subprocess.Popen(
        make_command("train_head", *flags),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that runs the tests in the background has them ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline_sec = time.monotonic() + _WAIT_SEC
    while not list(run.checkpoints_path.glob("last_*.weights.h5")):
        assert process.poll() is None and time.monotonic() < deadline_sec
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    output, log = process.communicate(timeout=_WAIT_SEC)
    assert (process.returncode, output) == (130, "") and "Traceback" not in log
    # The last checkpoint is older than the last epoch, which is not kept.
    pattern = r"(\d+) epochs done, (\d+) of them in a checkpoint \(--checkpoint_sec=2\), from where"
    num_done, num_kept = map(int, re.search(pattern, log).groups())
    assert 0 < num_kept <= num_done
    assert (run.checkpoints_path / f"last_{num_kept}.weights.h5").exists()
    assert log.endswith("go on from there if the same command is run again.\n")


def test_mixed_precision_leaves_a_float32_model(ramps, tmp_path):
    run = train(ramps, tmp_path / "run", mixed_precision=True, epochs=2)
    model = load_model(run)
    encoder = model.get_layer("per_frame").model
    assert {layer.dtype_policy.name for layer in (*model.layers, *encoder.layers)} == {"float32"}
    assert evaluate_run(run, ramps, split="test")["top1"] > 0.5


def test_class_weights_weigh_the_loss(ramps, tmp_path):
    cache = copy_cache(ramps, tmp_path / "cache")
    change_manifest(
        cache,
        lambda clip: None if re.match(r"fall/train_([3-9]|\d\d)", clip.clip_id) else clip,
    )
    # One step that changes next to nothing, so the run's own predictions have its loss.
    run = train(
        cache,
        tmp_path / "run",
        class_weights="balanced",
        epochs=1,
        batch_size=1000,
        learning_rate=1e-9,
        jitter=False,
        dropout=0.0,
        input_dropout=0.0,
    )
    evaluate_run(run, cache, split="train")
    with open(run.predictions_path("train"), newline="") as file:
        rows = list(csv.DictReader(file))
    weights = {"rise": 27 / (2 * 24), "fall": 27 / (2 * 3)}
    losses = np.array([-np.log(float(row[row["label"]])) for row in rows])
    loss = np.mean([weights[row["label"]] for row in rows] * losses)
    assert read_history(run.history_path)[0]["loss"] == pytest.approx(loss, rel=1e-3)
    assert losses.mean() != pytest.approx(loss, rel=1e-2)
