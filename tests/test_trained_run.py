"""What a run holds when its training has ended: all that it takes to use and to repeat it."""

import importlib.metadata
import os
import re

import numpy as np
import pytest
from commands import read_state, run_and_list_imports
from refusals import refusal
from small_data import SCORED_SETTINGS, train

from lrcn.common.cache.open_cache import read_cache
from lrcn.common.cache.run_dir import RunDir, read_json
from lrcn.common.clips.manifest import read_class_names, read_manifest
from lrcn.common.programs.tensorflow_start import import_tensorflow
from train_head.batches.clip_reader import ClipReader
from train_head.batches.feature_statistics import measure_features
from train_head.head.run_model import load_model
from train_head.predictions.prediction import Predictor
from train_head.reports.reporting import write_report
from train_head.run.config import TrainConfig, read_config
from train_head.run.history import read_history
from train_head.scores.evaluation import evaluate_run
from train_head.scores.prediction_file import read_run_predictions


def test_run_holds_all_that_is_needed(run_dir, cache_dir):
    assert sorted(os.listdir(run_dir)) == [
        "classes.sha256",
        "classes.txt",
        "config.json",
        "contract.json",
        "flags.txt",
        "history.csv",
        "logs",
        "manifest.csv",
        "metrics.json",
        "model.keras",
        "predictions.csv",
        "sources.sha256",
        "versions.json",
    ]
    run = RunDir(run_dir)
    config = TrainConfig(**read_json(run.config_path))
    assert config == TrainConfig(fc_units=16, rnn_units=8, seq_len=4, epochs=3)
    assert "--seq_len=4\n" in run.flags_path.read_text()
    assert read_class_names(run.classes_path) == ["left", "right"]
    assert run.read_contract() == read_cache(cache_dir).contract
    assert run.manifest_path.read_bytes() == (cache_dir / "manifest.csv").read_bytes()
    assert {"python", "tensorflow", "keras", "numpy"} <= set(read_json(run.versions_path))
    history = read_history(run.history_path)
    assert [row["epoch"] for row in history] == [1, 2, 3]
    names = {"epoch", "loss", "top1", "val_loss", "val_top1", "learning_rate", "phase"}
    assert set(history[0]) == names
    assert {path.parent.name for path in run.logs_path.rglob("*.v2")} == {"train", "validation"}


def test_tensorflow_may_come_from_a_package_of_another_name(ramps, tmp_path, monkeypatch):
    def find(package):
        if package == "tensorflow":  # tensorflow-cpu and tensorflow-rocm have the same modules
            raise importlib.metadata.PackageNotFoundError(package)
        return find_version(package)

    find_version = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", find)
    run = train(ramps, tmp_path / "run", epochs=1)
    assert read_json(run.versions_path)["tensorflow"] == import_tensorflow().__version__


def test_stdout_is_one_result_line(run_dir):
    scores = read_json(RunDir(run_dir).metrics_path("test"))
    low, high = (100 * x for x in scores["top1_interval"])
    expected = f"top-1 {scores['top1']:.1%} [{low:.1f}, {high:.1f}] of {scores['num_clips']} test "
    assert (run_dir.parent / "stdout.txt").read_text() == f"{expected}clips, run in {run_dir}\n"


def test_a_score_and_a_report_name_a_cache_whose_name_is_not_utf_8(trained, tmp_path):
    cache_dir = trained[0].cache_dir.rename(tmp_path / os.fsdecode(b"Vid\xe9os"))
    cache, run = read_cache(cache_dir), trained[1]
    evaluate_run(run, cache, split="test")
    assert read_json(run.metrics_path("test"))["provenance"]["cache_dir"] == str(cache_dir)
    write_report(run, cache)
    assert r"/Vid&#39;$&#39;\351&#39;&#39;os" in run.report_path.read_text(encoding="utf-8")


def test_flags_file_repeats_the_run_and_redoes_nothing(run_dir, cache_dir):
    before = read_state(run_dir)
    flags = (f"--cache_dir={cache_dir}", f"--run_dir={run_dir}")
    done, imported = run_and_list_imports("train_head", *flags, f"--flagfile={run_dir}/flags.txt")
    assert done.stdout == (run_dir.parent / "stdout.txt").read_text()
    assert "trained already" in done.stderr
    # It takes seconds, for nothing.
    assert "numpy" in imported and not {"tensorflow", "keras", "sklearn"} & imported
    assert read_state(run_dir) == before


def test_statistics_are_those_of_the_train_clips(run_dir, cache_dir):
    run, cache = RunDir(run_dir), read_cache(cache_dir)
    clips = read_manifest(run.manifest_path)
    train_ids = [clip.clip_id for clip in clips if clip.split == "train"]
    statistics = measure_features(ClipReader(cache, train_ids, memory_bytes=0))
    normalization = load_model(run).get_layer("per_frame").model.get_layer("normalization")
    np.testing.assert_allclose(np.ravel(normalization.mean), np.ravel(statistics.mean), rtol=1e-6)


def test_mixed_precision_leaves_a_float32_model(ramps, tmp_path, caplog):
    with caplog.at_level("INFO", logger="absl"):
        run = train(ramps, tmp_path / "run", rnn="gru", mixed_precision=True, epochs=4)
    (policy,) = re.findall(r"Mixed precision: the FC layer computes in (.*)", caplog.text)
    assert re.fullmatch("mixed_b?float16|float32: this CPU is not faster with less", policy)
    model = load_model(run)
    encoder = model.get_layer("per_frame").model
    assert {layer.dtype_policy.name for layer in (*model.layers, *encoder.layers)} == {"float32"}
    assert evaluate_run(run, ramps, split="test")["top1"] > 0.5


def test_mixed_precision_changes_no_head_without_an_fc_layer(ramps, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(
        "train_head.training.fitting.choose_training_policy", lambda: "mixed_bfloat16"
    )
    settings = {"fc_units": 0, "output": "mean_pool", "epochs": 1}
    with caplog.at_level("INFO", logger="absl"):
        runs = [
            train(ramps, tmp_path / str(x), mixed_precision=x, **settings) for x in (False, True)
        ]
    assert "Mixed precision" not in caplog.text
    rows = [read_history(run.history_path) for run in runs]
    assert rows[0] == rows[1]


@pytest.mark.parametrize("name", ["metrics.json", "history.csv", "model.keras"])
def test_a_pipe_in_the_place_of_a_file_is_named(trained, name):
    cache, run = trained
    path = run.path / name
    path.unlink()
    os.mkfifo(path)
    for use in (
        lambda: write_report(run, cache),
        lambda: evaluate_run(run, cache, split="test"),
        lambda: train(cache, run.path, **SCORED_SETTINGS),
    ):
        with refusal(f"{path}: expected a file, received a pipe, device or socket. Remove it"):
            use()


def test_classes_of_a_run_that_somebody_changed_are_refused_wherever_it_is_used(trained):
    cache, run = trained
    for names in ("rise\nfall\n", "fall\nrise\nhop\n", "Fall\nrise\n"):
        run.classes_path.write_text(names)
        for use in (
            lambda: Predictor(run),
            lambda: load_model(run),
            lambda: evaluate_run(run, cache, split="test"),
            lambda: write_report(run, cache),
            lambda: read_run_predictions(run, split="test"),
            lambda: train(cache, run.path, **SCORED_SETTINGS),
        ):
            with refusal(
                f"{run.classes_path}: expected the class names that the run was trained with, in "
                "their order. Received: others, by classes.sha256. The model knows a class by its "
                "line: undo what was changed, or copy the run again."
            ):
                use()
    run.classes_path.write_bytes(b"\xef\xbb\xbffall\r\nrise")  # as a Windows editor saves it
    load_model(run)
    run.classes_path.write_text("down\nup\n")
    run.classes_digest_path.unlink()  # new names of the same, or a run of an earlier version
    assert Predictor(run).class_names == ["down", "up"]


def test_settings_that_a_windows_editor_saved_are_read(trained):
    _, run = trained
    settings = read_config(run)
    run.config_path.write_bytes(b"\xef\xbb\xbf" + run.config_path.read_bytes())
    assert read_config(run) == settings
