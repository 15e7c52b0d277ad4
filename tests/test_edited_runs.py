"""Files of a run that somebody edited, or that are damaged, are said with what mends them."""

import copy
import functools
import json

import pytest
from refusals import refusal
from small_data import SCORED_SETTINGS, train

from lrcn.common.cache.run_dir import read_json, write_json
from train_head.predictions.fusion import warn_of_changed_clips
from train_head.reports.report_data import describe_run, read_audit
from train_head.reports.reporting import write_report
from train_head.scores.evaluation import evaluate_run
from train_head.scores.held_out import score_run
from train_head.scores.prediction_file import read_run_predictions
from train_head.scores.score_file import read_scores
from train_head.scores.score_table import format_metrics
from train_head.studies.near_duplicates import find_near_duplicates


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
