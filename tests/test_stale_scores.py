"""A score is of the clips that the cache has now, and of the model that the run has now."""

import copy
import dataclasses
import errno
import functools
import json
import os

import numpy as np
import pytest
from commands import read_state
from refusals import limited_files, refusal
from small_cache import SOURCE, write_clip
from small_data import SCORED_SETTINGS, copy_cache, play_backwards, train, write_cache

from lrcn.common.cache.open_cache import read_cache
from lrcn.common.cache.run_dir import read_json, write_json
from lrcn.common.clips.clip import SourceStat
from train_head.predictions.fusion import warn_of_changed_clips
from train_head.reports.report_data import describe_run, read_audit
from train_head.reports.reporting import write_report
from train_head.run.provenance import describe_data
from train_head.scores.evaluation import evaluate_run
from train_head.scores.held_out import score_run
from train_head.scores.prediction_file import read_run_predictions
from train_head.scores.score_file import format_scores, read_scores
from train_head.scores.score_table import format_metrics
from train_head.studies.near_duplicates import find_near_duplicates


@pytest.mark.parametrize(
    "changed",
    [{"size_bytes": 1}, {"mtime_ns": 1}, {"span": "0.5:"}, {"listing": "0" * 64}],
    ids=str,
)
def test_a_digest_of_sources_sees_every_change(cache, changed):
    write_clip(cache, "a")
    before = cache.digest_sources(["a"])
    write_clip(cache, "a", source=SOURCE._replace(**changed))
    assert read_cache(cache.cache_dir).digest_sources(["a"]) != before


def test_a_digest_of_sources_knows_which_clip_is_of_which(cache):
    for clip_id in ("a", "b"):
        write_clip(cache, clip_id)
    assert cache.digest_sources(["a"]) != cache.digest_sources(["b"])
    assert cache.digest_sources(["a", "b"]) != cache.digest_sources(["b", "a"])


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_run_is_not_that_of_other_clips_of_the_same_names(trained, split):
    cache, run = trained
    with refusal(
        f"{run.path}: made of other contents of these clips than {cache.cache_dir} has now. Name "
        "another folder"
    ):
        train(play_backwards(cache, split, SourceStat(1, 0)), run.path, **SCORED_SETTINGS)


def test_a_run_that_has_lost_what_its_clips_were_made_of_is_refused(trained):
    cache, run = trained
    run.sources_path.write_text("")
    with refusal(f"{run.path}: made of other contents of these clips than {cache.cache_dir}"):
        train(cache, run.path, **SCORED_SETTINGS)


def test_clips_extracted_again_from_the_same_sources_change_nothing(trained):
    cache, run = trained
    before = run.metrics_path("test").stat().st_ino
    for split in ("train", "test"):
        cache = play_backwards(cache, split, SourceStat(0, 0))
    train(cache, run.path, **SCORED_SETTINGS)
    score_run(run, cache)
    assert run.metrics_path("test").stat().st_ino == before


def test_other_test_clips_are_scored_anew(trained):
    cache, run = trained
    before = score_run(run, cache)
    cache = play_backwards(cache, "test", SourceStat(1, 0))
    train(cache, run.path, **SCORED_SETTINGS)  # the model is the same
    after = score_run(run, cache)
    assert after["top1"] == pytest.approx(1 - before["top1"])
    assert read_scores(run.metrics_path("test")) == after


def test_an_audit_of_other_clips_of_the_same_names_is_not_in_the_report(trained, tmp_path, caplog):
    cache, run = trained
    audit = find_near_duplicates(cache, threshold=0.95)
    write_json(tmp_path / "audit.json", audit)
    assert read_audit(tmp_path, describe_run(run, cache))["num_pairs"] == audit["num_pairs"]
    assert not caplog.messages
    clips = run.read_clips()
    relabelled = [dataclasses.replace(clips[0], label="another"), *clips[1:]]
    assert read_audit(tmp_path, describe_data(cache, relabelled)) is None
    # Of the same sources, other features.
    other = write_cache(tmp_path / "other", {clip: np.zeros((1, 5)) for clip in clips})
    assert read_audit(tmp_path, describe_run(run, other)) is None
    caplog.clear()
    changed = play_backwards(cache, "train", SourceStat(1, 0))
    assert read_audit(tmp_path, describe_run(run, changed)) is None
    text = f"{tmp_path}/audit.json: is of other features, clips or splits than the run"
    assert caplog.messages[0].startswith(text)
    # Nor one of clips that are no longer there.
    next(changed.cache_dir.rglob("*.h5")).unlink()
    assert read_audit(tmp_path, describe_run(run, read_cache(changed.cache_dir))) is None
    text = f"{tmp_path}/audit.json: may be of other data than the run, of which clips are not in"
    assert caplog.messages[1].startswith(text)


@pytest.mark.parametrize("lost", ["metrics", "predictions"])
def test_a_half_of_a_score_is_made_anew(trained, lost):
    cache, run = trained
    path = getattr(run, f"{lost}_path")("test")
    content = path.read_bytes()
    path.unlink()
    score_run(run, cache)
    if lost == "predictions":
        assert path.read_bytes() == content
    assert path.exists()


def test_a_new_score_that_finds_no_room_leaves_the_old_one(trained):
    cache, run = trained
    before = read_state(run.path)
    sizes = [x("test").stat().st_size for x in (run.predictions_path, run.metrics_path)]
    changed = play_backwards(cache, "test", SourceStat(1, 0))
    assert sizes[0] < sizes[1]
    for size in sizes:  # the predictions find none either, or the scores alone
        with limited_files(max_bytes=size - 100), refusal("too large", OSError):
            evaluate_run(run, changed, split="test")
        assert read_state(run.path) == before


def test_a_score_is_never_of_other_predictions_than_lie_beside_it(trained, tmp_path, monkeypatch):
    cache, run = trained
    before = copy_cache(cache, tmp_path / "before")
    content = run.predictions_path("test").read_bytes()
    changed = play_backwards(cache, "test", SourceStat(1, 0))
    replace = os.replace

    def fail_at_scores(source, target):
        if target == run.metrics_path("test"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail_at_scores)
    with refusal("Input/output error", OSError):
        evaluate_run(run, changed, split="test")
    monkeypatch.undo()
    assert not run.metrics_path("test").exists()
    assert run.predictions_path("test").read_bytes() != content
    score_run(run, before)
    assert run.predictions_path("test").read_bytes() == content


def test_a_model_that_is_trained_once_more_is_scored_once_more(trained):
    cache, run = trained
    whole = score_run(run, cache)
    run.metrics_path("test").write_text(format_scores({**whole, "top1": 0.123}))
    assert score_run(run, cache)["top1"] == 0.123
    run.report_path.touch()
    (run.path / "notes.txt").touch()
    run.model_path.unlink()
    train(cache, run.path, **SCORED_SETTINGS)
    left = {path.name for path in run.path.iterdir()}
    assert "notes.txt" in left
    assert not left & {"metrics.json", "predictions.csv", "report.html"}
    np.testing.assert_equal(score_run(run, cache)["top1"], whole["top1"])


@pytest.mark.parametrize("top1", [0.987, None, "0.987"])
def test_a_score_that_somebody_changed_is_said_with_what_mends_it(trained, top1):
    cache, run = trained
    path = run.metrics_path("test")
    whole = read_json(path)
    write_json(path, {**whole, "top1": top1})
    predictions = {str(run.path): read_run_predictions(run, split="test")}
    for read in (
        lambda: write_report(run, cache),
        lambda: score_run(run, cache),
        lambda: warn_of_changed_clips(predictions, split="test"),
    ):
        with refusal(f"{path}: expected the scores that were written there. Received: ") as caught:
            read()
        assert str(caught.value).endswith("Delete it, and run train_head.evaluate again.")
    path.write_text(json.dumps(dict(reversed(whole.items()))))  # an editor's other form
    assert score_run(run, cache)["top1"] == whole["top1"]


def test_a_score_that_somebody_shortened_is_said_with_what_mends_it(trained):
    """One of an earlier version, without a digest."""
    cache, run = trained
    path = run.metrics_path("test")
    whole = read_scores(path)

    def show():
        format_metrics(score_run(run, cache))

    for place, key, read in (
        ((), "top1", lambda: write_report(run, cache)),
        ((), "split", show),
        (("provenance",), "leaking_groups", show),
        (("per_class", "fall"), "f1", show),
    ):
        changed = copy.deepcopy(whole)
        functools.reduce(dict.get, place, changed).pop(key)
        write_json(path, changed)
        with refusal(f"{path}: expected the key {key!r}. Received: ") as caught:
            read()
        assert str(caught.value).endswith("Delete it, and run train_head.evaluate again.")


@pytest.mark.parametrize("key", ["pairs", "num_pairs"])
def test_an_audit_that_somebody_shortened_is_said_too(trained, tmp_path, key):
    cache, run = trained
    path = tmp_path / "audit.json"
    audit = find_near_duplicates(cache, threshold=0.95)
    write_json(path, {name: value for name, value in audit.items() if name != key})
    with refusal(f"{path}: expected the key {key!r}. Received: ") as caught:
        read_audit(tmp_path, describe_run(run, cache))[key]
    assert str(caught.value).endswith("Run train_head.audit again.")


def test_what_is_no_score_is_said_with_what_mends_it(trained):
    cache, run = trained
    path = run.metrics_path("test")
    wanted = read_json(path)
    predictions = {str(run.path): read_run_predictions(run, split="test")}
    for content, text in (
        ("{", "not valid JSON ("),
        ("[1]", "expected a JSON object. Received: "),
        ('{"provenance": 3}', "expected provenance to be an object. Received: 3"),
    ):
        path.write_text(content)
        for read in (
            lambda: score_run(run, cache),
            lambda: warn_of_changed_clips(predictions, split="test"),
        ):
            with refusal(f"{path}: {text}") as caught:
                read()
            assert str(caught.value).endswith("Delete it, and run train_head.evaluate again.")
    path.unlink()
    assert score_run(run, cache)["confusion_matrix"] == wanted["confusion_matrix"]
    text = "Copy the run again, or delete its folder and train it again."
    for content in ("{", "[" * 100_000):
        run.config_path.write_text(content)
        with refusal(text):
            evaluate_run(run, cache, split="test")
    run.config_path.unlink()
    with refusal(text, FileNotFoundError):
        read_json(run.config_path)


def test_clips_of_a_run_that_are_damaged_are_said_with_what_mends_them(trained):
    cache, run = trained
    run.manifest_path.write_bytes(run.manifest_path.read_bytes()[:-10])
    for read in (
        lambda: evaluate_run(run, cache, split="test"),
        lambda: score_run(run, cache),
        lambda: train(cache, run.path, **SCORED_SETTINGS),
        lambda: write_report(run, cache),
    ):
        with refusal(f"{run.manifest_path}:89: expected 7 cells as in the header, ") as caught:
            read()
        text = "Where nobody changed it: copy the run again, or delete its folder and train it "
        assert str(caught.value).endswith(f"{text}again.")
