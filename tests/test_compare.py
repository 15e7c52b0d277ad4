"""Tests the comparison of heads: its runs and figures, and that it goes on where it was cut off."""

import dataclasses
import json
import logging
import shutil

import numpy as np
import pytest
from commands import run_program
from PIL import Image
from refusals import refusal
from small_data import make_config, make_ramps, write_cache

from lrcn.common.manifest import read_class_names, read_manifest, write_manifest
from lrcn.common.open_cache import read_cache
from lrcn.common.run_dir import RunDir, read_json, write_json
from train_head.comparison import MODELS, compare_models
from train_head.comparison_text import format_table
from train_head.prediction_file import Predictions, write_predictions
from train_head.provenance import describe_data
from train_head.training_data import TrainingData

SEEDS = [5, 6]
CONFIG = make_config(epochs=1, seed=SEEDS[0])
FLAGS = ("--fc_units=16", "--rnn_units=8", "--seq_len=4", "--epochs=1", "--batch_size=4")
# How many of the 8 test clips a finished run is right on.
NUM_RIGHT = {
    "middle_frame": 3,
    "mean_pool": 4,
    "max_pool": 4,
    "attention_pool": 5,
    "gru": 8,
    "lstm": 7,
    "gru_reversed": 7,
    "gru_shuffled": 4,
}


def write_finished_run(run, config, cache, *, num_right, manifest_path=None):
    """Writes what training and scoring leave, but for the model's content."""
    run.path.mkdir(parents=True)
    shutil.copy(manifest_path or cache.manifest_path, run.manifest_path)
    shutil.copy(cache.classes_path, run.classes_path)
    write_json(run.contract_path, cache.contract)
    write_json(run.config_path, config)
    run.model_path.write_bytes(b"a model")
    clips = [clip for clip in read_manifest(run.manifest_path) if clip.split == "test"]
    labels, names = [clip.label for clip in clips], read_class_names(cache.classes_path)
    is_true = np.array([[label == name for name in names] for label in labels])
    probabilities = np.where(np.arange(len(clips))[:, None] < num_right, is_true, ~is_true)
    predictions = Predictions([clip.clip_id for clip in clips], labels, names, probabilities)
    write_predictions(run.predictions_path("test"), predictions)
    sources = cache.digest_sources(predictions.clip_ids)
    scores = {"top1": num_right / len(clips), "provenance": {"sources": sources}}
    write_json(run.metrics_path("test"), scores)


@pytest.fixture
def folder(tmp_path):
    """A folder with a cache, and a comparison of which all runs have ended."""
    features = {}
    for split in ("train", "val", "test"):
        features |= make_ramps(4, split=split)
    cache = write_cache(tmp_path / "cache", features)
    for model in MODELS:
        if not model.needs_positions:
            for seed in SEEDS:
                write_finished_run(
                    RunDir(tmp_path / "compare" / model.name / f"seed_{seed}"),
                    dataclasses.replace(CONFIG, learning_rate=3e-4, **model.settings, seed=seed),
                    cache,
                    num_right=NUM_RIGHT[model.name],
                )
    return tmp_path


def compare(folder, **settings):
    return compare_models(
        dataclasses.replace(CONFIG, **{"learning_rate": 3e-4, **settings}),
        TrainingData(read_cache(folder / "cache")),
        output_dir=folder / "compare",
        num_seeds=2,
        checkpoint_sec=60,
    )


def test_program_goes_on_and_writes_table_json_and_picture(folder):
    output_dir = folder / "compare"
    shutil.rmtree(output_dir / "mean_pool" / "seed_6")
    kept = {path: path.stat().st_mtime_ns for path in output_dir.rglob("*") if path.is_file()}
    flags = (f"--cache_dir={folder}/cache", f"--output_dir={output_dir}", *FLAGS)
    fonts = {"MPLCONFIGDIR": str(folder / "matplotlib")}  # as where it has never drawn
    done = run_program("train_head.compare", *flags, "--seeds=2", "--seed=5", env=fonts)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept, "no run is made twice"
    assert "16 of 16 runs done, about 0 s left" in done.stderr
    written = f"Written: {output_dir / 'compare.json'} and {output_dir / 'compare.png'}"
    assert done.stderr.splitlines()[-1].endswith(written)
    assert "fontManager" not in done.stderr, "what matplotlib tells of its own files"

    content = json.loads((output_dir / "compare.json").read_text())
    assert (content["split"], content["num_clips"], content["seeds"]) == ("test", 8, SEEDS)
    models = {model["name"]: model for model in content["models"]}
    assert list(models) == list(NUM_RIGHT)
    trained = read_json(output_dir / "mean_pool" / "seed_6" / "metrics.json")
    assert models["mean_pool"]["top1"] == [0.5, trained["top1"]]
    assert models["lstm"]["top1"] == [7 / 8, 7 / 8]
    assert done.stdout == format_table(content) + "\n"
    assert content["verdict"] == done.stdout.splitlines()[-1]
    with Image.open(output_dir / "compare.png") as picture:
        assert picture.width > 1000
        assert len(picture.convert("RGB").getcolors(2**24)) > 50, "something is drawn"


def test_train_clips_alone_are_nothing_to_compare_on(tmp_path):
    write_cache(tmp_path / "cache", make_ramps(2, split="train"))
    with pytest.raises(
        ValueError, match=r"to compare on\. Received: \['train'\]\. Give some clips"
    ):
        compare(tmp_path)


def test_clips_in_another_order_are_not_taken_for_those_of_other_runs(folder):
    path = RunDir(folder / "compare" / "gru" / "seed_6").predictions_path("test")
    header, *rows = path.read_text().splitlines(keepends=True)
    path.write_text("".join([header, *reversed(rows)]))  # as a spreadsheet may save it
    with refusal(f"{path}: expected the 8 test clips of"):
        compare(folder)


def test_clips_that_change_while_it_trains_are_not_mixed(folder, monkeypatch, caplog):
    cache = read_cache(folder / "cache")
    shutil.rmtree(folder / "compare" / "gru_shuffled" / "seed_6")

    def correct_a_label(record):
        # As an extraction of a corrected manifest does, after the last run but one.
        if "gru_reversed/seed_6: trained already" in record.getMessage():
            *clips, last = read_manifest(cache.manifest_path)
            others = set(read_class_names(cache.classes_path)) - {last.label}
            last = dataclasses.replace(last, label=others.pop())
            write_manifest(cache.manifest_path, [*clips, last])
        return True

    caplog.set_level(logging.INFO, "absl")
    monkeypatch.setattr(logging.getLogger("absl"), "filters", [correct_a_label])
    with refusal("lists other clips, labels, groups or splits than when this program started"):
        compare(folder)
    assert not (folder / "compare" / "gru_shuffled" / "seed_6").exists()


def test_means_deviations_and_differences(folder):
    shutil.rmtree(folder / "compare" / "gru" / "seed_6")
    write_finished_run(
        RunDir(folder / "compare" / "gru" / "seed_6"),
        dataclasses.replace(CONFIG, learning_rate=3e-4, seed=6),
        read_cache(folder / "cache"),
        num_right=6,
    )
    content = compare(folder)
    models = {model["name"]: model for model in content["models"]}
    assert models["gru"]["mean"] == 7 / 8
    assert models["gru"]["std"] == pytest.approx(np.std([1, 6 / 8], ddof=1))
    assert models["mean_pool"]["difference"] is None
    assert models["gru"]["difference"]["mean"] == 3 / 8
    # Two seeds that are 25 points apart say little.
    assert models["gru"]["difference"]["low"] < 0 < 3 / 8 < models["gru"]["difference"]["high"]
    # And so do three clips of eight: McNemar's exact test gives 0.25.
    assert -0.5 < models["lstm"]["difference"]["low"] < 0
    unseen = pytest.approx(1 - 0.025 ** (1 / 8))
    found = models["max_pool"]["difference"]
    assert (found["mean"], -found["low"], found["high"]) == (0, unseen, unseen)
    assert content["leaking_groups"] == 0
    leaking = format_table({**content, "leaking_groups": 2})
    assert "\n\ngroups in several splits: 2, so the scores are too good\n\nThe GRU is" in leaking
    assert not content["of_one_group"]
    assert "\n\nall clips are of one group: intervals say" in format_table(
        {**content, "of_one_group": True}
    )
    lines = format_table(content).splitlines()
    assert lines[0] == "top-1 of 8 test clips, in %: mean and deviation of seeds 5, 6"
    assert lines[2].split() == [
        "model",
        "mean",
        "std",
        "difference",
        "to",
        "mean",
        "pool",
        "[95",
        "%]",
    ]
    row = next(line for line in lines if line.startswith("GRU  "))
    assert row.split()[:4] == ["GRU", "87.5", "17.7", "+37.5"]
    # Rows of a terminal of 80 columns, the longest name and interval too.
    for model in content["models"]:
        model["difference"] = {"mean": -1, "low": -1, "high": 1}
    content["models"][0]["title"] = max((model.title for model in MODELS), key=len)
    assert max(map(len, format_table(content).splitlines()[:-1])) <= 80


def test_models_differ_from_the_gru_in_what_their_titles_say():
    gru = make_config(rnn="gru")
    differing = {
        model.name: {key for key, value in model.settings.items() if value != getattr(gru, key)}
        for model in MODELS
    }
    linear = {"rnn", "fc_units", "output"}
    assert differing == {
        "middle_frame": linear | {"seq_len", "jitter"},
        "mean_pool": linear,
        "max_pool": linear,
        "attention_pool": linear,
        "gru": set(),
        "lstm": {"rnn"},
        "gru_attention": {"frame_pooling"},
        "gru_reversed": {"frame_order"},
        "gru_shuffled": {"frame_order"},
    }


def test_runs_of_other_settings_are_refused(folder):
    with pytest.raises(ValueError, match="seed_5: made with rnn_units=8, but this command"):
        compare(folder, rnn_units=9)


def test_other_splits_of_the_cache_are_compared_on(folder):
    cache, path = read_cache(folder / "cache"), folder / "split_1.csv"
    clips = read_manifest(cache.manifest_path)
    swap = {"test": "val", "val": "test", "train": "train"}
    clips = [dataclasses.replace(clip, split=swap[clip.split]) for clip in clips[:-1]]
    write_manifest(path, clips)
    for model in MODELS:
        if not model.needs_positions:
            write_finished_run(
                RunDir(folder / "other" / model.name / "seed_5"),
                make_config(epochs=1, seed=5, **{"learning_rate": 3e-4, **model.settings}),
                cache,
                num_right=7,
                manifest_path=path,
            )
    content = compare_models(
        dataclasses.replace(CONFIG, learning_rate=3e-4),
        TrainingData(cache, manifest_path=path),
        output_dir=folder / "other",
        num_seeds=1,
        checkpoint_sec=60,
    )
    assert content["num_clips"] == 8
    assert {model["top1"][0] for model in content["models"]} == {7 / 8}
    assert content["data"] == describe_data(cache, clips)
    # Those of the cache's splits are others.
    flags = (f"--cache_dir={folder}/cache", f"--output_dir={folder}/compare", *FLAGS)
    done = run_program(
        "train_head.compare", *flags, "--seeds=1", "--seed=5", f"--manifest={path}", check=False
    )
    assert done.returncode == 1
    assert f"groups or splits, or in another order, than {path} lists now" in done.stderr


def test_without_held_out_clips_there_is_nothing_to_compare_on(tmp_path):
    cache = write_cache(tmp_path / "cache", make_ramps(2, split="train"))
    with pytest.raises(ValueError, match=r"manifest\.csv: expected clips of the split test.*train"):
        compare_models(
            CONFIG,
            TrainingData(cache),
            output_dir=tmp_path / "out",
            num_seeds=1,
            checkpoint_sec=60,
        )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("more", [(), ("--only_check_args",)])
def test_flags_in_which_the_models_differ_are_refused(more):
    flags = ("--cache_dir=a", "--output_dir=b", "--frame_order=forward", *more)
    done = run_program("train_head.compare", *flags, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        "error: --frame_order: the models of the comparison differ in it. Leave it out."
        in done.stderr
    )
