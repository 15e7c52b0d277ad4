"""Makes small caches and heads in no time, with the project's own writers and builders."""

import contextlib
import dataclasses
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from lrcn.common.cache.contract import Contract
from lrcn.common.cache.feature_cache import FeatureCache
from lrcn.common.cache.open_cache import create_cache, read_cache
from lrcn.common.cache.run_dir import RunDir
from lrcn.common.clips.clip import Clip, SourceStat
from lrcn.common.clips.manifest import (
    find_class_names,
    read_manifest,
    write_class_names,
    write_manifest,
)
from train_head.run.config import FineTuneConfig, TrainConfig
from train_head.run.training_data import TrainingData

SMALL_CONFIG = TrainConfig(
    fc_units=16, rnn_units=8, seq_len=4, epochs=3, batch_size=4, learning_rate=1e-2
)

# What learns to tell `make_ramps`' classes apart.
SCORED_SETTINGS = {"rnn": "gru", "epochs": 4, "dropout": 0.0, "input_dropout": 0.0}


def make_config(**settings) -> TrainConfig:
    """Returns `SMALL_CONFIG` with other settings."""
    return dataclasses.replace(SMALL_CONFIG, **settings)


def write_cache(
    folder: Path,
    features: Mapping[Clip, np.ndarray],
    *,
    views: str = "one",
    fps: float | None = None,
    frame_stride: int = 1,
    start_sec: float = 0.0,
) -> FeatureCache:
    """Writes a whole cache of the clips' features, [T, ...] or, of several views, [T, V, ...].

    Frames have times where `fps` says how many come in a second, the first `start_sec`, and numbers
    `frame_stride` apart.
    """
    shape = next(iter(features.values())).shape
    contract = Contract(
        backbone="imported",
        cut="",
        weights_sha256="",
        preprocessing="",
        resize="",
        image_size_px=0,
        frame_selection="all",
        views=views,
        compute_dtype="",
        storage_dtype="float16",
        feature_shape=shape[1:] if views == "one" else shape[2:],
        weights="somewhere.h5",
    )
    cache = create_cache(folder, contract=contract, data_root=folder)
    for clip, maps in features.items():
        writer = cache.open_writer(clip.clip_id)
        frame_index = np.arange(len(maps)) * frame_stride
        writer.append(
            maps.astype(np.float16),
            frame_index=frame_index.tolist(),
            timestamp_sec=(start_sec + frame_index / (fps or float("nan"))).tolist(),
        )
        writer.commit(SourceStat(0, 0))
    write_class_names(cache.classes_path, find_class_names(features))
    write_manifest(cache.manifest_path, list(features))
    return cache


def make_ramps(num_clips: int, *, split: str, seed: int = 0) -> dict[Clip, np.ndarray]:
    """Makes the features of clips that are told apart by their order alone.

    Each clip rises along a direction of its own and noise; its twin of the other class is the
    same clip played in reverse. All have an odd number of frames, so that the centres of equal
    segments are the same frames for both.

    Returns:
        `num_clips` clips of `rise` and as many of `fall`, features [T, 6] float32.
    """
    features = {}
    for i in range(num_clips):
        random = np.random.RandomState([seed, len(split), i])
        num_frames = random.choice([5, 7, 9, 11])
        course = np.linspace(-1, 1, num_frames)[:, None] * [1, 1, 1, 0, 0, 0]
        maps = course + random.normal(scale=0.3, size=(num_frames, 6))
        for label, in_order in (("rise", maps), ("fall", maps[::-1])):
            name = f"{label}/{split}_{i}"
            features[Clip(name, name, label, split)] = in_order.astype(np.float32)
    return features


def read_cache_bytes(cache_dir: Path) -> dict[str, bytes]:
    """Returns {path: content} of a cache's files, but for the lock."""
    return {
        path.relative_to(cache_dir).as_posix(): path.read_bytes()
        for path in sorted(cache_dir.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


@contextlib.contextmanager
def interrupt_after_epoch_2(monkeypatch) -> Iterator[None]:
    """Has Ctrl-C stop the training in the block, once two epochs are done."""
    from train_head.head.layers import keras

    class Interrupt(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        # In the place of Keras' callback, to be called where Ctrl-C may come.
        patch.setattr(keras.callbacks, "TensorBoard", lambda *_, **__: Interrupt())
        yield


def train(
    cache,
    folder,
    *,
    checkpoint_sec=60.0,
    manifest_path=None,
    frame_labels_path=None,
    rnn="none",
    **settings,
):
    """Trains in this process, without an RNN in half the time; returns the run."""
    from train_head.training.train import train_run

    run, data = RunDir(folder), TrainingData(cache, manifest_path, frame_labels_path)
    train_run(make_config(rnn=rnn, **settings), data, run=run, checkpoint_sec=checkpoint_sec)
    return run


def fine_tune(
    cache, folder, *, checkpoint_sec=60.0, frame_labels_path=None, rnn="none", **settings
):
    """Fine-tunes in this process, as `train` does."""
    from train_head.training.fine_tuning import fine_tune_run

    run, data = RunDir(folder), TrainingData(cache, frame_labels_path=frame_labels_path)
    config = FineTuneConfig(**{**vars(SMALL_CONFIG), "rnn": rnn, **settings})
    fine_tune_run(config, data, run=run, checkpoint_sec=checkpoint_sec)
    return run


def change_manifest(cache, change):
    """Replaces each clip in the manifest by `change(clip)`, or removes it where that is None."""
    clips = [change(clip) for clip in read_manifest(cache.manifest_path)]
    write_manifest(cache.manifest_path, [clip for clip in clips if clip is not None])


def copy_cache(cache, folder):
    """Returns a copy that may be changed."""
    shutil.copytree(cache.cache_dir, folder)
    return read_cache(folder)


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


def assert_equal_training(found: RunDir, wanted: RunDir):
    """Both went the same way and have the same weights."""
    from train_head.head.run_model import load_model

    assert found.history_path.read_bytes() == wanted.history_path.read_bytes()
    weights = [load_model(run).get_weights() for run in (found, wanted)]
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)


def write_csv(folder, text, *, encoding="utf-8"):
    path = folder / "manifest.csv"
    path.write_bytes(text.encode(encoding))
    return path
