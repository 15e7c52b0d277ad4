"""Tests fine-tuning: two phases, one run."""

import shutil

import numpy as np
import pytest
from commands import read_rows, run_program, run_python
from small_data import (
    SMALL_CONFIG,
    assert_equal_training,
    copy_cache,
    fine_tune,
    interrupt_after_epoch_2,
    make_config,
    train,
)
from small_labels import FRAME_COLUMNS, write_csv
from small_splits import write_swapped
from small_vgg16 import build_vgg16

from lrcn.common.cache.open_cache import read_cache
from lrcn.common.cache.run_dir import RunDir, read_json
from lrcn.common.clips.manifest import read_manifest
from train_head.batches.split_reader import read_training_splits
from train_head.head.run_model import load_model
from train_head.predictions.prediction import Predictor
from train_head.run.config import FineTuneConfig, TrainConfig, read_config
from train_head.run.history import find_best_row, read_history
from train_head.run.reproduction import list_commands
from train_head.scores.evaluation import evaluate_run
from train_head.scores.score_table import format_headline
from train_head.training.fitting import fit_model, make_checked_strategy
from train_head.training.recorder import RunRecorder
from train_head.training.top_training import load_tunable_model

SMALL_FLAGS = ("--fc_units=16", "--rnn_units=8", "--seq_len=4", "--epochs=2", "--tune_epochs=3")


@pytest.fixture(scope="module")
def tuned_dir(block4_dir, tmp_path_factory):
    """A run that was fine-tuned on `block4_dir`; its stdout lies beside it in `stdout.txt`."""
    folder = tmp_path_factory.mktemp("tuned") / "run"
    flags = (f"--cache_dir={block4_dir}", f"--run_dir={folder}", "--tune_learning_rate=0.001")
    done = run_program("train_head.fine_tune", *flags, *SMALL_FLAGS)
    (folder.parent / "stdout.txt").write_text(done.stdout)
    return folder


def read_convolutions(model):
    """The kernels of the model's block 5, by layer name."""
    top = model.get_layer("top").model
    return {x.name: x.get_weights()[0] for x in top.layers if x.weights}


def test_run_is_like_any_other_and_says_that_it_was_tuned(tuned_dir, block4_dir):
    run = RunDir(tuned_dir)
    config = read_config(run)
    assert isinstance(config, FineTuneConfig)
    assert (config.tune_layers, config.tune_epochs, config.epochs) == (5, 3, 2)
    assert "--tune_epochs=3\n" in run.flags_path.read_text()
    history = read_history(run.history_path)
    assert [row["phase"] for row in history] == [1, 1, 2, 2, 2]
    assert [row["epoch"] for row in history] == [1, 2, 3, 4, 5]
    assert history[:2] == read_history(RunDir(run.head_path).history_path)
    # At the start of each epoch: half of a cosine of two epochs, then a schedule of its own.
    assert [row["learning_rate"] for row in history] == pytest.approx(
        [1e-3, 5e-4, 1e-3, 7.5e-4, 2.5e-4]
    )
    before, after = (read_json(x.metrics_path("test")) for x in (RunDir(run.head_path), run))
    assert (tuned_dir.parent / "stdout.txt").read_text() == (
        f"{format_headline(after)} ({before['top1']:.1%} before tuning), run in {tuned_dir}\n"
    )
    best = find_best_row(history)
    scores = evaluate_run(run, read_cache(block4_dir), split="val")
    assert scores["top1"] == pytest.approx(best["val_top1"])
    kernels = [read_convolutions(load_model(x)) for x in (RunDir(run.head_path), run)]
    for name, kernel in kernels[0].items():
        assert np.array_equal(kernel, kernels[1][name]) == (best["phase"] == 1), name


def test_splits_that_change_as_it_starts_are_those_of_neither_phase(block4_dir, tmp_path):
    cache, run = copy_cache(read_cache(block4_dir), tmp_path / "cache"), RunDir(tmp_path / "run")
    clips = read_manifest(cache.manifest_path)
    other = write_swapped(clips, tmp_path / "other.csv")
    program = (
        "import os, runpy, sys\n"
        "def draw_anew(event, names):\n"
        f"    if event == 'open' and os.path.exists('{run.config_path}'):\n"
        f"        os.path.exists('{other}') and os.replace('{other}', '{cache.manifest_path}')\n"
        "sys.addaudithook(draw_anew)\n"
        "runpy.run_module('train_head.fine_tune', run_name='__main__')\n"
    )
    flags = (f"--cache_dir={cache.cache_dir}", f"--run_dir={run.path}", "--rnn=none")
    run_python(program, *flags, *SMALL_FLAGS, "--epochs=1", "--tune_epochs=1")
    assert not other.exists()
    assert read_manifest(run.manifest_path) == clips
    assert read_manifest(RunDir(run.head_path).manifest_path) == clips


def test_a_tuned_run_stays_whole_without_that_of_its_first_phase(tuned_dir, block4_dir, tmp_path):
    run = RunDir(shutil.copytree(tuned_dir, tmp_path / "run"))
    shutil.rmtree(run.head_path)  # as for room
    flags = (f"--cache_dir={block4_dir}", f"--run_dir={run.path}", "--tune_learning_rate=0.001")
    done = run_program("train_head.fine_tune", *flags, *SMALL_FLAGS)
    scores = read_json(run.metrics_path("test"))
    assert done.stdout == f"{format_headline(scores)}, run in {run.path}\n"


def test_tuned_run_predicts_new_videos_as_it_scores_cached_clips(tuned_dir, block4_dir, clips_dir):
    run, cache = RunDir(tuned_dir), read_cache(block4_dir)
    evaluate_run(run, cache, split="train")
    clips = {clip.clip_id: clips_dir / clip.path for clip in read_manifest(run.manifest_path)}
    rows = read_rows(run.predictions_path("train"))[:4]
    predictor = Predictor(run)
    found = predictor.predict_clips([clips[row["clip_id"]] for row in rows])
    for prediction, row in zip(found, rows, strict=True):
        wanted = [float(row[name]) for name in predictor.class_names]
        np.testing.assert_allclose(prediction.probabilities, wanted, atol=1e-3)


@pytest.mark.parametrize(("tune_layers", "free"), [(5, "123"), (4, "123"), (3, "23"), (2, "3")])
def test_layers_are_counted_from_the_last(tuned_dir, tune_layers, free):
    model = load_tunable_model(RunDir(RunDir(tuned_dir).head_path), tune_layers=tune_layers)
    names = [variable.path.split("/")[-2] for variable in model.trainable_variables]
    found = {name for name in names if name.startswith("block")}
    assert found == {f"block5_conv{number}" for number in free}
    assert {"fc", "logits"} < set(names)


def test_only_the_asked_for_layers_are_tuned(tuned_dir, block4_dir, tmp_path):
    cache, run, tuned = read_cache(block4_dir), RunDir(tmp_path), RunDir(tuned_dir)
    run.checkpoints_path.mkdir()
    model = load_tunable_model(RunDir(tuned.head_path), tune_layers=2)
    before = read_convolutions(model)
    weights = fit_model(
        model,
        make_config(epochs=1),
        read_training_splits(tuned, cache, SMALL_CONFIG),
        strategy=make_checked_strategy(SMALL_CONFIG, "1"),
        recorder=RunRecorder(run, make_config(patience=1, seed=0), checkpoint_sec=60),
        summary=False,
    )
    # TensorFlow keeps what a step was traced with, and memory would grow by a model for each run.
    assert all(x.size == 0 for x in model.get_weights())
    assert all(x.numpy().size == 0 for x in model.optimizer.variables)
    model = load_tunable_model(RunDir(tuned.head_path), tune_layers=2)
    model.set_weights(weights)
    after = read_convolutions(model)
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert changed == {"block5_conv3"}


def test_first_phase_is_the_training_on_block5_pool(block4_dir, cache_dir, tmp_path):
    caches = {"block4": read_cache(block4_dir), "block5": read_cache(cache_dir)}
    runs = [train(cache, tmp_path / name) for name, cache in caches.items()]
    losses = [[row["loss"] for row in read_history(run.history_path)] for run in runs]
    # Only the rounding of the cached values differs.
    np.testing.assert_allclose(losses[0], losses[1], rtol=0.02)
    # What is kept takes the cached maps: block 5, as it was, and the head.
    head = load_model(runs[0])
    assert head.input_shape[2:] == (2, 2, 512)
    vgg16 = build_vgg16()
    for name, kernel in read_convolutions(head).items():
        np.testing.assert_array_equal(kernel, vgg16.get_layer(name).get_weights()[0])
    scores = evaluate_run(runs[0], read_cache(block4_dir), split="val")
    best = max(read_history(runs[0].history_path), key=lambda row: row["val_top1"])
    assert scores["top1"] == pytest.approx(best["val_top1"])


def test_stopped_tuning_goes_on_as_if_nothing_had_happened(
    block4_dir, tmp_path, monkeypatch, caplog
):
    cache = read_cache(block4_dir)
    settings = {"epochs": 1, "tune_epochs": 2, "tune_layers": 2, "tune_learning_rate": 1e-3}
    settings["checkpoint_sec"] = 0
    with caplog.at_level("INFO", logger="absl"):
        whole = fine_tune(cache, tmp_path / "whole", **settings)
    phases = [text for text in caplog.messages if "at most" in text]
    assert ", at most 1 epoch, learning rate 0.01" in phases[0]
    assert phases[1:] == ["Now the last 2 layers of VGG16 with the head: at most 2 epochs more"]
    run = RunDir(tmp_path / "run")
    with interrupt_after_epoch_2(monkeypatch):
        fine_tune(cache, run.path, **settings)
    assert (run.checkpoints_path / "last_2.npz").exists()
    assert not run.model_path.exists()
    fine_tune(cache, run.path, **settings)
    assert_equal_training(run, whole)
    assert not run.checkpoints_path.exists()


def test_tuning_takes_a_label_for_every_frame(block4_dir, tmp_path, when_logged):
    def stop():
        raise KeyboardInterrupt

    cache = read_cache(block4_dir)
    lines = []
    for clip in read_manifest(cache.manifest_path):
        lines += [f"{clip.clip_id},0,2,early", f"{clip.clip_id},3,99,late"]
    labels_path = write_csv(tmp_path, *lines, columns=FRAME_COLUMNS)
    settings = {"labels": "frame", "epochs": 1, "tune_epochs": 1}
    run = fine_tune(cache, tmp_path / "run", frame_labels_path=labels_path, **settings)
    head_labels_path = RunDir(run.head_path).frame_labels_path
    assert head_labels_path.read_bytes() == run.frame_labels_path.read_bytes()
    assert [row["phase"] for row in read_history(run.history_path)] == [1, 2]
    num_frames = [
        cache.count_frames(clip.clip_id)
        for clip in read_manifest(cache.manifest_path)
        if clip.split == "test"
    ]
    scores = evaluate_run(run, cache, split="test")
    assert scores["num_frames"] == sum(num_frames) - len(num_frames)
    # One that was stopped before its head was there goes on by the labels that it has.
    run.model_path.unlink()
    shutil.rmtree(run.head_path)
    when_logged("an epoch, at most", stop)
    with pytest.raises(KeyboardInterrupt):
        fine_tune(cache, run.path, **settings)


def test_the_command_that_makes_it_again_fine_tunes(tuned_dir, block4_dir):
    _, command, _ = list_commands(RunDir(tuned_dir), read_cache(block4_dir))
    assert command.startswith("python -m train_head.fine_tune --flagfile=")


def test_tuning_has_its_own_clipping():
    config = FineTuneConfig(clipvalue=0.5, clipnorm=0.0, tune_clipnorm=2.0)
    assert config.first_phase() == TrainConfig(clipvalue=0.5, clipnorm=0.0)
    second = config.second_phase()
    assert (second.clipnorm, second.clipvalue) == (2.0, 0.0)
    with pytest.raises(ValueError, match=r"not both\. Received: --tune_clipnorm=1.0, --tune_clipv"):
        FineTuneConfig(tune_clipvalue=0.1)
