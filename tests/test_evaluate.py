"""Tests the scores of a run, and that every clip counts once."""

import csv
import shutil

import h5py
import numpy as np
import pytest
from commands import run_program
from small_data import write_cache

from lrcn.common.clip import Clip
from lrcn.common.feature_cache import read_cache
from lrcn.common.manifest import read_manifest
from lrcn.common.run_dir import RunDir, read_json, write_json
from train_head.evaluation import evaluate_run
from train_head.metrics import format_metrics


def read_predictions(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def recompute_scores(rows):
    """Computes the scores once more, from the rows of `predictions.csv` alone."""
    names = list(rows[0])[3:]
    probabilities = np.array([[float(row[name]) for name in names] for row in rows])
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    labels = np.array([names.index(row["label"]) for row in rows])
    predicted = probabilities.argmax(axis=1)
    assert [names[k] for k in predicted] == [row["predicted"] for row in rows]
    matrix = np.zeros((len(names), len(names)), int)
    np.add.at(matrix, (labels, predicted), 1)
    recalls = matrix.diagonal() / matrix.sum(axis=1)
    better = (probabilities > probabilities[np.arange(len(rows)), labels][:, None]).sum(axis=1)
    return {
        "num_clips": len(rows),
        "top1": float((predicted == labels).mean()),
        "top5": float((better < 5).mean()),
        "mean_class_accuracy": float(recalls.mean()),
        "per_class_accuracy": dict(zip(names, recalls.tolist(), strict=True)),
        "confusion_matrix": matrix.tolist(),
    }


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_scores_follow_from_the_predictions(run_dir, cache_dir, tmp_path, split):
    run = RunDir(shutil.copytree(run_dir, tmp_path / "run"))
    scores = evaluate_run(run, read_cache(cache_dir), split=split)
    rows = read_predictions(run.predictions_path(split))
    expected = {"split": split, "num_views": 1, **recompute_scores(rows)}
    assert set(scores) == set(expected)
    for name in ("top1", "top5", "mean_class_accuracy", "per_class_accuracy"):
        assert scores[name] == pytest.approx(expected[name])
    for name in ("split", "num_views", "num_clips", "confusion_matrix"):
        assert scores[name] == expected[name]
    assert read_json(run.metrics_path(split)) == scores
    clips = [clip for clip in read_manifest(cache_dir / "manifest.csv") if clip.split == split]
    assert len(clips) > 0
    assert [(row["clip_id"], row["label"]) for row in rows] == [
        (clip.clip_id, clip.label) for clip in clips
    ]


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_batch_size_does_not_change_the_predictions(run_dir, cache_dir, tmp_path, batch_size):
    run = RunDir(shutil.copytree(run_dir, tmp_path / "run"))
    wanted = evaluate_run(run, read_cache(cache_dir), split="train")
    rows = read_predictions(run.predictions_path("train"))
    write_json(run.config_path, {**read_json(run.config_path), "batch_size": batch_size})
    assert evaluate_run(run, read_cache(cache_dir), split="train") == wanted
    for row, found in zip(rows, read_predictions(run.predictions_path("train")), strict=True):
        assert row["clip_id"] == found["clip_id"]
        assert float(row["left"]) == pytest.approx(float(found["left"]), abs=2e-6)


def test_val_split_prints_a_table_and_leaves_the_test_score_alone(run_dir, cache_dir, tmp_path):
    run = RunDir(shutil.copytree(run_dir, tmp_path / "run"))
    before = {path: path.read_bytes() for path in run.path.iterdir() if path.is_file()}
    done = run_program(
        "train_head.evaluate", f"--run_dir={run.path}", f"--cache_dir={cache_dir}", "--split=val"
    )
    scores = read_json(run.path / "metrics_val.json")
    assert done.stdout == format_metrics(scores) + "\n"
    assert scores["split"] == "val"
    assert len(read_predictions(run.path / "predictions_val.csv")) == scores["num_clips"]
    assert {path: path.read_bytes() for path in before} == before


def test_cache_of_other_features_is_refused(run_dir, cache_dir, tmp_path):
    clip = Clip("left/clip_0", "left/clip_0", "left", "test")
    other = write_cache(tmp_path / "other", {clip: np.ones((3, 2))})
    with pytest.raises(
        ValueError, match=r"other: made with backbone=imported, .* but this run nee"
    ):
        evaluate_run(RunDir(run_dir), other, split="test")


def test_split_without_clips_is_refused(run_dir, cache_dir, tmp_path):
    run = RunDir(shutil.copytree(run_dir, tmp_path / "run"))
    lines = run.manifest_path.read_text().splitlines(keepends=True)
    run.manifest_path.write_text("".join(line for line in lines if ",val," not in line))
    with pytest.raises(ValueError, match=r"manifest\.csv: has no clips of the split val\. Name an"):
        evaluate_run(run, read_cache(cache_dir), split="val")


def test_a_damaged_clip_is_named(run_dir, cache_dir, tmp_path):
    cache = read_cache(shutil.copytree(cache_dir, tmp_path / "cache"))
    clip = next(x for x in read_manifest(cache.manifest_path) if x.split == "test")
    with h5py.File(cache.clip_path(clip.clip_id), "r+") as file:
        maps = file["feature_maps"].id
        places = [maps.get_chunk_info(i).byte_offset for i in range(maps.get_num_chunks())]
    with open(cache.clip_path(clip.clip_id), "r+b") as file:
        for place in places:
            file.seek(place)
            file.write(b"\0" * 8)
    run = RunDir(shutil.copytree(run_dir, tmp_path / "run"))
    with pytest.raises(ValueError, match=r"^\S+\.h5: damaged .*Delete the file and run extract_"):
        evaluate_run(run, cache, split="test")


def test_missing_run_and_unfinished_run_are_said(run_dir, cache_dir, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone: there is no run here\. Expected the --run"):
        evaluate_run(RunDir(tmp_path / "gone"), read_cache(cache_dir), split="test")
    run = RunDir(shutil.copytree(run_dir, tmp_path / "run"))
    run.model_path.unlink()
    with pytest.raises(FileNotFoundError, match=r"run: training has not ended, .* Run the same"):
        evaluate_run(run, read_cache(cache_dir), split="test")
