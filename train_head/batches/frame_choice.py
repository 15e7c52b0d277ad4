"""Which frames of a clip a model reads, and in which order."""

import functools
from typing import NamedTuple

import numpy as np

from lrcn.common.pixels import sampling
from train_head.run.config import TrainConfig


class ChosenFrames(NamedTuple):
    """What is read of a clip for one row of a batch.

    Attributes:
        clip_number: The clip's place among those of its reader.
        frames: [T] int64, None for all as they are.
        view: Which view of them.
    """

    clip_number: int
    frames: np.ndarray | None
    view: int = 0


def sample_frames(
    num_frames: int, config: TrainConfig, *, rng: np.random.Generator | None
) -> np.ndarray | None:
    """Chooses the frames of a clip and their order: [T] int64, or None for all as they are.

    With a generator, as training has, the settings' augmentation is drawn from it, and the order
    of shuffled frames. Without one, that order follows from the seed and the clip's length, which
    a new video has too.
    """
    augments = rng is not None
    frames = np.arange(num_frames)
    if augments and config.min_span < 1:
        frames = sampling.draw_span(num_frames, min_part=config.min_span, rng=rng)
    if augments and config.drop_frames > 0:
        frames = sampling.drop_frames(frames, probability=config.drop_frames, rng=rng)
    if config.sequence == "fixed":
        if augments and config.jitter and config.sampling == "segments":
            chosen = sampling.sample_segment_jitter(len(frames), config.seq_len, rng=rng)
        else:
            chosen = sampling.SAMPLERS[config.sampling](len(frames), config.seq_len)
        frames = frames[chosen]
    elif config.frame_order == "forward" and len(frames) == num_frames:
        return None
    if config.frame_order == "reversed":
        return frames[::-1]
    if config.frame_order == "shuffled":
        rng = np.random.default_rng([config.seed, num_frames]) if rng is None else rng
        return rng.permutation(frames)
    return frames


def sample_windows(
    num_frames: int, config: TrainConfig, *, num_windows: int
) -> list[np.ndarray | None]:
    """Chooses the frames of a clip's windows as evaluation takes them, see `sample_frames`."""
    return [
        sample_window(num_frames, config, num_windows=num_windows, window=window)
        for window in range(num_windows)
    ]


def sample_window(
    num_frames: int, config: TrainConfig, *, num_windows: int, window: int
) -> np.ndarray | None:
    """Chooses the frames of one window of `sample_windows`, by its number from 0."""
    if num_windows == 1:
        return sample_frames(num_frames, config, rng=None)
    starts, window_len = _place_windows(num_frames, num_windows)
    frames = sample_frames(window_len, config, rng=None)
    if frames is None:
        frames = np.arange(window_len)
    return starts[window] + frames


# Clips are read one after the other, each window by itself.
_place_windows = functools.lru_cache(maxsize=4)(sampling.place_windows)


def check_windows(config: TrainConfig, num_windows: int) -> None:
    """Checks that the head can read a clip in so many windows.

    Raises:
        ValueError: If there are none, or several and it labels every frame.
    """
    if num_windows < 1:
        raise ValueError(f"Expected at least one window. Received: {num_windows}. Raise it.")
    if config.labels == "frame" and num_windows != 1:
        raise ValueError(
            f"Expected --windows=1 for a run with --labels=frame: windows are averaged to one "
            f"answer for the clip. Received: --windows={num_windows}. Leave it out."
        )
