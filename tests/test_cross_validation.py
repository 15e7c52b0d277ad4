"""Other splits of one cache: a run for each, their mean, and splits that are refused."""

import dataclasses
import functools
import os
import statistics
from pathlib import Path

import pytest
from commands import SMALL_HEAD, run_program, start_program
from refusals import refusal
from small_data import copy_cache, make_config, train
from small_splits import write_pairs, write_splits

from lrcn.common.cache.run_dir import RunDir, read_json, write_json
from lrcn.common.clips.manifest import read_manifest, write_manifest
from train_head.run.run_lock import lock_run
from train_head.run.training_data import TrainingData
from train_head.scores.evaluation import evaluate_run
from train_head.scores.score_file import read_scores
from train_head.studies.cross_validation import cross_validate, find_manifests


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp("pairs") / "cache", 16)


def test_runs_on_several_splits_are_averaged_and_not_done_twice(cache, tmp_path):
    (tmp_path / "splits").mkdir()
    paths = [
        write_splits(cache, tmp_path / "splits" / "first.csv", test=range(4), val=range(4, 8)),
        write_splits(cache, tmp_path / "splits" / "second.csv", test=range(8, 11)),
    ]
    (tmp_path / "splits" / "readme.txt").touch()
    output_dir = tmp_path / "runs"
    done = run_program(
        "train_head.cross_validate",
        f"--cache_dir={cache.cache_dir}",
        f"--manifests={tmp_path / 'splits'}",
        f"--output_dir={output_dir}",
        *(*SMALL_HEAD, "--rnn=none"),
    )
    assert done.stderr.count("each clip is classified by its last frame alone") == 1
    assert "No test clips" not in done.stderr
    content = read_json(output_dir / "cross_validation.json")
    runs = content["runs"]
    assert [(run["name"], run["num_clips"]) for run in runs] == [("first", 8), ("second", 6)]
    top1s = [run["top1"] for run in runs]
    assert content["mean"]["top1"] == pytest.approx(sum(top1s) / 2)
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"first   top-1 {top1s[0]:.1%} [")
    assert lines[1].startswith(f"second  top-1 {top1s[1]:.1%} [")
    assert lines[2].startswith(f"mean of 2: top-1 {sum(top1s) / 2:.1%}, standard deviation ")
    assert len(lines) == 3
    # The second run is what it would be by itself, and the run holds the manifest's splits.
    settings = {"rnn": "none", "batch_size": 16, "learning_rate": None}
    run = train(cache, tmp_path / "alone", manifest_path=paths[1], **settings)
    alone = evaluate_run(run, cache, split="test")
    # The commit would tell of edits made meanwhile.
    alone["provenance"]["git_commit"] = runs[1]["provenance"]["git_commit"]
    assert {"name": "second", **alone} == runs[1]
    groups = {clip.group for clip in read_manifest(run.manifest_path) if clip.split == "test"}
    assert groups == {"train_8", "train_9", "train_10"}
    # Again is nothing new.
    before = {path: path.stat().st_mtime_ns for path in output_dir.glob("*/*") if path.is_file()}
    again = functools.partial(
        cross_validate,
        make_config(**settings),
        TrainingData(cache),
        manifest_paths=paths,
        output_dir=output_dir,
        checkpoint_sec=60,
    )
    assert again() == content
    assert before == {path: path.stat().st_mtime_ns for path in before}
    assert set(again(manifest_paths=paths[:1])["std"].values()) == {None}
    # Of scores that differ, the deviation is the sample's.
    path = RunDir(output_dir / "first").metrics_path("test")
    write_json(path, {**read_scores(path), "top1": 0.9})
    assert again()["std"]["top1"] == pytest.approx(statistics.stdev([0.9, top1s[1]]))
    # Not of what somebody took a score out of.
    write_json(path, {key: value for key, value in read_json(path).items() if key != "top5"})
    with refusal(f"{path}: expected the key 'top5'. Received: split, "):
        again()


@pytest.mark.parametrize("given", [(), ("--manifests=a.csv", "--folds=2")])
def test_splits_are_named_or_drawn(given):
    done = run_program(
        "train_head.cross_validate", "--cache_dir=c", "--output_dir=o", *given, check=False
    )
    assert done.returncode == 1
    assert "error: Expected either --manifests, to name the splits, or --folds" in done.stderr


def test_no_manifests_are_asked_for(cache, tmp_path):
    for named in ("", ","):
        done = run_program(
            "train_head.cross_validate",
            *(f"--cache_dir={cache.cache_dir}", f"--output_dir={tmp_path}", f"--manifests={named}"),
            check=False,
        )
        text = "error: --manifests: expected .csv files, separated by commas. Received: none."
        assert (done.returncode, done.stdout) == (1, "") and text in done.stderr


def test_a_folder_stands_for_its_manifests_in_natural_order(tmp_path):
    for name in ("split_10.csv", "split_2.CSV", "split_1.csv", "notes.md", "._split_1.csv"):
        (tmp_path / name).touch()
    names = ["split_1.csv", "split_2.CSV", "split_10.csv"]
    assert find_manifests([str(tmp_path)]) == [tmp_path / name for name in names]
    named = [str(tmp_path / name) for name in ("split_2.CSV", "gone.csv", "split_1.csv")]
    assert find_manifests([*named, ""]) == [*map(Path, named), Path("")]
    (tmp_path / "new").mkdir()
    with pytest.raises(ValueError, match=r"new: expected \.csv files in this folder. Received: no"):
        find_manifests([str(tmp_path / "new")])
    (tmp_path / ".split_3.csv.0123abcd.tmp").touch()
    with refusal(f"{tmp_path / 'split_3.csv'}: expected a manifest. Received", FileNotFoundError):
        find_manifests([str(tmp_path)])


def refuse(cache, paths, tmp_path, text, error=ValueError):
    with pytest.raises(error, match=text):
        cross_validate(
            make_config(),
            TrainingData(cache),
            manifest_paths=paths,
            output_dir=tmp_path / "runs",
            checkpoint_sec=60,
        )
    assert not (tmp_path / "runs").exists()


def test_bad_manifests_are_named_before_any_training(cache, tmp_path):
    good = write_splits(cache, tmp_path / "good.csv", test=[0])
    train_only = write_splits(cache, tmp_path / "train.csv", test=[])
    refuse(cache, [good, train_only], tmp_path, r"train\.csv: expected test clips \(or else val")
    val_only = write_splits(
        cache,
        tmp_path / "val.csv",
        test=[0],
        change=lambda x: dataclasses.replace(x, split=x.split.replace("test", "val")),
    )
    refuse(cache, [good, val_only], tmp_path, r"val\.csv: expected test clips, as .*good\.csv has")
    (tmp_path / "other").mkdir()
    other = write_splits(cache, tmp_path / "other" / "good.csv", test=[0])
    refuse(cache, [good, other], tmp_path, "manifests of different names, .* Received: good, good")
    empty = write_splits(
        cache,
        tmp_path / "empty.csv",
        test=[0],
        change=lambda clip: dataclasses.replace(clip, split=clip.split.replace("train", "")),
    )
    refuse(
        cache, [good, empty], tmp_path, "empty.csv: expected a split for every clip. Received 30"
    )
    falling = write_splits(
        cache,
        tmp_path / "falling.csv",
        test=[0],
        change=lambda x: x if x.label == "fall" or x.split != "train" else None,
    )
    refuse(cache, [good, falling], tmp_path, r"falling\.csv: expected train clips of every class")
    lacking = copy_cache(cache, tmp_path / "cache")
    lacking.clip_path("rise/train_0").unlink()
    without = write_splits(
        cache,
        tmp_path / "without.csv",
        test=[1],
        change=lambda clip: None if clip.clip_id == "rise/train_0" else clip,
    )
    text = "cache: 1 of 32 clips are not in the cache, such as"
    refuse(lacking, [without, good], tmp_path, text, FileNotFoundError)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("notes", "notes: holds files, but no run. Expected a run or an empty or new folder"),
        ("longer", "longer: made with epochs=2, but this command says epochs=1. Name another"),
        (os.fsdecode(b"caf\xe9"), "expected a folder whose name is UTF-8, as TensorFlow, which"),
    ],
)
def test_a_run_that_cannot_be_trained_is_named_before_any_training(cache, tmp_path, name, text):
    paths = [write_splits(cache, tmp_path / f"{x}.csv", test=[i]) for i, x in enumerate("ab")]
    paths[1] = paths[1].rename(tmp_path / f"{name}.csv")
    runs = tmp_path / "runs"
    if name == "notes":
        (runs / name).mkdir(parents=True)
        (runs / name / "todo.txt").touch()
    if name == "longer":
        train(cache, runs / name, epochs=2, manifest_path=paths[1])
    with refusal(text):
        cross_validate_quickly(cache, paths, runs)
    assert not (runs / "a").exists()


def test_a_run_that_another_program_trains_stops_nothing_before_its_turn(cache, tmp_path):
    paths = [write_splits(cache, tmp_path / f"{x}.csv", test=[i]) for i, x in enumerate("ab")]
    first, second = (RunDir(tmp_path / "runs" / path.stem) for path in paths)
    train(cache, second.path, epochs=1, manifest_path=paths[1])
    with lock_run(second), refusal(f"{second.path}: another program is writing", RuntimeError):
        cross_validate_quickly(cache, paths, tmp_path / "runs")
    assert first.metrics_path("test").exists()


def test_splits_that_change_between_two_runs_are_not_mixed(cache, tmp_path, when_logged, caplog):
    paths = [write_splits(cache, tmp_path / f"{i}.csv", test=[], val=[i]) for i in (1, 2)]
    # As somebody does who finds a mistake while the first run trains.
    when_logged("1 (1 of 2)", lambda: write_splits(cache, paths[1], test=[], val=[1, 2]))
    with refusal(f"{paths[1]}: lists other clips, labels, groups or splits than when this"):
        cross_validate_quickly(cache, paths, tmp_path / "runs")
    assert RunDir(tmp_path / "runs" / "1").metrics_path("val").exists()
    assert not (tmp_path / "runs" / "2").exists()
    assert "No test clips: the scores are of the val clips that chose the epochs" in caplog.text


def test_clips_that_move_between_two_runs_are_the_same(cache, tmp_path):
    cache = copy_cache(cache, tmp_path / "cache")
    clips = [dataclasses.replace(x, path=f"b/{x.path}") for x in read_manifest(cache.manifest_path)]
    flags = (f"--cache_dir={cache.cache_dir}", f"--output_dir={tmp_path}/runs", "--folds=2")
    program = start_program("train_head.cross_validate", *flags, *SMALL_HEAD, "--rnn=none")
    with program as validation:
        validation.wait_for_text("learning rate")
        write_manifest(cache.manifest_path, clips)
        assert validation.wait() == 0, validation.read_output()
    assert read_manifest(RunDir(tmp_path / "runs" / "fold_2").manifest_path)[0].path[:2] == "b/"


def cross_validate_quickly(cache, manifest_paths, output_dir):
    cross_validate(
        make_config(epochs=1, rnn="none"),
        TrainingData(cache),
        manifest_paths=manifest_paths,
        output_dir=output_dir,
        checkpoint_sec=60,
    )
