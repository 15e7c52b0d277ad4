"""Tests the scores of a run, and that every clip counts once."""

import dataclasses
import os
import re
import shutil
import subprocess

import numpy as np
import pytest
from commands import ROOT, read_rows, run_program
from small_data import change_manifest, make_ramps, train, write_cache

from lrcn.common.cache.open_cache import read_cache
from lrcn.common.cache.run_dir import RunDir, read_json, write_json
from lrcn.common.clips.manifest import read_manifest
from lrcn.common.pixels.sampling import place_windows
from train_head.head.run_model import load_model
from train_head.run import provenance
from train_head.run.provenance import find_git_commit
from train_head.scores import evaluation
from train_head.scores.evaluation import evaluate_run
from train_head.scores.score_file import read_scores
from train_head.scores.score_table import format_metrics


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
    rows = read_rows(run.predictions_path(split))
    expected = {"split": split, **recompute_scores(rows)}
    added = {
        "top1_interval",
        "mean_class_accuracy_interval",
        "by_group",
        "of_one_group",
        "per_class",
    }
    added |= {"expected_calibration_error", "reliability", "provenance"}
    assert set(scores) == set(expected) | added
    for name in ("top1", "top5", "mean_class_accuracy", "per_class_accuracy"):
        assert scores[name] == pytest.approx(expected[name])
    for name in ("split", "num_clips", "confusion_matrix"):
        assert scores[name] == expected[name]
    assert read_scores(run.metrics_path(split)) == scores
    lines = [f"    {row}" for row in scores["confusion_matrix"]]
    assert ",\n".join(lines) in run.metrics_path(split).read_text()
    clips = [clip for clip in read_manifest(cache_dir / "manifest.csv") if clip.split == split]
    assert len(clips) > 0
    assert [(row["clip_id"], row["label"]) for row in rows] == [
        (clip.clip_id, clip.label) for clip in clips
    ]


def test_batch_size_does_not_change_the_predictions(run_dir, cache_dir, tmp_path):
    run = RunDir(shutil.copytree(run_dir, tmp_path / "run"))
    wanted = evaluate_run(run, read_cache(cache_dir), split="train")
    rows = read_rows(run.predictions_path("train"))
    for batch_size in (1, 3, 100):
        write_json(run.config_path, {**read_json(run.config_path), "batch_size": batch_size})
        scores = evaluate_run(run, read_cache(cache_dir), split="train")
        for name in ("num_clips", "top1", "top5", "top1_interval", "confusion_matrix"):
            assert scores[name] == wanted[name]
        error = scores["expected_calibration_error"]
        assert error == pytest.approx(wanted["expected_calibration_error"], abs=1e-4)
        for row, found in zip(rows, read_rows(run.predictions_path("train")), strict=True):
            assert row["clip_id"] == found["clip_id"]
            assert float(row["left"]) == pytest.approx(float(found["left"]), abs=2e-6)


def test_val_split_prints_a_table_and_leaves_the_test_score_alone(run_dir, cache_dir, tmp_path):
    run = RunDir(shutil.copytree(run_dir, tmp_path / "run"))
    before = {path: path.read_bytes() for path in run.path.iterdir() if path.is_file()}
    done = run_program(
        "train_head.evaluate",
        f"--run_dir={run.path}",
        f"--cache_dir={cache_dir}",
        "--split=val",
        "--windows=2",
    )
    scores = read_json(run.path / "metrics_val_windows2.json")
    assert done.stdout == format_metrics(scores) + "\n"
    assert scores["split"] == "val"
    assert len(read_rows(run.path / "predictions_val_windows2.csv")) == scores["num_clips"]
    assert {path: path.read_bytes() for path in before} == before


def test_scores_say_where_they_come_from_also_where_the_data_is_gone(run_dir, cache_dir, tmp_path):
    run = RunDir(shutil.copytree(run_dir, tmp_path / "run"))
    cache_copy = shutil.copytree(cache_dir, tmp_path / "cache")
    content = read_json(cache_copy / "cache.json")
    write_json(cache_copy / "cache.json", {**content, "data_root": "/gone/clips"})
    write_json(run.config_path, {**read_json(run.config_path), "seed": 7})
    # Train and test clips are of one group, which is not scored here.
    change_manifest(
        run, lambda clip: dataclasses.replace(clip, group="a" if clip.split == "val" else "b")
    )
    scores = evaluate_run(run, read_cache(cache_copy), split="val")
    assert scores["of_one_group"]
    provenance = scores["provenance"]
    commit = provenance.pop("git_commit")
    assert commit is None or re.fullmatch("[0-9a-f]{40}(-dirty)?", commit)
    assert (commit is None) == (not (ROOT / ".git").exists())
    assert provenance.pop("versions") == read_json(run.versions_path)
    assert provenance == {
        "data": "/gone/clips",
        "cache_dir": str(cache_copy),
        "split": "val",
        "windows": 1,
        "views": 1,
        "seed": 7,
        "leaking_groups": 1,
        "contract": read_cache(cache_dir).contract.digest,
        "sources": read_cache(cache_dir).digest_sources(
            clip.clip_id for clip in read_manifest(run.manifest_path) if clip.split == "val"
        ),
    }


@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git")
def test_the_commit_is_that_of_the_checkout_that_runs(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)  # of a hook that runs the tests
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)

    def git(*args):
        who = ("-c", "user.name=a", "-c", "user.email=a@b")
        done = subprocess.run(["git", "-C", tmp_path, *who, *args], check=True, capture_output=True)
        return done.stdout.decode().strip()

    git("init")
    monkeypatch.setattr(provenance, "_ROOT", tmp_path)
    assert find_git_commit() is None, "before the first commit"
    (tmp_path / "code.py").touch()
    git("add", "code.py")
    git("commit", "--message=first")
    git("tag", "--annotate", "v1", "--message=v1")
    commit = git("rev-parse", "HEAD")
    assert len(commit) == 40
    assert find_git_commit() == commit
    monkeypatch.setenv("GIT_DIR", str(ROOT / ".git"))
    assert find_git_commit() == commit, "also in a hook of another checkout"
    (tmp_path / "inner").mkdir()
    monkeypatch.setattr(provenance, "_ROOT", tmp_path / "inner")
    assert find_git_commit() is None, "of an installed copy inside another project's checkout"
    monkeypatch.setattr(provenance, "_ROOT", tmp_path)
    (tmp_path / "code.py").write_text("changed")
    assert find_git_commit() == f"{commit}-dirty"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_git_commit() is None, "without git"


@pytest.mark.parametrize("sequence", ["fixed", "ragged"])
def test_windows_are_the_mean_of_spans_scored_by_themselves(tmp_path, sequence):
    """Each clip's spans are clips of a second cache; the mean of their scores is what is wanted."""
    features = {**make_ramps(6, split="train"), **make_ramps(3, split="test")}
    cache = write_cache(tmp_path / "cache", features)
    run = train(cache, tmp_path / "run", sequence=sequence, epochs=1)
    evaluate_run(run, cache, split="test", num_windows=3)
    rows = read_rows(run.predictions_path("test", num_windows=3))
    spans = {}
    for clip, maps in features.items():
        starts, window_len = place_windows(len(maps), 3)
        for i, start in enumerate(starts):
            part = dataclasses.replace(clip, clip_id=f"{clip.clip_id}_{i}")
            spans[part] = maps[start : start + window_len]
    span_cache = write_cache(tmp_path / "spans", spans)
    span_run = RunDir(shutil.copytree(run.path, tmp_path / "span_run"))
    shutil.copy(span_cache.manifest_path, span_run.manifest_path)
    scores = evaluate_run(span_run, span_cache, split="test")
    assert scores["by_group"]["num_groups"] == 6, "parts of one source are a group"
    span_rows = read_rows(span_run.predictions_path("test"))
    assert len(span_rows) == 3 * len(rows) == 18
    for i, row in enumerate(rows):
        parts = [float(x["rise"]) for x in span_rows[3 * i : 3 * i + 3]]
        assert float(row["rise"]) == pytest.approx(np.mean(parts), abs=1e-5)
        assert np.ptp(parts) > 1e-4


def test_windows_have_a_score_of_their_own(run_dir, cache_dir, tmp_path):
    run = RunDir(shutil.copytree(run_dir, tmp_path / "run"))
    before = run.metrics_path("test").read_bytes(), run.predictions_path("test").read_bytes()
    scores = evaluate_run(run, read_cache(cache_dir), split="test", num_windows=2)
    assert scores == read_scores(run.path / "metrics_windows2.json")
    assert scores["provenance"]["windows"] == 2
    assert scores["num_clips"] == len(read_rows(run.path / "predictions_windows2.csv"))
    assert before == (
        run.metrics_path("test").read_bytes(),
        run.predictions_path("test").read_bytes(),
    )


def test_a_scored_model_gives_its_memory_back(run_dir, cache_dir, tmp_path, monkeypatch):
    run, models = RunDir(shutil.copytree(run_dir, tmp_path / "run")), []

    def load(run):
        models.append(load_model(run))
        return models[0]

    monkeypatch.setattr(evaluation, "load_model", load)
    evaluate_run(run, read_cache(cache_dir), split="val")
    # TensorFlow keeps what it was traced as, and memory would grow by a model for each run.
    assert all(x.size == 0 for x in models[0].get_weights())
