"""Which frames of a clip make a sequence: arithmetic on indices, apart from reading them.

The samplers take the clip's number of frames n and the sequence length T and return [T] int64
indices in time order. A clip shorter than T repeats frames in order. `place_windows` divides a
long clip into spans that are sampled each by itself; `draw_span` and `drop_frames` choose, for
training, the frames that a sampler may see.
"""

import math

import numpy as np


def sample_segment_centres(num_frames: int, seq_len: int) -> np.ndarray:
    """The frame at the middle of each of T equal segments: as evenly spaced as the clip allows.

    Args:
        num_frames: Frames in the clip, at least 1.
        seq_len: Frames wanted, at least 1.

    Returns:
        [T] int64, non-decreasing, in [0, num_frames).

    Raises:
        ValueError: If either number is below 1.
    """
    _check_counts(num_frames, seq_len)
    return (2 * np.arange(seq_len) + 1) * num_frames // (2 * seq_len)


def sample_segment_jitter(num_frames: int, seq_len: int, *, rng: np.random.Generator) -> np.ndarray:
    """A random frame of each of T equal segments, for training.

    Segments are real intervals of n / T frames, so a clip shorter than T still gives frames
    in order. Arguments, result and errors as `sample_segment_centres`.
    """
    _check_counts(num_frames, seq_len)
    positions = (np.arange(seq_len) + rng.random(seq_len)) * num_frames / seq_len
    # Rounding can lift the last position to n itself.
    return np.minimum(positions.astype(np.int64), num_frames - 1)


def sample_tail(num_frames: int, seq_len: int) -> np.ndarray:
    """The seed article's rule: from the last frame back by round(n / T), clamped at the first.

    Arguments, result and errors as `sample_segment_centres`.
    """
    _check_counts(num_frames, seq_len)
    step = max(1, round(num_frames / seq_len))
    steps_back = np.arange(seq_len - 1, -1, -1) * step
    return np.maximum(num_frames - 1 - steps_back, 0)


def place_windows(num_frames: int, num_windows: int) -> tuple[np.ndarray, int]:
    """Places equally long spans, evenly spaced, that together cover the clip.

    A span has ceil(n / N) frames, so neighbours share at most a few; a clip of fewer frames than
    N has a span for each frame, some of them repeated.

    Args:
        num_frames: Frames in the clip, at least 1.
        num_windows: Spans wanted, N, at least 1.

    Returns:
        The spans' first frames, [N] int64 from 0, non-decreasing, and their length; the last span
        ends with the clip.

    Raises:
        ValueError: If either number is below 1.
    """
    if num_frames < 1 or num_windows < 1:
        raise ValueError(
            "Expected at least one frame and at least one window. "
            f"Received: num_frames={num_frames}, num_windows={num_windows}."
        )
    window_len = -(-num_frames // num_windows)
    if num_windows == 1:
        return np.zeros(1, np.int64), window_len
    # i * (n - length) / (N - 1), rounded half up.
    gaps = num_windows - 1
    starts = (2 * np.arange(num_windows) * (num_frames - window_len) + gaps) // (2 * gaps)
    return starts, window_len


def draw_span(num_frames: int, *, min_part: float, rng: np.random.Generator) -> np.ndarray:
    """A random unbroken span of a clip, for training.

    All lengths that are allowed are as likely as each other, and so are all places of a length.

    Args:
        num_frames: Frames n in the clip, at least 1.
        min_part: Least part of the clip that the span has, in [0, 1]; one frame at least.
        rng: Draws length and place.

    Returns:
        [L] int64, consecutive, in [0, n), with L from ceil(min_part * n) to n.

    Raises:
        ValueError: If there is no frame.
    """
    _check_counts(num_frames, 1)
    # A float may be a little above a whole number: 100 * 0.55 is 55.00000000000001.
    shortest = max(1, math.ceil(min_part * num_frames - 1e-9))
    length = int(rng.integers(shortest, num_frames, endpoint=True))
    start = int(rng.integers(0, num_frames - length, endpoint=True))
    return np.arange(start, start + length)


def drop_frames(frames: np.ndarray, *, probability: float, rng: np.random.Generator) -> np.ndarray:
    """Leaves each frame out with a probability, for training; one of them stays at least.

    Args:
        frames: [L] int64, at least one.
        probability: That a frame is left out, in [0, 1].
        rng: Draws which.

    Returns:
        What stays of `frames`, in their order.
    """
    kept = frames[rng.random(len(frames)) >= probability]
    return kept if len(kept) else rng.choice(frames, size=1)


def find_nearest(chosen: np.ndarray, num_frames: int) -> np.ndarray:
    """Finds for each frame of a clip which of the chosen frames is nearest.

    Args:
        chosen: [N] int64 in [0, num_frames), in any order, repeats allowed, at least one.
        num_frames: Frames n in the clip.

    Returns:
        [n] int64, places in `chosen`: of two that are as near the earlier frame, of repeats the
        first.
    """
    values, places = np.unique(chosen, return_index=True)
    frames = np.arange(num_frames)
    after = np.minimum(np.searchsorted(values, frames), len(values) - 1)
    before = np.maximum(after - 1, 0)
    is_before = np.abs(frames - values[before]) <= np.abs(frames - values[after])
    return places[np.where(is_before, before, after)]


SAMPLERS = {"segments": sample_segment_centres, "tail": sample_tail}


def _check_counts(num_frames: int, seq_len: int) -> None:
    if num_frames < 1 or seq_len < 1:
        raise ValueError(
            "Expected at least one frame and a sequence length of at least 1. "
            f"Received: num_frames={num_frames}, seq_len={seq_len}."
        )
