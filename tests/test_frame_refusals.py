"""What labels of frames do not go with is refused by name."""

import pytest
from commands import run_program
from small_data import make_config

from train_head.config import FineTuneConfig, TrainConfig
from train_head.frame_choice import check_windows


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"output": "mean"}, r"no --output with --labels=frame.* Received: --output=mean\. Leave"),
        ({"balanced_sampling": True}, r"no --balanced_sampling with --labels=frame"),
    ],
)
def test_settings_without_meaning_for_frames_are_refused(settings, message):
    for kind in (TrainConfig, FineTuneConfig):
        with pytest.raises(ValueError, match=message):
            kind(labels="frame", **settings)
        assert kind(**settings).labels == "clip"


def test_a_clip_is_read_in_one_window_at_least():
    check_windows(make_config(), 3)
    for labels in ("clip", "frame"):
        with pytest.raises(ValueError, match=r"Expected at least one window\. Received: 0\."):
            check_windows(make_config(labels=labels), 0)


@pytest.mark.parametrize(
    ("program", "flags", "message"),
    [
        ("compare", ["--labels=frame"], "Expected --labels=clip, since this program is about the"),
        ("label_noise", ["--labels=frame"], "Expected --labels=clip, since this program is about"),
        (
            "compare",
            ["--frame_labels=x.csv"],
            "Expected --labels=frame with --frame_labels. Received: --labels=clip, --frame_labels=",
        ),
    ],
)
def test_programs_about_clips_refuse_labels_of_frames(program, flags, message, tmp_path):
    done = run_program(
        f"train_head.{program}",
        f"--cache_dir={tmp_path}",
        f"--output_dir={tmp_path / 'out'}",
        *flags,
        check=False,
    )
    assert done.returncode == 1
    assert f"error: {message}" in done.stderr
