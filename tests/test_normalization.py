"""Tests what brings features to one size: the statistics, and the head that uses them."""

import numpy as np
import pytest
from small_data import make_config, write_cache
from small_heads import make_head, make_maps, run_head

from lrcn.common.clips.clip import Clip
from train_head.batches import feature_statistics
from train_head.batches.clip_reader import ClipReader
from train_head.batches.feature_statistics import measure_features
from train_head.head.model import build_head
from train_head.head.normalization import FeatureStatistics, scale_clip


def make_reader(folder, clips, kind=ClipReader):
    """Makes a reader of clips [T, ...] of one class."""
    named = {Clip(f"clip_{i}", "path", "a", "train"): maps for i, maps in enumerate(clips)}
    cache = write_cache(folder, named)
    return kind(cache, [clip.clip_id for clip in named], memory_bytes=0)


@pytest.mark.parametrize("feature_shape", [(5,), (2, 3, 4)])
def test_every_frame_counts_alike(feature_shape, tmp_path):
    random = np.random.RandomState(0)
    clips = [
        random.normal(loc=3, scale=20, size=(length, *feature_shape)).astype(np.float16)
        for length in (1, 7, 4)
    ]
    frames = np.concatenate([scale_clip(clip.astype(np.float32)) for clip in clips])
    frames = frames.astype(np.float64)
    scale = np.abs(frames).mean()
    frames = np.arcsinh(frames / scale)
    statistics = measure_features(make_reader(tmp_path / "cache", clips))
    assert statistics.scale == pytest.approx(scale, rel=1e-5)
    assert statistics.mean.dtype == np.float32
    assert statistics.mean.shape == feature_shape
    np.testing.assert_allclose(statistics.mean, frames.mean(axis=0), rtol=1e-4, atol=1e-6)
    variance = np.square(frames - frames.mean(axis=0)).mean()
    assert statistics.variance == pytest.approx(variance, rel=1e-4)


class CountingReader(ClipReader):
    """Counts the frames of which it reads features."""

    num_read = 0

    def read(self, clip_number, frames=None, **arguments):
        maps = super().read(clip_number, frames, **arguments)
        self.num_read += len(maps)
        return maps


# Few long clips, one beside short ones, many short ones, and more clips than are looked at.
@pytest.mark.parametrize("lengths", [[400, 400], [900, 3, 1], [9] * 60, [1] * 400])
def test_of_many_frames_some_stand_for_all(lengths, tmp_path, monkeypatch):
    monkeypatch.setattr(feature_statistics, "_MAX_FRAMES", 256)
    monkeypatch.setattr(feature_statistics, "_MAX_FRAMES_OF_CLIP", 200)
    random = np.random.RandomState(0)
    levels = 5 + random.normal(size=(len(lengths), 1, 3))  # what the frames of a clip share
    clips = [
        (level + random.normal(scale=0.3, size=(length, 3))).astype(np.float16)
        for level, length in zip(levels, lengths, strict=True)
    ]
    reader = make_reader(tmp_path / "cache", clips, CountingReader)
    statistics = measure_features(reader)
    assert 2 * 60 <= reader.num_read <= 2 * 2 * 256  # in two passes
    frames = np.concatenate([scale_clip(clip.astype(np.float32)) for clip in clips])
    scale = np.abs(frames).mean(dtype=np.float64)
    frames = np.arcsinh(frames / scale)
    assert statistics.scale == pytest.approx(scale, rel=0.02)
    np.testing.assert_allclose(statistics.mean, frames.mean(axis=0, dtype=np.float64), rtol=0.02)
    assert statistics.variance == pytest.approx(frames.var(axis=0).mean(), rel=0.1)


def test_of_wide_features_a_clip_gives_fewer_frames(tmp_path, monkeypatch):
    monkeypatch.setattr(feature_statistics, "_MAX_VALUES_OF_CLIP", 20 * 3)
    reader = make_reader(tmp_path / "cache", [np.ones((50, 3), np.float16)], CountingReader)
    measure_features(reader)
    assert reader.num_read == 2 * 20


# Of the last two shapes rounding leaves a variance: of squares in float32, and in float64.
@pytest.mark.parametrize(("value", "shape"), [(0, (4, 3)), (2, (4, 5)), (60000, (5, 11))])
def test_features_that_are_all_alike_are_normalised_to_zero(value, shape, tmp_path):
    maps = np.full(shape, value, np.float16)
    statistics = measure_features(make_reader(tmp_path / "cache", [maps]))
    assert statistics.scale > 0
    assert statistics.variance == 1, "what differs in a new video is not blown up"
    scaled = scale_clip(maps.astype(np.float32))
    deviation = np.arcsinh(scaled / statistics.scale) - statistics.mean
    assert np.abs(deviation / np.sqrt(statistics.variance)).max() < 0.01


def test_features_are_normalised_by_the_statistics():
    random = np.random.RandomState(3)
    mean = random.normal(size=6).astype(np.float32)
    statistics = FeatureStatistics(scale=0.5, mean=mean, variance=0.25)
    config = make_config(fc_units=4, rnn="none")
    head = build_head(config, feature_shape=(6,), num_classes=2, statistics=statistics)
    encoder = head.get_layer("per_frame").model
    kernel, bias = encoder.get_layer("fc").get_weights()
    maps = make_maps(1, 5, feature_shape=(6,))[0].astype(np.float32)
    normalized = (np.arcsinh(maps / 0.5) - mean) / 0.5
    expected = np.maximum(normalized @ kernel + bias, 0)  # ReLU
    np.testing.assert_allclose(encoder(maps), expected, rtol=1e-4, atol=1e-5)
    assert (expected == 0).any() and (expected > 0).any()


def test_how_strong_a_clip_is_all_together_does_not_change_its_logits():
    maps = make_maps(2, 4)
    head = make_head()
    logits = run_head(head, maps)
    np.testing.assert_allclose(run_head(head, 4 * maps), logits, rtol=1e-4, atol=1e-5)
    brighter_end = np.concatenate([maps[:, :2], 4 * maps[:, 2:]], axis=1)
    assert np.abs(run_head(head, brighter_end) - logits).max() > 1e-3
    assert np.isfinite(run_head(head, 0 * maps)).all()
