"""The train and val clips of a run, ready to be read."""

from typing import NamedTuple

import numpy as np

from lrcn.common.cache.feature_cache import FeatureCache
from lrcn.common.cache.run_dir import RunDir
from lrcn.common.clips.manifest import find_class_ids
from lrcn.common.programs.machine import find_memory_bytes
from train_head.batches.clip_reader import ClipReader
from train_head.batches.input_pipeline import ClassIds
from train_head.head.vgg16 import FrozenTop
from train_head.labels.frame_labels import read_run_labels
from train_head.run.config import TrainConfig


class Split(NamedTuple):
    """The clips of one split: their reader, and the class ids of them or of their frames."""

    reader: ClipReader
    class_ids: ClassIds


class TrainingSplits(NamedTuple):
    """The clips that a model learns from, and those, if any, that its best epoch is chosen on."""

    train: Split
    val: Split


def read_training_splits(
    run: RunDir, cache: FeatureCache, config: TrainConfig, *, top: FrozenTop | None = None
) -> TrainingSplits:
    """Makes the splits of a started run ready, with the top's features in place of the cached ones.

    Args:
        run: Whose splits, classes and labels.
        cache: Holds the clips.
        config: Labels.
        top: The layers above the cut; None reads what is cached.
    """
    run_clips, class_names = run.read_clips(), run.read_class_names()
    # For the train and the val clips each, so together at most a third of the memory.
    budget_bytes = find_memory_bytes() // 6
    labels = None
    if config.labels == "frame":
        read = [clip for clip in run_clips if clip.split in TrainingSplits._fields]
        labels = read_run_labels(run, cache, read).class_ids
    splits = {}
    for name in TrainingSplits._fields:
        clips = [clip for clip in run_clips if clip.split == name]
        clip_ids = [clip.clip_id for clip in clips]
        reader = ClipReader(cache, clip_ids, memory_bytes=budget_bytes, top=top)
        if labels is not None:
            class_ids = [labels[clip_id] for clip_id in clip_ids]
        else:
            class_ids = np.array(find_class_ids(clips, class_names), np.int32)
        splits[name] = Split(reader, class_ids)
    return TrainingSplits(**splits)
