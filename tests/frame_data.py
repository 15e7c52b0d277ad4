"""Makes small data in which every frame has a label that it does not tell by itself."""

from pathlib import Path

import numpy as np
from small_data import write_cache
from small_labels import write_csv

from lrcn.common.cache.feature_cache import FeatureCache
from lrcn.common.clips.clip import Clip
from train_head.labels.frame_labels import UNLABELLED

FPS = 10
NAMES = ["down", "up"]


def make_walks(num_clips: int, *, split: str) -> dict[Clip, tuple[np.ndarray, np.ndarray]]:
    """Makes clips of something that goes up and down, from anywhere, and turns around now and then.

    Returns:
        {clip: (features [T, 4] float32, class ids [T])}; the label of a frame is where the step to
        it led, so that the first frame has none, and neither have some in the middle.
    """
    walks = {}
    for i in range(num_clips):
        random = np.random.RandomState([len(split), i])
        num_frames = random.randint(8, 15)
        turns = np.cumsum(random.uniform(size=num_frames) < 0.25) + i
        class_ids = turns % 2
        position = random.uniform(-2, 2) + np.cumsum(class_ids * 2 - 1)
        maps = position[:, None] * [1, 1, 0, 0] + random.normal(scale=0.1, size=(num_frames, 4))
        # All vectors are about as long, so that scaling a clip hides nothing.
        maps[:, 2:] += 10
        class_ids = np.where(random.uniform(size=num_frames) < 0.1, UNLABELLED, class_ids)
        class_ids[0] = UNLABELLED
        walks[Clip(f"{split}/{i}", f"{split}/{i}", "walk", split)] = (
            maps.astype(np.float32),
            class_ids,
        )
    return walks


def write_walks(folder: Path) -> tuple[FeatureCache, Path]:
    """Writes a cache of walks of all splits, and their labels as intervals in seconds."""
    walks = {
        **make_walks(48, split="train"),
        **make_walks(8, split="val"),
        **make_walks(9, split="test"),
    }
    cache = write_cache(
        folder / "cache", {clip: maps for clip, (maps, _) in walks.items()}, fps=FPS
    )
    lines = []
    for clip, (_, class_ids) in walks.items():
        for t, class_id in enumerate(class_ids):
            if class_id != UNLABELLED:
                lines.append(f"{clip.clip_id},{t / FPS},{(t + 1) / FPS},{NAMES[class_id]}")
    return cache, write_csv(folder, *lines)
