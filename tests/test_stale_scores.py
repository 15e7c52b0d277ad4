"""A score is of the clips that the cache has now, and of the model that the run has now."""

import dataclasses
import shutil

import numpy as np
import pytest
from refusals import refusal
from small_cache import SOURCE, write_clip
from small_data import copy_cache, make_config, train

from lrcn.common.clip import Clip, SourceStat
from lrcn.common.manifest import read_manifest, write_manifest
from lrcn.common.open_cache import read_cache
from lrcn.common.run_dir import RunDir, read_json, write_json
from train_head.evaluation import evaluate_run
from train_head.held_out import score_held_out, score_run
from train_head.near_duplicates import find_near_duplicates
from train_head.provenance import warn_of_other_data
from train_head.report_data import describe_run, read_audit
from train_head.train import train_run
from train_head.training_data import TrainingData

SETTINGS = {"rnn": "gru", "epochs": 4, "dropout": 0.0, "input_dropout": 0.0}


@pytest.fixture(scope="module")
def scored(ramps, tmp_path_factory):
    run = train(ramps, tmp_path_factory.mktemp("scored") / "run", **SETTINGS)
    score_run(run, ramps)
    return run


@pytest.fixture
def trained(ramps, scored, tmp_path):
    """A cache and a scored run on it, which a test may change."""
    run = RunDir(shutil.copytree(scored.path, tmp_path / "run"))
    return copy_cache(ramps, tmp_path / "cache"), run


def play_backwards(cache, split, source):
    """Puts a clip of the other class in the place of each of a split; returns the cache anew."""
    for clip in read_manifest(cache.manifest_path):
        if clip.split == split:
            features = cache.read_clip(clip.clip_id)
            writer = cache.open_writer(clip.clip_id)
            writer.append(
                features.feature_maps[::-1],
                frame_index=features.frame_index.tolist(),
                timestamp_sec=features.timestamp_sec.tolist(),
            )
            writer.commit(source)
    return read_cache(cache.cache_dir)


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
        train(play_backwards(cache, split, SourceStat(1, 0)), run.path, **SETTINGS)


def test_a_run_that_has_lost_what_its_clips_were_made_of_is_refused(trained):
    cache, run = trained
    run.sources_path.write_text("")
    with refusal(f"{run.path}: made of other contents of these clips than {cache.cache_dir}"):
        train(cache, run.path, **SETTINGS)


def test_clips_extracted_again_from_the_same_sources_change_nothing(trained):
    cache, run = trained
    before = run.metrics_path("test").stat().st_ino
    for split in ("train", "test"):
        cache = play_backwards(cache, split, SourceStat(0, 0))
    train(cache, run.path, **SETTINGS)
    score_run(run, cache)
    assert run.metrics_path("test").stat().st_ino == before


def test_other_test_clips_are_scored_anew(trained):
    cache, run = trained
    before = score_run(run, cache)
    cache = play_backwards(cache, "test", SourceStat(1, 0))
    train(cache, run.path, **SETTINGS)  # the model is the same
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


def test_a_cache_of_other_data_is_scored_with_a_warning(trained, caplog):
    cache, run = trained
    caplog.set_level("WARNING")
    evaluate_run(run, cache, split="test")
    assert not caplog.messages
    cache = play_backwards(cache, "train", SourceStat(1, 0))
    evaluate_run(run, cache, split="test")
    (text,) = caplog.messages
    assert text.startswith(f"{cache.cache_dir}: its train and val clips have other contents than")


def test_where_nothing_can_tell_other_data_there_is_no_warning(trained, caplog):
    cache, run = trained
    clips = read_manifest(run.manifest_path)
    caplog.set_level("WARNING")
    known = run.sources_path.read_text()
    run.sources_path.unlink()  # as of an older run
    warn_of_other_data(run, clips, cache)
    run.sources_path.write_text(known)
    cache = play_backwards(cache, "val", SourceStat(1, 0))
    cache.clip_path("rise/train_0").unlink()
    warn_of_other_data(run, clips, cache)
    assert not caplog.messages


def test_test_clips_that_came_later_are_told(trained, caplog):
    cache, run = trained
    caplog.set_level("WARNING")
    shutil.copy(cache.clip_path("rise/test_0"), cache.clip_path("rise/late"))
    new = Clip("rise/new", "new", "rise", "train")  # no clip of a score
    clips = [new, *read_manifest(cache.manifest_path), Clip("rise/late", "late", "rise", "test")]
    write_manifest(cache.manifest_path, clips)
    assert (
        evaluate_run(run, cache, split="test")["num_clips"]
        == len([clip for clip in clips if clip.split == "test"]) - 1
    )
    (text,) = caplog.messages
    assert "lists 1 test clip that the run does not know and does not score, such as rise/" in text
    assert text.endswith("to score all, unless the --manifest of this one leaves them out")


def test_a_score_that_is_not_of_test_clips_comes_with_a_warning(trained, caplog):
    cache, run = trained
    caplog.set_level("WARNING")
    assert score_held_out(run, cache)["split"] == "test"
    assert not caplog.messages
    left = [clip for clip in read_manifest(run.manifest_path) if clip.split != "test"]
    write_manifest(run.manifest_path, left)
    scores = score_held_out(run, cache)
    assert (scores["split"], scores["num_clips"]) == ("val", 16)
    assert caplog.messages[-1] == (
        "No test clips: the score is of the val clips that chose the epoch."
    )
    write_manifest(run.manifest_path, [clip for clip in left if clip.split == "train"])
    assert score_held_out(run, cache) is None
    text = f"No clip is held out, so there is no score; the run is in {run.path}"
    assert caplog.messages[-1] == text


def test_labels_that_were_corrected_since_are_told(trained, caplog):
    cache, run = trained
    caplog.set_level("WARNING")
    clips = [
        dataclasses.replace(x, label="fall") if x.clip_id == "rise/test_0" else x
        for x in read_manifest(cache.manifest_path)
    ]
    write_manifest(cache.manifest_path, clips)
    evaluate_run(run, cache, split="test")
    (text,) = caplog.messages
    assert "gives 1 clip another label than the run has, such as rise/test_0: 'fall', and" in text
    assert "not 'rise'. Scores are by those of the run. Train a new run on these, unless" in text


def test_labels_of_frames_of_other_test_clips_are_told(walks, tmp_path, caplog):
    cache = copy_cache(walks[0], tmp_path / "cache")
    run, data = RunDir(tmp_path / "run"), TrainingData(cache, frame_labels_path=walks[1])
    config = make_config(labels="frame", rnn="none", epochs=1)
    train_run(config, data, run=run, checkpoint_sec=60)
    score_run(run, cache)
    caplog.clear()
    caplog.set_level("WARNING")
    cache = play_backwards(cache, "test", SourceStat(1, 0))
    score_run(run, cache)
    (text,) = caplog.messages
    assert text.startswith(f"{cache.cache_dir}: its test clips have other contents than those that")
    assert f"{run.path} has labels of. Scores are by these labels of frames." in text
    digests = run.sources_path.read_text().splitlines()
    run.sources_path.write_text(digests[0] + "\n")  # as of an older run
    caplog.clear()
    evaluate_run(run, cache, split="test")
    assert not caplog.messages


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


def test_a_model_that_is_trained_once_more_is_scored_once_more(trained):
    cache, run = trained
    whole = score_run(run, cache)
    write_json(run.metrics_path("test"), {**whole, "top1": 0.123})
    assert score_run(run, cache)["top1"] == 0.123
    run.report_path.touch()
    (run.path / "notes.txt").touch()
    run.model_path.unlink()
    train(cache, run.path, **SETTINGS)
    left = {path.name for path in run.path.iterdir()}
    assert "notes.txt" in left
    assert not left & {"metrics.json", "predictions.csv", "report.html"}
    np.testing.assert_equal(score_run(run, cache)["top1"], whole["top1"])


def test_what_is_no_json_is_said_with_what_mends_it(trained):
    cache, run = trained
    wanted = read_json(run.metrics_path("test"))
    run.metrics_path("test").write_text("{")
    with refusal("metrics.json: not valid JSON (") as caught:
        score_run(run, cache)
    assert str(caught.value).endswith("Delete it: the clips are scored anew.")
    run.metrics_path("test").unlink()
    assert score_run(run, cache)["confusion_matrix"] == wanted["confusion_matrix"]
    run.config_path.write_text("{")
    text = "Copy the run again, or delete its folder and train it again."
    with refusal(text):
        evaluate_run(run, cache, split="test")
    run.config_path.unlink()
    with refusal(text, FileNotFoundError):
        read_json(run.config_path)
