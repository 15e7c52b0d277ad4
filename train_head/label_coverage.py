"""Which labelled frames are read, where a sequence of fixed length leaves frames out."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from absl import logging

from lrcn.common.clip import Clip
from train_head.config import TrainConfig
from train_head.frame_choice import sample_frames
from train_head.frame_labels import UNLABELLED, FrameLabels


def check_read_labels(
    labels: FrameLabels, clips: Sequence[Clip], config: TrainConfig, *, where: Path | str
) -> None:
    """Checks that training reads frames of every class, as far as chance does not decide it.

    A warning says that no labelled frame of the val clips is read, so that they choose no epoch.

    Raises:
        ValueError: If the same frames are read in every epoch, and none of some class.
    """
    if not _draws_frames(config):
        seen = _find_read(labels, clips, config, split="train")
        missing = [name for k, name in enumerate(labels.class_names) if k not in seen]
        if missing:
            raise ValueError(
                f"{where}: expected labels of every class on the train frames that are read "
                f"(--seq_len={config.seq_len} --sampling={config.sampling}). Received none of "
                f"{missing}. Read all frames (--sequence=ragged), or more or others (--seq_len, "
                "--sampling)."
            )
    has_val = any(clip.split == "val" for clip in clips)
    if has_val and not _find_read(labels, clips, config, split="val"):
        logging.warning(
            "No frame of the val clips that is read has a label, so they cannot choose the epoch. "
            "Read all frames (--sequence=ragged), or more or others (--seq_len, --sampling)"
        )


def _draws_frames(config: TrainConfig) -> bool:
    jitters = config.jitter and config.sampling == "segments"
    return jitters or config.min_span < 1 or config.drop_frames > 0


def _find_read(
    labels: FrameLabels, clips: Sequence[Clip], config: TrainConfig, *, split: str
) -> set[int]:
    """Returns the classes of the frames that are read of a split's clips."""
    seen = set()
    for clip in clips:
        if clip.split == split:
            class_ids = labels.class_ids[clip.clip_id]
            frames = sample_frames(len(class_ids), config, rng=None)
            seen.update(np.unique(class_ids if frames is None else class_ids[frames]).tolist())
    return seen - {UNLABELLED}
