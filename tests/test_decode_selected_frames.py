"""Clips decoded by a selection of their frames."""

import functools

import numpy as np
import pytest
from media import (
    make_numbered_frames,
    read_frame_numbers,
    write_frame_folder,
    write_gif,
    write_video,
)
from video_data import cut, make_noise

from lrcn.common.clips.span import WHOLE, Span
from lrcn.common.pixels.decode import UnreadableClipError, count_frames, iter_frames
from lrcn.common.pixels.frame_selection import ALL_FRAMES, FrameSelection


def decode(source, selection, *, first=0, span=WHOLE):
    """Decodes numbered frames, the first of which has the number `first`."""
    frames = list(iter_frames(source, image_size=32, selection=selection, span=span))
    numbers = read_frame_numbers(frame.pixels for frame in frames)
    assert numbers == [first + frame.index for frame in frames]
    assert count_frames(source, selection=selection, span=span) == len(frames)
    return frames


def get_indices(frames):
    return [frame.index for frame in frames]


SELECTIONS = [
    (FrameSelection(frame_stride=4), [0, 4, 8]),
    (FrameSelection(max_frames=3), [1, 5, 8]),
    (FrameSelection(frame_stride=2, max_frames=2), [2, 6]),
    (FrameSelection(max_frames=10), list(range(10))),
    (ALL_FRAMES, list(range(10))),
]


@pytest.mark.parametrize("name", ["clip.mp4", "clip.gif", "folder"])
@pytest.mark.parametrize(("selection", "expected"), SELECTIONS, ids=lambda x: str(x))
def test_every_kind_of_clip(tmp_path, name, selection, expected):
    pictures = make_numbered_frames(10)
    if name == "folder":
        source = write_frame_folder(tmp_path / name, pictures)
    elif name == "clip.gif":
        source = write_gif(tmp_path / name, 10, duration=40)
    else:
        source = write_video(tmp_path / name, pictures)
    frames = decode(source, selection)
    assert get_indices(frames) == expected
    if name != "folder":
        np.testing.assert_allclose([x.timestamp_sec for x in frames], np.array(expected) / 25)


def test_images_that_are_not_selected_are_not_opened(tmp_path):
    folder = write_frame_folder(tmp_path / "clip", make_numbered_frames(9))
    for i in (1, 2, 4, 5, 7, 8):
        (folder / f"{i}.png").write_text("no image")
    assert get_indices(decode(folder, FrameSelection(frame_stride=3))) == [0, 3, 6]
    assert get_indices(decode(folder, FrameSelection(frame_stride=3, max_frames=1))) == [3]
    with pytest.raises(UnreadableClipError, match=r"1\.png \(frame 1\)"):
        list(iter_frames(folder, image_size=32))


def test_only_the_positions_that_are_wanted_are_converted(tmp_path):
    path = write_video(tmp_path / "clip.mp4", make_numbered_frames(10))
    selection = FrameSelection(frame_stride=2)
    frames = list(iter_frames(path, image_size=32, selection=selection, positions={1, 4}))
    assert get_indices(frames) == [0, 2, 4, 6, 8]
    assert [frame.index for frame in frames if frame.pixels is not None] == [2, 8]
    assert read_frame_numbers([frames[1].pixels, frames[4].pixels]) == [2, 8]


def test_fps_of_images_is_refused(tmp_path):
    folder = write_frame_folder(tmp_path / "clip", make_numbered_frames(2))
    for max_frames in (None, 1):
        selection = FrameSelection(fps=5, max_frames=max_frames)
        for call in (
            lambda **kw: list(iter_frames(folder, image_size=32, **kw)),
            functools.partial(count_frames, folder),
        ):
            with pytest.raises(
                UnreadableClipError,
                match=r"clip: expected a video file, as fps=5 goes by the times of frames, "
                r"received a folder of images, which have none\. Give the video itself, or "
                r"extract the features with --frame_stride in place of --fps, into a new cache\.",
            ):
                call(selection=selection)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv"])
def test_fps_of_variable_rate(tmp_path, name):
    # In 1 / 25 s: a burst, a pause of a second, a burst that begins between two ticks.
    pts = [0, 1, 2, 3, 4, 5, 30, 31, 32, 33, 34, 35, 36]
    path = write_video(tmp_path / name, make_numbered_frames(len(pts)), pts=pts)
    # Ticks at 0, 5, ..., 30, 35 / 25 s.
    frames = decode(path, FrameSelection(fps=5))
    assert get_indices(frames) == [0, 5, 6, 11]
    np.testing.assert_allclose([x.timestamp_sec for x in frames], [0, 0.2, 1.2, 1.4])


def test_fps_counts_from_the_first_frame_of_a_span(tmp_path):
    path = write_video(tmp_path / "clip.mp4", make_numbered_frames(25))
    frames = decode(path, FrameSelection(fps=5), first=7, span=Span(0.28, 0.8))
    assert [round(25 * x.timestamp_sec) for x in frames] == [7, 12, 17]
    assert get_indices(frames) == [0, 5, 10]
    frames = decode(path, FrameSelection(max_frames=2), first=10, span=Span(0.4))
    assert [round(25 * x.timestamp_sec) for x in frames] == [13, 21]


@pytest.mark.parametrize(
    "selection", [FrameSelection(frame_stride=20), FrameSelection(max_frames=1)], ids=str
)
def test_whoever_waits_for_a_frame_can_end_it(tmp_path, selection):
    class StopError(Exception):
        pass

    num_calls = 0

    def stop_at_fifth_frame():
        nonlocal num_calls
        num_calls += 1
        if num_calls == 5:
            raise StopError

    path = write_video(tmp_path / "clip.mp4", make_numbered_frames(10))
    with pytest.raises(StopError):
        list(iter_frames(path, image_size=32, selection=selection, on_decoded=stop_at_fifth_frame))


def test_a_clip_that_breaks_off_gives_what_is_selected_of_its_first_part(tmp_path):
    options = {"movflags": "faststart"}
    path = write_video(tmp_path / "clip.mp4", make_noise(20), container_options=options)
    cut(path, 0.5)

    def find_indices(selection):
        indices = []
        with pytest.raises(UnreadableClipError, match=r"it ended at .*, after frame \d+: "):
            for frame in iter_frames(path, image_size=32, selection=selection):
                indices.append(frame.index)
        with pytest.raises(UnreadableClipError, match="it ended at"):
            count_frames(path, selection=selection)
        return indices

    num_frames = len(find_indices(ALL_FRAMES))
    assert 4 < num_frames < 16
    assert find_indices(FrameSelection(frame_stride=3)) == list(range(0, num_frames, 3))
    expected = [num_frames // 4, 3 * num_frames // 4]
    assert find_indices(FrameSelection(max_frames=2)) == expected


def test_what_is_left_of_a_damaged_picture_does_not_depend_on_the_selection(tmp_path):
    noise = make_noise(10, height=48)
    path = write_video(tmp_path / "clip.mkv", noise, codec="ffv1", pix_fmt="bgr0")
    content = bytearray(path.read_bytes())
    for part in range(4, 10):  # FFmpeg fills such pictures by what it had in memory, in silence
        content[part * len(content) // 10] ^= 1
    path.write_bytes(content)
    pixels = [x.pixels for x in iter_frames(path, image_size=48)]
    for selection in (
        FrameSelection(frame_stride=2),
        FrameSelection(fps=10),
        FrameSelection(max_frames=3),
        FrameSelection(fps=15, max_frames=4),
    ):
        for frame in iter_frames(path, image_size=48, selection=selection):
            np.testing.assert_array_equal(frame.pixels, pixels[frame.index], str(selection))
