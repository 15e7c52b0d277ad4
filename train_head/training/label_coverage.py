"""Whether labels of frames allow training: of every class, on frames that are read."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from absl import logging

from lrcn.common.clips.clip import Clip
from lrcn.common.programs.wording import name_some
from train_head.batches.frame_choice import sample_frames
from train_head.labels.frame_labels import UNLABELLED, FrameLabels
from train_head.run.config import TrainConfig


def check_trainable(
    labels: FrameLabels, clips: Sequence[Clip], config: TrainConfig, *, where: Path | str
) -> None:
    """Checks that a head can be trained, chosen and scored with these labels.

    A warning says that no labelled frame of the val clips is read, so that they choose no epoch.

    Raises:
        ValueError: If there are fewer than two classes, a clip has no labelled frame, or a class
            has no frame of the train clips, or none that is read where chance does not choose them.
    """
    if len(labels.class_names) < 2:
        raise ValueError(
            f"{where}: expected labels of at least two classes. Received: {labels.class_names}. "
            "Label frames of another class."
        )
    without = [x.clip_id for x in clips if (labels.class_ids[x.clip_id] == UNLABELLED).all()]
    if without:
        raise ValueError(
            f"{where}: expected a labelled frame in every clip. Received none in {len(without):,} "
            f"of {len(clips):,}, such as {without[0]!r}. Label some, or name a manifest without "
            "them (--manifest, of cross_validate --manifests)."
        )
    train, val = ([x for x in clips if x.split == split] for split in ("train", "val"))
    missing = _find_missing(labels, train)
    if missing:
        raise ValueError(
            f"{where}: expected train frames of every class. Received none of "
            f"{name_some(missing)}. Label some, move clips to the train split, or take the class "
            "out."
        )
    missing = [] if _draws_frames(config) else _find_missing(labels, train, config)
    if missing:
        raise ValueError(
            f"{where}: expected labels of every class on the train frames that are read "
            f"(--seq_len={config.seq_len} --sampling={config.sampling}). Received none of "
            f"{name_some(missing)}. Read all frames (--sequence=ragged), or more or others "
            "(--seq_len, --sampling)."
        )
    if val and len(_find_missing(labels, val, config)) == len(labels.class_names):
        logging.warning(
            "No frame of the val clips that is read has a label, so they cannot choose the epoch. "
            "Read all frames (--sequence=ragged), or more or others (--seq_len, --sampling)"
        )


def _draws_frames(config: TrainConfig) -> bool:
    jitters = config.jitter and config.sampling == "segments"
    return jitters or config.min_span < 1 or config.drop_frames > 0


def _find_missing(
    labels: FrameLabels, clips: Sequence[Clip], config: TrainConfig | None = None
) -> list[str]:
    """Quotes the classes that no frame of the clips has, or none that these settings read."""
    seen = set()
    for clip in clips:
        class_ids = labels.class_ids[clip.clip_id]
        frames = None if config is None else sample_frames(len(class_ids), config, rng=None)
        seen.update(np.unique(class_ids if frames is None else class_ids[frames]).tolist())
    return [repr(name) for k, name in enumerate(labels.class_names) if k not in seen]
