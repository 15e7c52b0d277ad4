"""A score is of the clips that the cache has now, and of the model that the run has now."""

import copy
import functools
import shutil
import subprocess
import sys

import numpy as np
import pytest
from commands import ROOT
from refusals import limited_files, refusal
from small_cache import SOURCE, write_clip
from small_data import SCORED_SETTINGS, copy_cache, play_backwards, train

from lrcn.common.clip import SourceStat
from lrcn.common.open_cache import read_cache
from lrcn.common.run_dir import RunDir, read_json, write_json
from train_head.evaluation import evaluate_run
from train_head.fusion import warn_of_changed_clips
from train_head.held_out import score_run
from train_head.near_duplicates import find_near_duplicates
from train_head.prediction_file import read_run_predictions
from train_head.report_data import describe_run, read_audit
from train_head.reporting import write_report
from train_head.score_table import format_metrics


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
    assert read_json(run.metrics_path("test")) == after


def test_an_audit_of_other_clips_of_the_same_names_is_not_in_the_report(trained, tmp_path, caplog):
    cache, run = trained
    audit = find_near_duplicates(cache, threshold=0.95)
    write_json(tmp_path / "audit.json", audit)
    assert read_audit(tmp_path, describe_run(run, cache))["num_pairs"] == audit["num_pairs"]
    assert not caplog.messages
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


def test_a_score_is_never_of_other_predictions_than_lie_beside_it(trained, tmp_path):
    cache, run = trained
    before = copy_cache(cache, tmp_path / "before")
    content, scores = (x("test").read_bytes() for x in (run.predictions_path, run.metrics_path))
    assert len(content) < len(scores)
    changed = play_backwards(cache, "test", SourceStat(1, 0))
    # The scores find no room, as on a disk that fills up between the two.
    with limited_files(max_bytes=len(scores) - 100), pytest.raises(OSError, match="too large"):
        evaluate_run(run, changed, split="test")
    assert run.predictions_path("test").read_bytes() != content
    score_run(run, before)
    assert run.predictions_path("test").read_bytes() == content


def test_a_model_that_is_trained_once_more_is_scored_once_more(trained):
    cache, run = trained
    whole = score_run(run, cache)
    write_json(run.metrics_path("test"), {**whole, "top1": 0.123})
    assert score_run(run, cache)["top1"] == 0.123
    run.report_path.touch()
    (run.path / "notes.txt").touch()
    run.model_path.unlink()
    train(cache, run.path, **SCORED_SETTINGS)
    left = {path.name for path in run.path.iterdir()}
    assert "notes.txt" in left
    assert not left & {"metrics.json", "predictions.csv", "report.html"}
    np.testing.assert_equal(score_run(run, cache)["top1"], whole["top1"])


def run_replacing_the_model(run, module, *flags):
    """Runs a program that finds another model where it first opens that of the run."""
    other = shutil.copy(run.model_path, run.path / "other")
    program = (
        "import os, runpy, sys\n"
        "def train_anew(event, values):\n"
        f"    if event == 'open' and str(values[0]) == '{run.model_path}':\n"
        f"        if os.path.exists('{other}'):\n"
        f"            os.replace('{other}', '{run.model_path}')\n"
        "sys.addaudithook(train_anew)\n"
        f"runpy.run_module('{module}', run_name='__main__')\n"
    )
    command = [sys.executable, "-c", program, f"--run_dir={run.path}", *map(str, flags)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=90)
    assert (done.returncode, done.stdout) == (1, "") and "Traceback" not in done.stderr
    assert f"error: {run.model_path}: expected the model that this program found" in done.stderr


def test_a_model_that_is_replaced_while_it_is_scored_gets_no_score(trained):
    cache, run = trained
    for path in (run.metrics_path("test"), run.predictions_path("test")):
        path.unlink()
    run_replacing_the_model(run, "train_head.evaluate", f"--cache_dir={cache.cache_dir}")
    assert not run.metrics_path("test").exists() and not run.predictions_path("test").exists()


def test_of_two_that_score_at_once_the_last_leaves_both_files(trained, tmp_path):
    cache, run = trained
    other = play_backwards(copy_cache(cache, tmp_path / "other"), "test", SourceStat(1, 0))
    waiting = tmp_path / "waiting"
    evaluate = "runpy.run_module('train_head.evaluate', run_name='__main__')\n"
    second = (
        "import runpy, sys\n"
        "def tell(event, _):\n"
        f"    event == 'fcntl.flock' and open('{waiting}', 'w').close()\n"
        "sys.addaudithook(tell)\n"
    )
    flags = [f"--run_dir={run.path}", f"--cache_dir={other.cache_dir}"]
    command = [sys.executable, "-c", second + evaluate, *flags]
    # Between its two files it lets the other one go on until that has to wait.
    first = (
        "import os, runpy, subprocess, sys, time\n"
        "def let_go_on(event, names):\n"
        "    if not started and event == 'os.rename' and 'metrics.json' in str(names[1]):\n"
        f"        started.append(subprocess.Popen({command}))\n"
        f"        while started[0].poll() is None and not os.path.exists('{waiting}'):\n"
        "            time.sleep(0.01)\n"
        "started = []\n"
        "sys.addaudithook(let_go_on)\n"
    )
    flags = [f"--run_dir={run.path}", f"--cache_dir={cache.cache_dir}"]
    command = [sys.executable, "-c", first + evaluate, *flags]
    # To the end of both, which have one stdout.
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=90)
    scores = read_json(run.metrics_path("test"))
    assert scores["top1"] == read_run_predictions(run, split="test").is_right.mean()
    assert scores["provenance"]["cache_dir"] == str(other.cache_dir)


def test_a_run_that_is_replaced_while_it_is_read_is_not_reported(trained):
    cache, run = trained
    run_replacing_the_model(run, "train_head.report", f"--cache_dir={cache.cache_dir}")
    assert not run.report_path.exists()


def test_a_run_that_is_replaced_while_it_is_read_names_no_clip(run_dir, clips_dir, tmp_path):
    run = RunDir(shutil.copytree(run_dir, tmp_path / "run"))
    run_replacing_the_model(run, "train_head.predict", clips_dir / "left" / "clip_0")


def test_a_score_that_somebody_shortened_is_said_with_what_mends_it(trained):
    cache, run = trained
    path = run.metrics_path("test")
    whole = read_json(path)

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


def test_what_is_no_json_is_said_with_what_mends_it(trained):
    cache, run = trained
    path = run.metrics_path("test")
    wanted = read_json(path)
    predictions = {str(run.path): read_run_predictions(run, split="test")}
    for content, text in (("{", "not valid JSON ("), ("[1]", "expected a JSON object. Received: ")):
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
    run.config_path.write_text("{")
    text = "Copy the run again, or delete its folder and train it again."
    with refusal(text):
        evaluate_run(run, cache, split="test")
    run.config_path.unlink()
    with refusal(text, FileNotFoundError):
        read_json(run.config_path)
