"""How many frames clips have, and what they take, is estimated without decoding them."""

import dataclasses

import pytest
from media import make_numbered_frames, write_frame_folder, write_gif, write_video
from small_cache import CONTRACT

from extract_features.disk_space import (
    CLIP_OVERHEAD_BYTES,
    FrameCount,
    count_frames_of,
    estimate_stored_bytes,
)
from extract_features.worklist import DataSources, find_work
from lrcn.common.clips.clip import Clip
from lrcn.common.clips.span import Span
from lrcn.common.pixels.decode import UnreadableClipError, count_frames, estimate_num_frames
from lrcn.common.pixels.frame_selection import FrameSelection


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.ts", "a.h264", "a.gif"])
def test_the_frames_of_a_video_are_known_without_decoding_it(tmp_path, name):
    pixel_format = {"pix_fmt": "rgb8", "codec": "gif"} if name.endswith("gif") else {}
    frames = make_numbered_frames(30)
    path = write_video(tmp_path / name, [frames[i % 30] for i in range(60)], fps=20, **pixel_format)
    num_frames, rate_fps = estimate_num_frames(path)
    assert num_frames == pytest.approx(count_frames(path), rel=0.25)
    if name != "a.h264":  # which states no rate
        assert rate_fps == pytest.approx(20, rel=0.05)
        assert estimate_num_frames(path, span=Span(0.5, 1.5))[0] == pytest.approx(20, abs=2)


@pytest.mark.parametrize(
    ("name", "codec", "start_ms"),
    [("a.mkv", "libx264", 0), ("a.flv", "flv1", 0), ("late.mkv", "libx264", 7000)],
)
def test_a_rate_that_is_stated_far_too_high_is_not_believed(tmp_path, name, codec, start_ms):
    # As of a recorded screen, whose header states the unit of its times.
    pts = [start_ms + 40 * i for i in range(30)]
    path = write_video(tmp_path / name, make_numbered_frames(30), fps=1000, pts=pts, codec=codec)
    num_frames, rate_fps = estimate_num_frames(path)
    assert (num_frames, rate_fps) == (pytest.approx(30, abs=1), pytest.approx(25, rel=0.1))


def test_one_frame_tells_no_rate(tmp_path):
    assert estimate_num_frames(write_video(tmp_path / "a.ts", make_numbered_frames(1))) == (1, 25)
    path = write_video(tmp_path / "a.mkv", make_numbered_frames(1), fps=1000)
    assert estimate_num_frames(path) == (1, 1000)
    assert estimate_num_frames(write_gif(tmp_path / "a.gif", 1, duration=40)) == (1, 10)


def test_a_span_that_ends_behind_its_video_is_estimated_to_have_what_there_is(tmp_path):
    path = write_video(tmp_path / "a.mp4", make_numbered_frames(30), fps=10)
    assert estimate_num_frames(path, span=Span(2.0, 600.0)) == (10, 10)
    assert estimate_num_frames(path, span=Span(600.0)) == (1, 10)


def test_what_is_plainly_no_clip_is_not_estimated(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"no video")
    for path in (tmp_path / "a.mp4", tmp_path / "gone.mp4", tmp_path):
        with pytest.raises(UnreadableClipError, match=str(path)):
            estimate_num_frames(path)


def test_frames_of_many_clips_are_extrapolated_from_some(tmp_path):
    # Folders of 1 to 4 frames in turn of size, and a video of 30.
    lengths = [1, 1, 2, 2, 3, 3, 4, 4]
    for i, length in enumerate(lengths):
        write_frame_folder(tmp_path / f"{i}", make_numbered_frames(length))
    write_video(tmp_path / "a.mp4", make_numbered_frames(30), fps=10)
    (tmp_path / "b.mp4").write_bytes(b"no video")

    def count(names, num_counted=None, **selection):
        clips = [Clip(name, name, "walk", end_sec=1.0 if "." in name else None) for name in names]
        jobs = find_work(clips, DataSources(tmp_path)).pending
        found = count_frames_of(jobs, FrameSelection(**selection), num_counted=num_counted)
        return found.clips, found.frames, found.decoded, len(found.unreadable)

    folders = [f"{i}" for i in range(8)]
    assert count(folders) == count(folders, 8) == (8, 20, 20, 0)
    assert count(folders, 4) == (8, 20, 20, 0)  # of the 1st, 3rd, 5th and 7th, twice
    assert count(folders, 3) == (8, round(8 / 3 * (1 + 2 + 3)), 16, 0)
    # Of folders, frames that are not selected are not decoded; of videos all are, or all twice.
    assert count(folders, frame_stride=2) == (8, 12, 12, 0)
    assert count(["a.mp4", "b.mp4"]) == (1, 10, 10, 1)
    assert count(["a.mp4"], frame_stride=5) == (1, 2, 10, 0)
    assert count(["a.mp4"], max_frames=3) == (1, 3, 20, 0)
    assert count(["a.mp4", "7"], fps=5) == (1, 5, 10, 1)
    contract = dataclasses.replace(CONTRACT, views="flip")
    needed_bytes = estimate_stored_bytes(FrameCount(3, 100, 100, []), contract)
    # A quarter of 2 views of 7 x 7 x 512 values of 2 bytes each.
    assert needed_bytes == 100 * 2 * 7 * 7 * 512 * 2 // 4 + 3 * CLIP_OVERHEAD_BYTES
