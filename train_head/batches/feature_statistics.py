"""Measures the features of a training split, for their normalisation."""

import math
from collections.abc import Iterator

import numpy as np

from lrcn.common.pixels import sampling
from lrcn.common.programs.progress import Progress
from train_head.batches.clip_reader import ClipReader
from train_head.head.normalization import FeatureStatistics, scale_clip

# Or as many again where clips have few frames. More would not move a mean by what matters.
_MAX_FRAMES = 1 << 14
# What is in memory in several copies; features of more than 32,768 values take fewer frames.
_MAX_FRAMES_OF_CLIP = 1 << 10
_MAX_VALUES_OF_CLIP = 1 << 25


def measure_features(reader: ClipReader) -> FeatureStatistics:
    """Measures all views, as training sees, of the reader's clips, in two passes.

    Of more than `_MAX_FRAMES` frames some stand for all, evenly spaced in each clip: all of 82,000
    took 31 s, as long as an epoch, and hours of video have millions.
    """
    chosen = _choose_frames(reader)
    num_frames = sum(len(frames) for _, frames in chosen) * reader.num_views
    num_values = num_frames * int(np.prod(reader.feature_shape))
    size = sum(
        float(np.abs(maps).sum(dtype=np.float64))
        for maps in _iter_maps(reader, chosen, part="scale of the features")
    )
    # All features zero: any positive scale leaves them so.
    scale = size / num_values if size > 0 else 1.0
    total = np.zeros(reader.feature_shape, np.float64)
    square_total = 0.0
    for maps in _iter_maps(reader, chosen, part="mean of the features"):
        maps = np.arcsinh(maps / np.float32(scale))
        total += maps.sum(axis=0, dtype=np.float64)
        # float32's squares of frames that are all alike would seem to vary, by their rounding.
        flat = maps.ravel()
        square_total += float(np.einsum("i,i->", flat, flat, dtype=np.float64))
    mean = total / num_frames
    variance = square_total / num_values - float(np.square(mean).mean())
    # All frames alike: any positive variance maps them to zero.
    return FeatureStatistics(scale, mean.astype(np.float32), variance if variance > 1e-12 else 1.0)


def _choose_frames(reader: ClipReader) -> list[tuple[int, np.ndarray]]:
    """Chooses clips, by their numbers, and [n] frames of each: all, where they are few enough."""
    max_frames = max(1, _MAX_FRAMES // reader.num_views)
    num_clips = min(len(reader), max_frames)
    clips = sampling.sample_segment_centres(len(reader), num_clips)
    lengths = reader.num_frames[clips]
    # The same part of each, so that every frame still counts alike; at least one.
    part = min(1.0, max_frames / lengths.sum())
    most = min(_MAX_FRAMES_OF_CLIP, _MAX_VALUES_OF_CLIP // math.prod(reader.feature_shape))
    counts = np.clip((part * lengths).astype(int), 1, max(1, most))
    return [
        (clip, sampling.sample_segment_centres(length, count))
        for clip, length, count in zip(clips, lengths, counts, strict=True)
    ]


def _iter_maps(
    reader: ClipReader, chosen: list[tuple[int, np.ndarray]], *, part: str
) -> Iterator[np.ndarray]:
    with Progress(len(chosen), "train clip", part=part) as progress:
        for clip, frames in progress.track(chosen):
            for view in range(reader.num_views):
                yield scale_clip(reader.read(clip, frames, view=view).astype(np.float32))
