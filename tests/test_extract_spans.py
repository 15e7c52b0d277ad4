"""Spans that end far beyond their video are told of."""

import pytest
from commands import SMALL_BACKBONE, run_program
from media import make_numbered_frames, write_video

from lrcn.common.clip import Clip
from lrcn.common.manifest import write_manifest


@pytest.mark.parametrize(
    ("selection", "num_short"),
    [(["--frame_stride=6"], 2), (["--max_frames=1"], 0)],
)
def test_an_end_far_beyond_that_of_the_video_is_told(tmp_path, selection, num_short):
    spans = {
        "walk/long": (None, 500.0),
        "walk/late": (0.2, 20.0),
        "walk/little": (1.0, 2.4),  # what rounding and a cut tail make
        "run/whole": (0.0, 2.0),
        "run/part": (0.5, 1.5),
        "run/open": (0.5, None),
    }
    clips = []
    for clip_id, (start_sec, end_sec) in spans.items():
        path, label = f"{clip_id}.mp4", clip_id.split("/")[0]
        write_video(tmp_path / path, make_numbered_frames(20), fps=10)
        clips.append(Clip(clip_id, path, label, "train", start_sec=start_sec, end_sec=end_sec))
    write_manifest(tmp_path / "clips.csv", clips)
    flags = (f"--data={tmp_path}/clips.csv", f"--cache_dir={tmp_path}/cache", *SMALL_BACKBONE)
    done = run_program("extract_features", *flags, "--num_decode_threads=1", *selection)
    assert "6 clips done" in done.stderr
    warned = [line for line in done.stderr.splitlines() if "as long as their spans" in line]
    assert len(warned) == (num_short > 0)
    if num_short:
        assert (
            f"Clips less than half as long as their spans: {num_short}, such as walk/long: its "
            "end_sec is 500, the last frame at 1."
        ) in warned[0]
