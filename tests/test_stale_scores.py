"""A score is of the clips that the cache has now, and of the model that the run has now."""

import dataclasses
import errno
import os

import numpy as np
import pytest
from commands import read_state
from refusals import limited_files, refusal
from small_cache import SOURCE, write_clip
from small_data import SCORED_SETTINGS, copy_cache, play_backwards, train, write_cache

from lrcn.common.cache.open_cache import read_cache
from lrcn.common.cache.run_dir import write_json
from lrcn.common.clips.clip import SourceStat
from train_head.reports.report_data import describe_run, read_audit
from train_head.run.provenance import describe_data
from train_head.scores.evaluation import evaluate_run
from train_head.scores.held_out import score_run
from train_head.scores.score_file import format_scores, read_scores
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
