"""Tests training: what a run holds, and that it learns what there is to learn."""

import os
import re

import numpy as np
import pytest
from commands import SMALL_HEAD, read_rows, read_state, run_and_list_imports, run_program
from small_cache import damage_frame
from small_data import (
    assert_equal_training,
    change_manifest,
    copy_cache,
    make_ramps,
    train,
    write_cache,
)

from lrcn.common.manifest import read_class_names, read_manifest
from lrcn.common.open_cache import read_cache
from lrcn.common.run_dir import RunDir, read_json
from train_head.clip_reader import ClipReader
from train_head.config import TrainConfig
from train_head.evaluation import evaluate_run
from train_head.history import read_history
from train_head.layers import keras
from train_head.normalization import measure_features
from train_head.run_model import load_model


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
        "sources.sha256",
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
    flags = (f"--cache_dir={cache_dir}", f"--run_dir={run_dir}")
    done, imported = run_and_list_imports("train_head", *flags, f"--flagfile={run_dir}/flags.txt")
    assert done.stdout == (run_dir.parent / "stdout.txt").read_text()
    assert "trained already" in done.stderr
    # It takes seconds, for nothing.
    assert "numpy" in imported and not {"tensorflow", "keras", "sklearn"} & imported
    assert read_state(run_dir) == before


def test_best_epoch_on_val_is_kept_and_patience_ends_training(ramps, tmp_path, caplog):
    # Large steps of the whole set at once: soon an epoch is worse than the one before.
    settings = {"epochs": 30, "patience": 1, "learning_rate": 1.0, "batch_size": 1000}
    with caplog.at_level("INFO", logger="absl"):
        run = train(ramps, tmp_path / "run", rnn="gru", **settings)
    history = read_history(run.history_path)
    told = [message for message in caplog.messages if message.startswith("epoch ")]
    assert len(told) == len(history)
    last = history[-1]
    numbers = f"loss {last['loss']:.3f} top1 {last['top1']:.3f}  val_loss {last['val_loss']:.3f} "
    assert told[-1].startswith(f"epoch {len(history)}  {numbers}val_top1 {last['val_top1']:.3f}  ")
    # A terminal of 80 columns shows each in one line, the time of day before it.
    assert max(map(len, told)) <= 80 - len("12:34:56 ")
    best = min(history, key=lambda row: (-row["val_top1"], -row["epoch"]))
    assert len(history) < 30
    assert history.index(best) == len(history) - 2
    kept = f"Keeping epoch {len(history) - 1}, the last of those with the highest val_top1"
    assert kept in caplog.messages
    assert last["top1"] < 0.95 and "not learnt" not in caplog.text  # more epochs are no help
    evaluate_run(run, ramps, split="val")
    rows = read_rows(run.predictions_path("val"))
    top1 = np.mean([row["predicted"] == row["label"] for row in rows])
    loss = np.mean([-np.log(float(row[row["label"]])) for row in rows])
    assert top1 == pytest.approx(best["val_top1"])
    assert loss == pytest.approx(best["val_loss"], rel=1e-3)


@pytest.mark.parametrize(
    ("settings", "is_told"),
    [
        ({"rnn": "gru"}, True),
        ({"rnn": "gru", "frame_order": "shuffled"}, False),  # has no order to learn
        ({"rnn": "none"}, False),
    ],
)
def test_train_clips_that_are_not_learnt_are_told(ramps, tmp_path, caplog, settings, is_told):
    settings = {"epochs": 2, "learning_rate": 1e-6, **settings}
    with caplog.at_level("INFO", logger="absl"):
        run = train(ramps, tmp_path / "run", **settings)
    last = read_history(run.history_path)[-1]
    assert last["top1"] < 0.95
    told = f"The train clips are not learnt yet: top1 {last['top1']:.3f} in the last epoch. If the"
    assert any(message.startswith(told) for message in caplog.messages) == is_told


@pytest.mark.parametrize(
    ("learning_rate", "advice"), [(1e-6, "a higher --learning_rate or"), (1e9, "a lower --learn")]
)
def test_what_is_not_learnt_is_told_with_the_way_to_turn(
    ramps, tmp_path, caplog, learning_rate, advice
):
    with caplog.at_level("INFO", logger="absl"):
        train(ramps, tmp_path / "run", rnn="gru", epochs=1, learning_rate=learning_rate)
    [told] = [message for message in caplog.messages if "not learnt yet" in message]
    assert f"If the score is low, {advice}" in told


def test_statistics_are_those_of_the_train_clips(run_dir, cache_dir):
    run, cache = RunDir(run_dir), read_cache(cache_dir)
    clips = read_manifest(run.manifest_path)
    train_ids = [clip.clip_id for clip in clips if clip.split == "train"]
    statistics = measure_features(ClipReader(cache, train_ids, memory_bytes=0))
    normalization = load_model(run).get_layer("per_frame").model.get_layer("normalization")
    np.testing.assert_allclose(np.ravel(normalization.mean), np.ravel(statistics.mean), rtol=1e-6)


def test_order_is_learnt_where_a_frame_tells_nothing(ramps, tmp_path):
    settings = {"epochs": 6, "dropout": 0.0, "input_dropout": 0.0}
    gru = train(ramps, tmp_path / "gru", rnn="gru", **settings)
    assert evaluate_run(gru, ramps, split="test")["top1"] > 0.9
    mean = train(ramps, tmp_path / "mean", output="mean", **settings)
    assert evaluate_run(mean, ramps, split="test")["top1"] <= 0.6


@pytest.mark.parametrize(("batch_size", "epochs"), [(1, 2), (3, 6)])  # of as many steps
def test_whole_clips_train_in_ragged_batches(ramps, tmp_path, batch_size, epochs):
    run = train(
        ramps,
        tmp_path / "run",
        rnn="gru",
        sequence="ragged",
        batch_size=batch_size,
        epochs=epochs,
        dropout=0.0,
        input_dropout=0.0,
    )
    assert evaluate_run(run, ramps, split="test")["top1"] > 0.9


def test_a_step_is_traced_once(ramps, tmp_path, monkeypatch):
    traced = []
    train_step = keras.Model.train_step

    def count_and_train(model, data):
        traced.append(model)
        return train_step(model, data)

    monkeypatch.setattr(keras.Model, "train_step", count_and_train)
    run = train(ramps, tmp_path / "run", epochs=2)
    assert len(traced) == 1
    # The schedule is over the steps of both epochs, twelve each.
    rates = [row["learning_rate"] for row in read_history(run.history_path)]
    assert rates == pytest.approx([0.01, 0.005])


def test_seed_decides_everything(ramps, tmp_path):
    runs = {}
    for name, seed in (("first", 0), ("again", 0), ("other", 1)):
        runs[name] = train(ramps, tmp_path / name, rnn="gru", epochs=2, seed=seed)
    assert_equal_training(runs["again"], runs["first"])
    assert runs["other"].history_path.read_bytes() != runs["first"].history_path.read_bytes()


def test_test_clips_are_not_read_before_the_evaluation(ramps, tmp_path):
    cache = copy_cache(ramps, tmp_path / "cache")
    for path in (cache.cache_dir / "clips").rglob("test_*.h5"):
        damage_frame(path, 0)
    run = train(cache, tmp_path / "run", epochs=1)
    with pytest.raises(ValueError, match=r"test_\d+\.h5: damaged"):
        evaluate_run(run, cache, split="test")
    assert evaluate_run(run, ramps, split="test")["num_clips"] == 24


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
    for layer in (r"  fc \(FullyConnected\) +\(16, 16\) +112", r"rnn_1 \(GRU\) +\(4, 8\) +624"):
        assert re.search(f"^{layer}$", done.stderr, re.MULTILINE)
    assert "767 weights, of which 754 are trained" in done.stderr
    assert (
        "The batch of 16 is larger than the 4 train clips, so an epoch is one step" in done.stderr
    )
    assert "No clip is in the val split: the last epoch is kept" in done.stderr
    assert "Keeping epoch 3, the last\n" in done.stderr
    assert "No clip is held out, so there is no score" in done.stderr
    assert "val_loss" not in read_history(tmp_path / "run" / "history.csv")[0]


def test_mixed_precision_leaves_a_float32_model(ramps, tmp_path, caplog):
    with caplog.at_level("INFO", logger="absl"):
        run = train(ramps, tmp_path / "run", rnn="gru", mixed_precision=True, epochs=2)
    (policy,) = re.findall(r"Mixed precision: the FC layer computes in (.*)", caplog.text)
    assert re.fullmatch("mixed_b?float16|float32: this CPU is not faster with less", policy)
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
    rows = read_rows(run.predictions_path("train"))
    weights = {"rise": 27 / (2 * 24), "fall": 27 / (2 * 3)}
    losses = np.array([-np.log(float(row[row["label"]])) for row in rows])
    loss = np.mean([weights[row["label"]] for row in rows] * losses)
    assert read_history(run.history_path)[0]["loss"] == pytest.approx(loss, rel=1e-3)
    assert losses.mean() != pytest.approx(loss, rel=1e-2)
