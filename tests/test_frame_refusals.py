"""What labels of frames do not go with is refused by name."""

import dataclasses
import shutil

import pytest
from commands import run_program
from small_data import make_config, train

from lrcn.common.cache.run_dir import RunDir
from lrcn.common.clips.manifest import read_manifest, write_manifest
from train_head.batches.frame_choice import check_windows
from train_head.run.config import FineTuneConfig, TrainConfig
from train_head.run.training_data import TrainingData
from train_head.studies.cross_validation import cross_validate

SETTINGS = {"labels": "frame", "sequence": "ragged", "rnn": "none", "epochs": 1}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"output": "mean"}, r"no --output with --labels=frame.* Received: --output=mean\. Leave"),
        ({"balanced_sampling": True}, r"no --balanced_sampling with --labels=frame"),
    ],
)
def test_settings_without_meaning_for_frames_are_refused(settings, message):
    for kind in (TrainConfig, FineTuneConfig):
        with pytest.raises(ValueError, match=message):
            kind(labels="frame", **settings)
        assert kind(**settings).labels == "clip"


def test_a_clip_is_read_in_one_window_at_least():
    check_windows(make_config(), 3)
    for labels in ("clip", "frame"):
        with pytest.raises(ValueError, match=r"Expected at least one window\. Received: 0\."):
            check_windows(make_config(labels=labels), 0)


CLIPS_ONLY = "Expected labels of whole clips, which this program is about. Received:"


@pytest.mark.parametrize(
    ("program", "flags", "message"),
    [
        ("compare", ["--labels=frame"], f"{CLIPS_ONLY} --labels=frame. Leave it out."),
        ("compare", ["--frame_labels=x.csv"], f"{CLIPS_ONLY} --frame_labels=x.csv. Leave it out."),
        ("label_noise", ["--labels=frame"], CLIPS_ONLY),
    ],
)
def test_programs_about_clips_refuse_labels_of_frames(program, flags, message, tmp_path):
    done = run_program(
        f"train_head.{program}",
        f"--cache_dir={tmp_path}",
        f"--output_dir={tmp_path / 'out'}",
        *flags,
        check=False,
    )
    assert done.returncode == 1
    assert f"error: {message}" in done.stderr


def test_runs_that_label_frames_are_not_fused_and_nobody_is_sent_to_score_them(walks, tmp_path):
    run = train(walks[0], tmp_path / "run", frame_labels_path=walks[1], **SETTINGS)
    flags = (f"--run_dirs={run.path},{tmp_path}/other", f"--output={tmp_path}/fused.csv")
    for split in ("train", "test"):  # of which only the other is scored when training ends
        done = run_program("train_head.fuse", *flags, f"--split={split}", check=False)
        assert done.returncode == 1
        assert f"error: {run.path}: expected a run that gives each clip one label. " in done.stderr


def test_labels_of_frames_need_a_head_that_learns_them(tmp_path):
    flags = (f"--cache_dir={tmp_path}", f"--run_dir={tmp_path / 'run'}", "--frame_labels=x.csv")
    done = run_program("train_head", *flags, check=False)
    assert "error: Expected --labels=frame with --frame_labels. Received: --labels=c" in done.stderr


def test_splits_whose_labels_do_not_allow_training_are_named_before_any(walks, tmp_path):
    cache, labels_path = walks
    clips = read_manifest(cache.manifest_path)
    lines = labels_path.read_text().splitlines()
    labels_path = tmp_path / "labels.csv"
    labels_path.write_text("\n".join([*lines, f"{clips[0].clip_id},0,0.1,rare"]) + "\n")
    paths = [tmp_path / "first.csv", tmp_path / "second.csv"]
    write_manifest(paths[0], clips)
    write_manifest(paths[1], [dataclasses.replace(clips[0], split="test"), *clips[1:]])
    message = (
        r"labels\.csv, with the splits of .*second\.csv: expected train frames of every class\. "
        r"Received none of 'rare'\."
    )
    with pytest.raises(ValueError, match=message):
        cross_validate(
            make_config(**SETTINGS),
            TrainingData(cache, frame_labels_path=labels_path),
            manifest_paths=paths,
            output_dir=tmp_path / "runs",
            checkpoint_sec=60,
        )
    assert not (tmp_path / "runs").exists()


def test_labels_are_needed_for_a_new_run(walks, tmp_path):
    run = RunDir(tmp_path / "run")
    with pytest.raises(ValueError, match=r"Expected --frame_labels with --labels=frame: a \.csv"):
        train(walks[0], run.path, **SETTINGS)
    assert not run.path.exists()
    shutil.copy(walks[1], tmp_path / "labels.csv")
    with pytest.raises(ValueError, match=r"labelled frame in every clip.* name a manifest without"):
        (tmp_path / "labels.csv").write_text("\n".join(walks[1].read_text().splitlines()[:20]))
        train(walks[0], run.path, frame_labels_path=tmp_path / "labels.csv", **SETTINGS)
    assert not run.path.exists()
