"""A name may turn what follows it around: files keep it, in terminals each letter has its place."""

import re
from pathlib import Path

import numpy as np
import pytest
from commands import read_rows, run_program
from small_data import train, write_cache

from lrcn.common.cache.run_dir import RunDir
from lrcn.common.clips.clip import Clip
from train_head.predictions.prediction import Prediction
from train_head.predictions.prediction_output import format_prediction
from train_head.studies.label_doubt import DoubtedLabel, format_doubts

# Of more than ten classes, those that are confused are named one by one.
NAMES = [f"a{letter}gnp.{i}" for i, letter in enumerate("\u061c\u200e\u200f\u202a\u202b\u202c")]
NAMES += [f"b{letter}gnp" for letter in "\u202d\u202e\u2066\u2067\u2068\u2069"]
TURNING = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with `cache` and a run on it whose folder, clips and classes have such names."""
    folder = tmp_path_factory.mktemp("turned")
    random, features = np.random.RandomState(0), {}
    for split, num_clips in {"train": 2, "test": 3}.items():
        for name in NAMES:
            for i in range(num_clips):
                clip = Clip(f"{name}/{split}_{i}", f"{name}/{split}_{i}", name, split)
                features[clip] = random.normal(size=(3, 8))
    train(write_cache(folder / "cache", features), folder / "run\u202e", epochs=1)
    return folder


def run_on(folder, module, *flags, check=True):
    done = run_program(module, f"--cache_dir={folder}/cache", *flags, check=check)
    assert not TURNING.search(done.stdout + done.stderr)
    return done


def test_tables_spell_what_turns_text_around_and_files_keep_it(folder):
    run = RunDir(folder / "run\u202e")
    done = run_on(folder, "train_head.evaluate", f"--run_dir={run.path}")
    assert f"Written: {folder}/run\\u202e/metrics.json" in done.stderr
    assert "a\\u061cgnp.0" in done.stdout and "  taken for " in done.stdout
    rows = read_rows(run.predictions_path("test"))
    assert [row["label"] for row in rows] == [name for name in NAMES for _ in range(3)]
    done = run_on(folder, "train_head.audit", f"--output_dir={folder}/audit")
    assert done.stdout.count("gnp") == 10 * 4  # two clips and their labels in each row


def test_single_names_are_spelt_too():
    doubt = DoubtedLabel("clip\u2066", "a\u200f", "b\u202e", 0.25, 0.5, -0.25)
    row = r"   1  -0.250  clip\u2066  a\u200f  25%  b\u202e 50%"
    assert row in format_doubts([doubt], num_shown=1)
    prediction = Prediction(Path("x"), np.array([0.25, 0.75]))
    assert format_prediction(prediction, ["a", "b\u202e"], top=1) == [r"b\u202e 0.750"]


def test_errors_and_findings_spell_it_too(folder):
    done = run_on(folder, "train_head.evaluate", "--run_dir=gone\u202e", check=False)
    assert done.stderr.startswith("error: gone\\u202e: there is no run here.")
    done = run_on(folder, "extract_features.verify", check=False)
    assert done.stdout.startswith("source missing\ta\\u061cgnp.0/train_0\t")
