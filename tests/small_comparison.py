"""A small comparison of heads, as its runs leave it."""

import dataclasses
import shutil
import zipfile

import numpy as np
from small_data import make_config, make_ramps, write_cache

from lrcn.common.cache.open_cache import read_cache
from lrcn.common.cache.run_dir import RunDir, write_json
from lrcn.common.clips.manifest import read_class_names, read_manifest
from train_head.run.training_data import TrainingData
from train_head.scores.prediction_file import Predictions, write_predictions
from train_head.studies.comparison import MODELS, compare_models

SEEDS = [5, 6]
CONFIG = make_config(epochs=1, seed=SEEDS[0], learning_rate=None)
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
    zipfile.ZipFile(run.model_path, "w").close()
    clips = [clip for clip in read_manifest(run.manifest_path) if clip.split == "test"]
    labels, names = [clip.label for clip in clips], read_class_names(cache.classes_path)
    is_true = np.array([[label == name for name in names] for label in labels])
    probabilities = np.where(np.arange(len(clips))[:, None] < num_right, is_true, ~is_true)
    predictions = Predictions([clip.clip_id for clip in clips], labels, names, probabilities)
    write_predictions(run.predictions_path("test"), predictions)
    sources = cache.digest_sources(predictions.clip_ids)
    scores = {"top1": num_right / len(clips), "provenance": {"sources": sources}}
    write_json(run.metrics_path("test"), scores)


def write_comparison(folder):
    """Writes a cache into a folder, and a comparison on it of which all runs have ended."""
    features = {}
    for split in ("train", "val", "test"):
        features |= make_ramps(4, split=split)
    cache = write_cache(folder / "cache", features)
    for model in MODELS:
        if not model.needs_positions:
            for seed in SEEDS:
                write_finished_run(
                    RunDir(folder / "compare" / model.name / f"seed_{seed}"),
                    dataclasses.replace(CONFIG, **model.settings, seed=seed),
                    cache,
                    num_right=NUM_RIGHT[model.name],
                )


def compare(folder, **settings):
    return compare_models(
        dataclasses.replace(CONFIG, **settings),
        TrainingData(read_cache(folder / "cache")),
        output_dir=folder / "compare",
        num_seeds=2,
        checkpoint_sec=60,
    )
