"""Spans that end far beyond their video are told of."""

import dataclasses

import pytest
from media import make_numbered_frames, write_video
from small_extraction import SMALL_PIPELINE, SMALL_SETTINGS, extract

from extract_features.summary import report_summary
from lrcn.common.clips.clip import Clip
from lrcn.common.clips.manifest import write_manifest
from lrcn.common.pixels.frame_selection import FrameSelection


# The last batch of one frame has an end of a clip alone. A process hands over many frames at once.
@pytest.mark.parametrize(
    ("selection", "batch_size", "in_processes", "num_short"),
    [
        (FrameSelection(frame_stride=6), 16, False, 3),
        (FrameSelection(frame_stride=6), 16, True, 3),
        (FrameSelection(max_frames=1), 1, False, 0),
    ],
)
def test_an_end_far_beyond_that_of_the_video_is_told(
    tmp_path, caplog, selection, batch_size, in_processes, num_short
):
    spans = {
        "walk/long": (None, 500.0),
        "walk/late": (0.2, 20.0),
        "walk/end": (0.65, 3.5),
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
    settings = dataclasses.replace(SMALL_SETTINGS, selection=selection)
    pipeline_settings = dataclasses.replace(
        SMALL_PIPELINE,
        num_decode_threads=1,
        batch_size=batch_size,
        decode_in_processes=in_processes,
    )
    summary = extract(tmp_path / "clips.csv", tmp_path / "cache", settings, pipeline_settings)
    with caplog.at_level("INFO", logger="absl"):
        assert report_summary(summary, tmp_path / "cache") == 0
    assert "7 clips done" in caplog.text
    warned = [line for line in caplog.text.splitlines() if "as long as their spans" in line]
    assert len(warned) == (num_short > 0)
    if num_short:
        assert (
            f"Clips less than half as long as their spans: {num_short}, such as walk/long: its "
            "end_sec is 500, the last frame at 1."
        ) in warned[0]
