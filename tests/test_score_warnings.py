"""What a score is of is told with it, where it is not what a reader would take it for."""

import dataclasses
import shutil

import pytest
from small_data import change_manifest, copy_cache, play_backwards, train

from lrcn.common.clips.clip import Clip, SourceStat
from lrcn.common.clips.manifest import read_manifest, write_manifest
from train_head.run.run_sources import warn_of_other_data
from train_head.scores.evaluation import evaluate_run
from train_head.scores.held_out import score_held_out, score_run


def test_a_cache_of_other_data_is_scored_with_a_warning(trained, caplog):
    cache, run = trained
    caplog.set_level("WARNING")
    evaluate_run(run, cache, split="test")
    assert not caplog.messages
    cache = play_backwards(cache, "train", SourceStat(1, 0))
    evaluate_run(run, cache, split="test")
    (text,) = caplog.messages
    assert text.startswith(f"{cache.cache_dir}: its train and val clips have other contents than")
    assert "by the sizes and times of their files. If these are no copies" in text


@pytest.mark.parametrize("with_others", [True, False])
def test_train_clips_that_somebody_added_to_the_run_or_took_out_are_told(
    trained, caplog, with_others
):
    cache, run = trained
    first, *left = run.read_clips()
    assert first.split == "train"
    if with_others:
        shutil.copy(cache.clip_path(first.clip_id), cache.clip_path("rise/late"))
        left += [first, dataclasses.replace(first, clip_id="rise/late")]
    write_manifest(run.manifest_path, left)
    evaluate_run(run, cache, split="test")
    (text,) = caplog.messages
    assert f"Where somebody added clips to {run.manifest_path}, took some out or gave them" in text


def test_classes_that_somebody_sorted_are_told(trained, caplog):
    cache, run = trained
    for theirs in ("a new class\nfall\nrise\n", "rise\nfall\n"):
        cache.classes_path.write_text(theirs)  # the run knows its own
        evaluate_run(run, cache, split="test")
        assert not caplog.messages
    cache.classes_path.write_text("fall\nrise\n")
    run.classes_path.write_text("rise\nfall\n")
    run.classes_digest_path.unlink()  # as of an older run
    evaluate_run(run, cache, split="test")
    (text,) = caplog.messages
    assert text.startswith(f"{cache.classes_path} has the classes in another order than {run.path}")


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
    cache.manifest_path.unlink()  # as of features that were copied alone
    warn_of_other_data(run, clips, cache)
    assert not caplog.messages


def test_other_test_clips_are_no_other_data_where_clips_have_the_labels(ramps, tmp_path, caplog):
    cache = copy_cache(ramps, tmp_path / "cache")
    run = train(cache, tmp_path / "run", epochs=1)
    score_run(run, play_backwards(cache, "test", SourceStat(1, 0)))
    assert "other contents" not in caplog.text


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


def test_test_clips_that_were_taken_out_since_are_told(trained, caplog):
    cache, run = trained
    caplog.set_level("WARNING")
    gone = ("rise/test_0", "rise/train_0")  # the second is no clip of a score
    change_manifest(cache, lambda clip: None if clip.clip_id in gone else clip)
    score_run(run, cache)
    (text,) = caplog.messages
    assert text.startswith(f"{cache.manifest_path} does not list 1 test clip of the run, such as ")
    assert "such as rise/test_0, which are scored all the same. Train a new run to score" in text


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
    score_run(run, cache)  # of a score that is known as well
    text, again = caplog.messages
    assert again == text
    assert "gives 1 clip another label than the run has, such as rise/test_0: 'fall', and" in text
    assert "not 'rise'. Scores are by those of the run. Train a new run on these, unless" in text


def test_labels_of_frames_of_other_test_clips_are_told(walks, tmp_path, caplog):
    cache = copy_cache(walks[0], tmp_path / "cache")
    settings = {"labels": "frame", "frame_labels_path": walks[1], "epochs": 1}
    run = train(cache, tmp_path / "run", **settings)
    caplog.clear()
    caplog.set_level("WARNING")
    score_run(run, cache)
    assert not caplog.messages
    cache = play_backwards(cache, "test", SourceStat(1, 0))
    score_run(run, cache)
    (text,) = caplog.messages
    assert text.startswith(f"{cache.cache_dir}: its test clips have other contents than those that")
    assert f"{run.path} has labels of. Scores are by these labels of frames." in text
    digests = run.sources_path.read_text().splitlines()
    run.sources_path.write_text(digests[0] + "\n")  # as of an older run
    change_manifest(cache, lambda clip: dataclasses.replace(clip, label="other"))  # of no frame
    caplog.clear()
    evaluate_run(run, cache, split="test")
    assert not caplog.messages
