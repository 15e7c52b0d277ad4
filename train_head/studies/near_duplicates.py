"""Near duplicates across splits: clips so alike that a test clip is no test.

A clip is scaled as a whole, as the head does (`layers.ScaleClip`), for which a clip of other
contrast is the same. A frame's vector is the signed square root of its features, so that the few
large ones do not decide alone (power normalisation, Perronnin et al. 2010, "Improving the Fisher
Kernel"), and a clip's is the mean of its frames'. The mean over all clips is taken off before the
cosine: features behind a ReLU have a large part in common, and unrelated clips then lie around 0.
"""

import functools
import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from absl import logging
from sklearn.random_projection import SparseRandomProjection

from lrcn.common.cache.feature_cache import FeatureCache
from lrcn.common.clips.clip import SPLITS, Clip
from lrcn.common.pixels.sampling import sample_segment_centres
from lrcn.common.programs.progress import Progress
from lrcn.common.programs.wording import name_count
from train_head.run.provenance import describe_data
from train_head.run.run_clips import check_cached, read_run_clips
from train_head.run.training_data import TrainingData

# On VGG16's fc1 of UCF101, a fifth of the pairs of neighbouring takes reach it, 8 in 10,000 pairs
# of two groups of one class, and no two clips of different classes.
NEAR_DUPLICATE = 0.95
# Rounding takes at most so much off 1. From there on, what is compared counts as the same.
_ROUNDING = 1e-5
SAME_FRAMES = 1 - _ROUNDING
_NUM_PAIRS = 50
# Evenly spaced frames that stand for a clip, in the search and in the pairs that are reported.
_SEARCHED_FRAMES = 8
_COMPARED_FRAMES = 64
_MAX_DIMS = 2048
# Not all of the mean: of clips that are all alike, nothing would be left.
_CENTRING = 0.999
_CLIPS_AT_ONCE = 1024


def find_near_duplicates(
    cache: FeatureCache, *, threshold: float = NEAR_DUPLICATE, manifest_path: Path | None = None
) -> dict:
    """Finds the pairs of clips in different splits that are most alike, in their first view.

    The search takes 8 frames of each clip, evenly spaced, and brings vectors of more than 2,048
    features to as many by a random projection (Li et al. 2006, "Very Sparse Random Projections"),
    which estimates a cosine c with a deviation of (1 - c^2) / 45, 0.002 at 0.95. The pairs that it
    finds are then compared without it, and on 64 frames of each.

    Args:
        cache: A cache that holds all of its clips.
        threshold: Similarity from which a pair counts as near duplicate, in [-1, 1].
        manifest_path: The clips and their splits, as `TrainingData` has them.

    Returns:
        What `audit.json` holds: `num_clips`, `threshold`, `num_pairs` (how many count), `pairs`
        (the closest 50, whether or not they count) and `data` (what was searched, see
        `describe_data`).

        A pair is {clip_a, split_a, label_a, clip_b, split_b, label_b, similarity, frame_similarity,
        frame_a, frame_b}. Both similarities are cosines. The last three fields are of the two
        frames that are closest, each scaled by itself and numbered as in `frame_index`.

        A pair counts if its similarity reaches the threshold. A listed pair with a frame in common
        counts at any similarity, since one clip may be a part of the other. Pairs beyond the listed
        ones count by the estimate. Pairs that count are listed first, then the closest.

    Raises:
        FileNotFoundError: If clips are missing from the cache.
        ValueError: If all clips are in one split, or a clip's file is damaged or of another span.
    """
    data = TrainingData(cache, manifest_path)
    clips = read_run_clips(data)
    splits = np.array([clip.split for clip in clips])
    if len(set(splits)) < 2:
        raise ValueError(
            f"{data.manifest_path}: expected clips in at least two splits, since duplicates are "
            f"looked for across them. Received: {clips[0].split!r} for all {len(clips)}. Give some "
            "another split, in a --manifest or at extraction."
        )
    check_cached(clips, cache, listed_in=cache.manifest_path)
    start_sec = time.monotonic()
    vectors, mean = _read_vectors(cache, clips)
    read_sec = time.monotonic()
    closest, num_reaching = find_closest(
        vectors, splits, num_pairs=_NUM_PAIRS, threshold=threshold - _ROUNDING
    )
    compared_sec = time.monotonic()
    pairs = [_compare(cache, clips[a], clips[b], mean) for a, b in closest]
    logging.info(
        "%s read in %.1f s and compared in %.1f s; the frames of %s in %.1f s",
        name_count(len(clips), "clip"),
        read_sec - start_sec,
        compared_sec - read_sec,
        name_count(len(pairs), "pair"),
        time.monotonic() - compared_sec,
    )
    counts = [_counts(pair, threshold) for pair in pairs]
    # A stable sort: equals stay in the order of the manifest.
    order = sorted(range(len(pairs)), key=lambda i: (not counts[i], -pairs[i]["similarity"]))
    return {
        "num_clips": len(clips),
        "threshold": threshold,
        "num_pairs": sum(counts) + max(0, num_reaching - len(pairs)),
        "pairs": [pairs[i] for i in order],
        "data": describe_data(cache, clips),
    }


def find_closest(
    vectors: np.ndarray, splits: np.ndarray, *, num_pairs: int, threshold: float
) -> tuple[list[tuple[int, int]], int]:
    """Finds the pairs of different splits with the largest cosine.

    Args:
        vectors: [N, D] float32 of length 1.
        splits: [N] names of `SPLITS`.
        num_pairs: How many pairs to return at most.
        threshold: A cosine.

    Returns:
        Pairs of positions, each in the order of their splits, in the order of position; and how
        many pairs of all reach the threshold.
    """
    best, best_cosines = np.empty((0, 2), np.int64), np.empty(0, np.float32)
    num_reaching = 0
    for rows, columns in _iter_blocks(splits):
        cosines = vectors[rows] @ vectors[columns].T
        num_reaching += int((cosines >= threshold).sum())
        kept = np.argpartition(-cosines, min(num_pairs, cosines.size) - 1, axis=None)[:num_pairs]
        found = np.stack([rows[kept // len(columns)], columns[kept % len(columns)]], axis=1)
        best = np.concatenate([best, found])
        best_cosines = np.concatenate([best_cosines, cosines.ravel()[kept]])
        order = np.lexsort((best[:, 1], best[:, 0], -best_cosines))[:num_pairs]
        best, best_cosines = best[order], best_cosines[order]
    return sorted(map(tuple, best.tolist())), num_reaching


def _iter_blocks(splits: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields the positions of two sets of clips, until each two of different splits have met."""
    for first, second in itertools.combinations(SPLITS, 2):
        rows, columns = np.flatnonzero(splits == first), np.flatnonzero(splits == second)
        for start in range(0, len(rows) if len(columns) else 0, _CLIPS_AT_ONCE):
            yield rows[start : start + _CLIPS_AT_ONCE], columns


def _read_vectors(cache: FeatureCache, clips: list[Clip]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the clips' vectors [N, at most 2,048], and what was taken off them, [D]."""
    num_features = int(np.prod(cache.contract.feature_shape))
    projection = None
    if num_features > _MAX_DIMS:
        projection = SparseRandomProjection(_MAX_DIMS, random_state=0)
        projection = projection.fit(np.zeros((1, num_features), np.float32)).components_
        projection = projection.astype(np.float32)
    vectors = np.empty((len(clips), min(num_features, _MAX_DIMS)), np.float32)
    total = np.zeros(num_features, np.float64)
    with Progress(len(clips), "clip", part="reading") as progress:
        for row, clip in progress.track(zip(vectors, clips, strict=True)):
            chosen = _choose_frames(cache, clip, _SEARCHED_FRAMES)
            roots, lengths = _embed(cache.read_maps(clip.clip_id, frames=chosen))
            vector = _scale(roots.mean(axis=0), lengths.mean())
            total += vector
            row[:] = vector if projection is None else projection @ vector
    vectors -= np.float32(_CENTRING) * vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    return _normalise(vectors), (_CENTRING * total / len(clips)).astype(np.float32)


def _compare(cache: FeatureCache, clip_a: Clip, clip_b: Clip, mean: np.ndarray) -> dict:
    """Compares two clips, and each frame of the one with each of the other."""
    vectors, frames, frame_index = [], [], []
    for clip in (clip_a, clip_b):
        chosen = _choose_frames(cache, clip, _COMPARED_FRAMES)
        features = cache.read_clip(clip.clip_id, frames=chosen)
        roots, lengths = _embed(features.feature_maps)
        vector = _scale(roots.mean(axis=0, keepdims=True), lengths.mean()) - mean
        vectors.append(_normalise(vector))
        # Each by itself, so that a frame is the same beside others, too; empty ones are like none.
        scaled = _scale(roots, lengths[:, None]) - mean * (lengths[:, None] > 0)
        frames.append(_normalise(scaled))
        frame_index.append(features.frame_index)
    cosines = frames[0] @ frames[1].T
    a, b = np.unravel_index(int(cosines.argmax()), cosines.shape)
    return {
        **{f"{name}_a": value for name, value in _describe(clip_a).items()},
        **{f"{name}_b": value for name, value in _describe(clip_b).items()},
        "similarity": _round(vectors[0] @ vectors[1].T),
        "frame_similarity": _round(cosines[a, b]),
        "frame_a": int(frame_index[0][a]),
        "frame_b": int(frame_index[1][b]),
    }


def _counts(pair: dict, threshold: float) -> bool:
    # With a threshold of 1 it is all that are said to have the same frames.
    reaches = pair["similarity"] >= min(threshold, SAME_FRAMES)
    return reaches or pair["frame_similarity"] >= SAME_FRAMES


def _describe(clip: Clip) -> dict[str, str]:
    return {"clip": clip.clip_id, "split": clip.split, "label": clip.label}


def _round(cosine: np.ndarray) -> float:
    # To what is the same on every machine.
    return min(1.0, round(cosine.item(), 6))


def _choose_frames(cache: FeatureCache, clip: Clip, max_frames: int) -> np.ndarray:
    num_frames = cache.count_frames(clip.clip_id)
    return sample_segment_centres(num_frames, min(num_frames, max_frames))


def _embed(maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turns features [T, ...] float16 into roots [T, D] and the lengths [T], both float32."""
    roots = _make_root_table()[maps.reshape(len(maps), -1).view(np.uint16)]
    return roots, np.linalg.norm(np.square(roots), axis=1)


def _scale(roots: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Returns the roots of what is divided by this length; of length 0, zeros that stay."""
    return roots / np.sqrt(np.maximum(length, np.finfo(np.float32).tiny))


@functools.cache
def _make_root_table() -> np.ndarray:
    """The signed square root of every float16, by its bits: 3.5 times as fast as computing it."""
    values = np.arange(2**16, dtype=np.uint16).view(np.float16).astype(np.float32)
    with np.errstate(invalid="ignore"):  # NaN is among them
        return np.copysign(np.sqrt(np.abs(values)), values)


def _normalise(vectors: np.ndarray) -> np.ndarray:
    """Scales rows to length 1; rows of zeros stay."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(lengths, np.finfo(np.float32).tiny)
