"""Tests heads that label every frame: what is learnt, and that it is told right."""

import shutil

import numpy as np
import pytest
import small_data
from commands import SMALL_HEAD, read_rows, run_program
from frame_data import NAMES, make_walks
from refusals import refusal
from small_data import assert_equal_training, interrupt_after_epoch_2, make_config
from small_splits import write_swapped

from lrcn.common.cache.open_cache import read_cache
from lrcn.common.cache.run_dir import RunDir, read_json
from lrcn.common.clips.manifest import read_class_names, read_manifest, write_manifest
from train_head.predictions.explanation import check_explainable
from train_head.predictions.prediction import Predictor
from train_head.run.config import TrainConfig
from train_head.run.history import read_history
from train_head.run.training_data import TrainingData
from train_head.scores.evaluation import evaluate_run
from train_head.scores.score_table import format_metrics
from train_head.studies.cross_validation import cross_validate
from train_head.training.train import train_run

LEARNING = {
    "labels": "frame",
    "sequence": "ragged",
    "rnn_units": 16,
    "batch_size": 8,
    "dropout": 0.0,
    "input_dropout": 0.0,
}


def train(walks, folder, **settings):
    """Trains in this process; returns the run."""
    cache, labels_path = walks
    settings = {"rnn": "gru", "checkpoint_sec": 0, **LEARNING, **settings}
    return small_data.train(cache, folder, frame_labels_path=labels_path, **settings)


def test_labels_that_follow_from_what_came_before_are_learnt(walks, tmp_path):
    cache, labels_path = walks
    run = RunDir(tmp_path / "run")
    flags = [
        f"--cache_dir={cache.cache_dir}",
        f"--run_dir={run.path}",
        *SMALL_HEAD,
        *(f"--{name}={value}" for name, value in {**LEARNING, "epochs": 25}.items()),
        "--learning_rate=0.02",
    ]
    done = run_program("train_head", *flags, f"--frame_labels={labels_path}")
    scores = read_json(run.metrics_path("test"))
    low, high = (100 * x for x in scores["frame_accuracy_interval"])
    made = make_walks(9, split="test")
    num_labelled = sum(np.count_nonzero(x != -1) for _, x in made.values())
    assert done.stdout == (
        f"frame accuracy {scores['frame_accuracy']:.1%} [{low:.1f}, {high:.1f}] of {num_labelled} "
        f"frames of 9 test clips, run in {run.path}\n"
    )
    assert scores["frame_accuracy"] > 0.9
    assert scores["mean_average_precision"] > 0.9
    assert scores["segment_f1_50"] > 0.7
    assert read_class_names(run.classes_path) == NAMES
    # A row for each frame, each once, with its label and its time.
    rows = read_rows(run.predictions_path("test"))
    expected = [
        (clip.clip_id, str(t), t / 10, "" if k == -1 else NAMES[k])
        for clip, (_, class_ids) in made.items()
        for t, k in enumerate(class_ids)
    ]
    columns = ("clip_id", "frame_index", "label")
    assert [tuple(row[x] for x in columns) for row in rows] == [
        (x[0], x[1], x[3]) for x in expected
    ]
    times = [float(row["timestamp_sec"]) for row in rows]
    np.testing.assert_allclose(times, [x[2] for x in expected])
    right = [row["predicted"] == row["label"] for row in rows if row["label"]]
    assert np.mean(right) == pytest.approx(scores["frame_accuracy"])

    # The run has its labels: training again does without, and the score too.
    moved = labels_path.rename(labels_path.with_name("moved.csv"))
    try:
        config = TrainConfig(**read_json(run.config_path))
        train_run(config, TrainingData(cache), run=run, checkpoint_sec=60)
        table = format_metrics(evaluate_run(run, cache, split="val"))
    finally:
        moved.rename(labels_path)
    num_val = sum(np.count_nonzero(x != -1) for _, x in make_walks(8, split="val").values())
    assert table.startswith(f"frames               {num_val} with a label, in 8 clips of the split")
    for title in ("frame accuracy", "mean class accuracy", "mean AP", "segment F1@0.25"):
        assert f"\n{title} " in table
    best = max(read_history(run.history_path), key=lambda row: (row["val_top1"], row["epoch"]))
    scores = read_json(run.metrics_path("val"))
    assert scores["frame_accuracy"] == pytest.approx(best["val_top1"])
    rows = [row for row in read_rows(run.predictions_path("val")) if row["label"]]
    loss = np.mean([-np.log(float(row[row["label"]])) for row in rows])
    assert loss == pytest.approx(best["val_loss"], rel=1e-3)

    # What is for clips says so.
    with pytest.raises(ValueError, match=r"run: expected a run that gives each clip one label"):
        check_explainable(run)
    with pytest.raises(ValueError, match=r"--windows=1 for a run with --labels=frame.*windows=3"):
        evaluate_run(run, cache, split="test", num_windows=3)


def test_without_memory_such_labels_are_not_learnt(walks, tmp_path):
    run = train(walks, tmp_path / "run", rnn="none", epochs=6)
    assert evaluate_run(run, walks[0], split="test")["frame_accuracy"] < 0.75


def test_stopped_training_goes_on_as_if_nothing_had_happened(walks, tmp_path, monkeypatch):
    settings = {"rnn": "none", "epochs": 4, "sequence": "fixed", "dropout": 0.2}
    settings["class_weights"] = "balanced"
    whole = train(walks, tmp_path / "whole", **settings)
    run = RunDir(tmp_path / "run")
    with interrupt_after_epoch_2(monkeypatch):
        train(walks, run.path, **settings)
    assert (run.checkpoints_path / "last_2.npz").exists()
    train(walks, run.path, **settings)
    assert_equal_training(run, whole)
    # Every frame has an answer, though the head reads four of each clip.
    evaluate_run(run, walks[0], split="test")
    rows = read_rows(run.predictions_path("test"))
    assert len(rows) == sum(len(maps) for maps, _ in make_walks(9, split="test").values())

    # Other labels are another run.
    changed = tmp_path / "changed.csv"
    changed.write_text(walks[1].read_text().replace("0.2,0.3,up", "0.2,0.3,down"))
    with pytest.raises(ValueError, match=r"run: made with other frame labels than .*changed\.csv"):
        train((walks[0], changed), run.path, **settings)


def test_new_clips_get_the_answers_of_evaluation(cache_dir, clips_dir, tmp_path):
    cache = read_cache(cache_dir)
    clips = read_manifest(cache.manifest_path)
    for clip in clips:
        path = tmp_path / "labels" / f"{clip.clip_id}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        num_frames = cache.count_frames(clip.clip_id)
        path.write_text("".join("early\n" if t < 3 else "late\n" for t in range(num_frames)))
    run = train((cache, tmp_path / "labels"), tmp_path / "run", epochs=20, sequence="fixed")
    expected = {}
    for split in ("train", "val", "test"):
        evaluate_run(run, cache, split=split)
        for row in read_rows(run.predictions_path(split)):
            expected[row["clip_id"], row["frame_index"]] = row
    output = tmp_path / "frames.csv"
    sources = {
        clips_dir / "left" / "clip_7.mp4": "left/clip_7",
        clips_dir / "right" / "clip_4": "right/clip_4",
    }
    done = run_program(
        "train_head.predict", f"--run_dir={run.path}", f"--output={output}", *sources
    )
    rows = read_rows(output)
    assert list(rows[0]) == ["clip", "frame_index", "timestamp_sec", "predicted", "early", "late"]
    assert len(rows) == 12 + 9
    for row in rows:
        clip_id = next(name for path, name in sources.items() if str(path) == row["clip"])
        found = expected[clip_id, row["frame_index"]]
        assert float(row["early"]) == pytest.approx(float(found["early"]), abs=1e-3)
        assert row["timestamp_sec"] == found["timestamp_sec"]
    # The segments of stdout are those of the rows.
    lines = [line.split() for line in done.stdout.splitlines()]
    assert len(lines) > len(sources), "some clip has several segments"
    for path in sources:
        names = [row["predicted"] for row in rows if row["clip"] == str(path)]
        starts = [t for t, name in enumerate(names) if t == 0 or names[t - 1] != name]
        shown = [line for line in lines if line[0] == str(path)]
        assert [line[-2] for line in shown] == [names[t] for t in starts]
    assert lines[0][1:5] == ["0.00", "s", "to", lines[0][4]]
    assert lines[-1][-4:-2] == ["frame", "9"]
    with pytest.raises(ValueError, match=r"Expected --windows=1 for a run with --labels=frame"):
        Predictor(run, num_windows=2)


def test_scores_of_several_splits_are_averaged(walks, tmp_path):
    cache, labels_path = walks
    clips = read_manifest(cache.manifest_path)
    paths = [tmp_path / "first.csv", write_swapped(clips, tmp_path / "second.csv")]
    write_manifest(paths[0], clips)
    config = make_config(**LEARNING, rnn="none", epochs=1)
    how = {"manifest_paths": paths, "output_dir": tmp_path / "runs", "checkpoint_sec": 60}
    content = cross_validate(config, TrainingData(cache, frame_labels_path=labels_path), **how)
    assert [run["num_clips"] for run in content["runs"]] == [9, 8]
    for name in ("frame_accuracy", "mean_average_precision", "segment_f1_50"):
        expected = np.mean([run[name] for run in content["runs"]])
        assert content["mean"][name] == pytest.approx(expected)
    # A run that goes on has its labels; that another needs them is said before the one trains.
    model_path = RunDir(tmp_path / "runs" / "first").model_path
    model_path.unlink()
    shutil.rmtree(tmp_path / "runs" / "second")
    with pytest.raises(ValueError, match="Expected --frame_labels with --labels=frame"):
        cross_validate(config, TrainingData(cache), **how)
    assert not model_path.exists()


def test_labels_that_change_between_two_runs_are_not_mixed(walks, tmp_path, when_logged):
    cache, labels_path = walks
    text = labels_path.read_text()
    labels_path = tmp_path / "labels.csv"
    labels_path.write_text(text)
    paths = [tmp_path / "first.csv", tmp_path / "second.csv"]
    for path in paths:
        write_manifest(path, read_manifest(cache.manifest_path))
    corrected = "".join(text.splitlines(keepends=True)[:-1])  # one interval less
    when_logged("first (1 of 2)", lambda: labels_path.write_text(corrected))
    with refusal(f"{labels_path}, with the splits of {paths[0]}: lists other clips, labels"):
        cross_validate(
            make_config(**LEARNING, rnn="none", epochs=1),
            TrainingData(cache, frame_labels_path=labels_path),
            manifest_paths=paths,
            output_dir=tmp_path / "runs",
            checkpoint_sec=60,
        )
    assert not (tmp_path / "runs").exists()
