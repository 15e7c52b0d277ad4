"""Labelled frames that a sequence of fixed length never reads teach nothing."""

import numpy as np
import pytest
from refusals import refusal
from small_data import make_config

from lrcn.common.clips.clip import Clip
from train_head.labels.frame_labels import UNLABELLED, FrameLabels
from train_head.training.label_coverage import check_trainable

CLIPS = [Clip(name, name, "x", split) for name, split in (("t", "train"), ("v", "val"))]
# 32 frames: three of `first`, one without a label, then `then`.
CLASS_IDS = np.array([0] * 3 + [UNLABELLED] + [1] * 28)


def check(*, val=CLASS_IDS, clips=CLIPS, **settings):
    labels = FrameLabels(["first", "then"], {"t": CLASS_IDS, "v": val}, {})
    config = make_config(labels="frame", seq_len=4, **settings)
    check_trainable(labels, clips, config, where="labels.csv")


@pytest.mark.parametrize("settings", [{"sampling": "tail"}, {"jitter": False}])
def test_a_class_that_training_never_reads_is_refused(settings):
    with refusal(
        "labels.csv: expected labels of every class on the train frames that are read (--seq_len=4 "
        f"--sampling={settings.get('sampling', 'segments')}). Received none of 'first'. Read all "
        "frames (--sequence=ragged)"
    ):
        check(**settings)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"sampling": "tail", "min_span": 0.2},
        {"jitter": False, "drop_frames": 0.5},
        {"sampling": "tail", "sequence": "ragged"},
    ],
)
def test_what_chance_may_read_is_taken(settings, caplog):
    check(**settings)
    assert not caplog.records


def test_val_clips_that_cannot_choose_the_epoch_are_said(caplog):
    check(val=np.array([0] * 3 + [UNLABELLED] * 29))
    (message,) = caplog.messages
    assert message.startswith("No frame of the val clips that is read has a label, so they cannot")
    caplog.clear()
    check(clips=CLIPS[:1])
    assert not caplog.records, "of no val clips"
