"""Folds that are drawn and written for a cross-validation: whole, by one program, for one cache."""

import dataclasses
import functools

import pytest
from commands import SMALL_HEAD, kill_at_first_manifest, run_program
from refusals import refusal
from small_data import copy_cache, make_config, make_ramps, write_cache
from small_splits import write_pairs

from lrcn.common.cache.run_dir import RunDir, read_json
from lrcn.common.clips.manifest import read_manifest, write_manifest
from train_head.run.run_lock import lock_run
from train_head.studies.cross_validation import find_manifests
from train_head.studies.folds import write_folds


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp("pairs") / "cache", 16)


def test_folds_are_drawn_and_each_tested_by_a_head_of_the_others(cache, tmp_path):
    cache, output_dir = copy_cache(cache, tmp_path / "cache"), tmp_path / "runs"
    command = (
        "train_head.cross_validate",
        *(f"--cache_dir={cache.cache_dir}", f"--output_dir={output_dir}", "--folds=2"),
        *(*SMALL_HEAD, "--epochs=1", "--rnn=none", "--output=mean"),
    )
    done = run_program(*command)
    assert "last frame alone" not in done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in (*lines[:2], lines[-1])] == ["fold_1", "fold_2", "mean"]
    assert lines[2:5] == ["", "all folds, each clip tested once:", ""] and lines[-2] == ""
    runs = read_json(output_dir / "cross_validation.json")["runs"]
    for line, *rows in zip(lines[7:9], *(run["confusion_matrix"] for run in runs), strict=True):
        assert line.split()[1:3] == [str(x + y) for x, y in zip(*rows, strict=True)]
    folds = [read_manifest(RunDir(output_dir / f"fold_{i}").manifest_path) for i in (1, 2)]
    held_out = [{clip.group for clip in fold if clip.split == "test"} for fold in folds]
    assert not held_out[0] & held_out[1]
    assert held_out[0] | held_out[1] == {f"train_{i}" for i in range(16)}
    # As an extraction leaves it that found the same clips in another place.
    clips = [dataclasses.replace(x, path=f"b/{x.path}") for x in read_manifest(cache.manifest_path)]
    write_manifest(cache.manifest_path, clips)
    again = run_program(*command)
    assert again.stdout == done.stdout and again.stderr.count("trained already") == 2


def test_a_kill_leaves_folds_that_are_not_taken_for_all(cache, tmp_path):
    flags = (f"--cache_dir={cache.cache_dir}", f"--output_dir={tmp_path}", "--folds=3")
    kill_at_first_manifest("train_head.cross_validate", *flags)
    assert len(list(tmp_path.glob("fold_*.csv"))) == 1
    with refusal(": expected a manifest. Received: a hidden file of its name", FileNotFoundError):
        find_manifests([str(tmp_path)])
    names = [f"fold_{i}.csv" for i in (1, 2, 3)]
    with write_folds(make_config(), cache, output_dir=tmp_path, num_folds=3) as paths:
        assert paths == find_manifests([str(tmp_path)]) == [tmp_path / name for name in names]
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_folds_are_written_by_one_program_at_a_time(cache, tmp_path):
    folds = write_folds(make_config(), cache, output_dir=tmp_path, num_folds=3)
    text = f"{tmp_path}: another program is"
    with lock_run(RunDir(tmp_path)), refusal(text, RuntimeError), folds:
        pass
    assert not [*tmp_path.iterdir()]


def test_only_labels_of_clips_are_shared_out_to_folds(tmp_path):
    features = {  # a label for each, as of videos of one recording each
        dataclasses.replace(clip, label=clip.clip_id): maps
        for clip, maps in make_ramps(3, split="train").items()
    }
    cache = write_cache(tmp_path / "cache", features)
    with write_folds(
        make_config(labels="frame"), cache, output_dir=tmp_path / "frames", num_folds=2
    ) as paths:
        assert [len(read_manifest(path)) for path in paths] == [6, 6]
    folds = functools.partial(write_folds, make_config(), cache, output_dir=tmp_path / "clips")
    with refusal("Received: at most 1 clip of a class, --folds=2."), folds(num_folds=2):
        pass
    cache.classes_path.unlink()
    text = f"{cache.classes_path}: missing, as where what fills"
    with refusal(text, FileNotFoundError), folds(num_folds=2):
        pass


def test_folds_of_clips_without_groups_are_told_of(cache, tmp_path, caplog):
    # Whose splits were given, so that nothing said so before.
    alone = write_cache(tmp_path / "alone", make_ramps(3, split="train"))
    told = {}
    for name, of_cache in {"alone": alone, "pairs": cache}.items():
        caplog.clear()
        with (
            caplog.at_level("INFO", logger="absl"),
            write_folds(make_config(), of_cache, output_dir=tmp_path / name / "cv", num_folds=2),
        ):
            told[name] = caplog.text
    assert "No group is known of 6 of 6 clips: folds are drawn clip by clip" in told["alone"]
    assert "No group" not in told["pairs"]


def test_folds_of_which_none_has_a_run_are_not_in_the_way_of_others(cache, tmp_path):
    folds = functools.partial(write_folds, make_config(), cache, output_dir=tmp_path / "new" / "cv")
    with refusal("no training"), folds(num_folds=3) as paths:
        assert all(path.exists() for path in paths)
        raise ValueError("no training")
    assert not [*tmp_path.iterdir()]
    with refusal("no training"), folds(num_folds=2) as (first, second):
        (first.parent / "fold_2").mkdir()
        raise ValueError("no training")
    (first.parent / "fold_2").rmdir()
    with refusal("no training"), folds(num_folds=2):  # which found them there
        raise ValueError("no training")
    assert first.exists() and second.exists()
