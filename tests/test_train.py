"""Training learns what there is to learn, and says how it went."""

import re

import numpy as np
import pytest
from commands import SMALL_HEAD, read_rows, run_program
from small_cache import damage_frame
from small_data import (
    assert_equal_training,
    change_manifest,
    copy_cache,
    make_ramps,
    train,
    write_cache,
)

from lrcn.common.cache.run_dir import RunDir
from train_head.head.layers import keras
from train_head.run.history import read_history
from train_head.scores.evaluation import evaluate_run


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
    ("settings", "advice"),
    [
        ({"rnn": "gru"}, "a higher --learning_rate or more --epochs may help"),
        ({"rnn": "gru", "learning_rate": 1e9}, "a lower --learning_rate (the loss of "),
        ({"rnn": "gru", "frame_order": "shuffled"}, None),  # has no order to learn
        ({"rnn": "none"}, None),
    ],
)
def test_train_clips_that_are_not_learnt_are_told(ramps, tmp_path, caplog, settings, advice):
    settings = {"epochs": 2, "learning_rate": 1e-6, **settings}
    with caplog.at_level("INFO", logger="absl"):
        run = train(ramps, tmp_path / "run", **settings)
    last = read_history(run.history_path)[-1]
    assert last["top1"] < 0.95
    told = f"The train clips are not learnt yet: top1 {last['top1']:.3f} in the last epoch. "
    told += f"If the score is low, {advice}"
    found = [message for message in caplog.messages if "not learnt yet" in message]
    assert len(found) == (advice is not None)
    assert all(message.startswith(told) for message in found)


def test_what_keras_has_for_debugging_shortens_no_training(ramps, tmp_path):
    flags = (f"--cache_dir={ramps.cache_dir}", "--batch_size=8", "--rnn=none", *SMALL_HEAD)
    shortening = {"KERAS_MAX_EPOCHS": "1", "KERAS_MAX_STEPS_PER_EPOCH": "1"}
    runs = [RunDir(tmp_path / name) for name in ("whole", "run")]
    for run, env in zip(runs, (None, shortening), strict=True):
        run_program("train_head", *flags, f"--run_dir={run.path}", env=env)
    assert len(read_history(runs[0].history_path)) == 3
    assert_equal_training(*runs)


def test_order_is_learnt_where_a_frame_tells_nothing(ramps, tmp_path, caplog):
    settings = {"epochs": 6, "dropout": 0.0, "input_dropout": 0.0}
    with caplog.at_level("INFO", logger="absl"):
        gru = train(ramps, tmp_path / "gru", rnn="gru", **settings)
    assert read_history(gru.history_path)[-1]["top1"] >= 0.95
    assert "Keeping epoch" in caplog.text and "not learnt yet" not in caplog.text
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
