"""Which files of a folder are frames, and sources that are none."""

import os
from pathlib import Path

import pytest
from media import decode, make_numbered_frames, read_frame_numbers, write_frame_folder
from refusals import refusal

from lrcn.common.clips.span import Span
from lrcn.common.pixels.decode import UnreadableClipError, count_frames, estimate_num_frames
from lrcn.common.pixels.source_stat import read_source_stat


def test_folder_without_images_names_the_suffixes(tmp_path):
    (tmp_path / "notes.txt").write_text("none")
    (tmp_path / "sub.jpg").mkdir()
    for call in (decode, count_frames, read_source_stat):
        with pytest.raises(UnreadableClipError, match=r"no frames.*\.jpg .*\.png"):
            call(tmp_path)
    (tmp_path / "IMG_1.HEIC").touch()
    text = "received 1 folder, such as sub.jpg and 2 other files, such as IMG_1.HEIC. Add some"
    with refusal(text, UnreadableClipError):
        decode(tmp_path)


def test_videos_and_folders_one_level_too_deep_are_named(tmp_path):
    (tmp_path / "day_1").mkdir()
    text = (
        "received 1 folder, such as day_1. Add some, or remove the clip. If the folders are "
        "clips, move them right into the folder of their class, or name each in a .csv manifest, as"
    )
    with refusal(text, UnreadableClipError):
        decode(tmp_path)
    for name in ("v_10.mpg", "v_2.mpg"):
        (tmp_path / name).touch()
    with pytest.raises(
        UnreadableClipError,
        match=r"0 images and, one level deeper than clips are, 2 videos, such as v_2\.mpg",
    ):
        decode(tmp_path)


def test_hidden_and_other_files_are_no_frames(tmp_path):
    folder = write_frame_folder(tmp_path / "clip", make_numbered_frames(2))
    (folder / "._1.png").write_bytes(b"macOS")
    (folder / "Thumbs.db").write_bytes(b"Windows")
    # Nor do tables hide frames, unless `--explain` wrote both.
    for name in ("labels.csv", "0.csv"):
        (folder / name).write_text("frame_index,label\n0,walk\n")
    assert len(decode(folder)) == count_frames(folder) == 2


@pytest.mark.parametrize("name", ["a b", 'it\'s "so"', "line\nbreak", "走る_ходьба", "100%d", "-x"])
def test_a_folder_and_its_images_may_have_any_name(tmp_path, name):
    folder = write_frame_folder(tmp_path / name, make_numbered_frames(1))
    (folder / "0.png").rename(folder / f"{name}.png")
    assert len(decode(folder)) == 1


def test_symbolic_links_are_followed(tmp_path):
    outside = write_frame_folder(tmp_path / "outside", make_numbered_frames(2))
    folder = write_frame_folder(tmp_path / "clip", [])
    (folder / "a.png").symlink_to(outside / "1.png")
    assert read_frame_numbers(frame.pixels for frame in decode(folder)) == [1]
    assert read_source_stat(folder).size_bytes == (outside / "1.png").stat().st_size
    (folder / "b.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(UnreadableClipError, match=r"b\.png"):
        decode(folder)
    with pytest.raises(UnreadableClipError, match=r"b\.png.*Mend the link"):
        read_source_stat(folder)


def test_a_link_to_nothing_is_said_to_be_one(tmp_path):
    (tmp_path / "a.mp4").symlink_to("store/a.mp4")
    (tmp_path / "walk").symlink_to(tmp_path / "away")
    expected = "expected a folder of images or a video file, received: a link to nothing, "
    for call in (decode, count_frames, estimate_num_frames, read_source_stat):
        with refusal(
            f"{tmp_path}/a.mp4: {expected}{tmp_path}/a.mp4 -> store/a.mp4. Mend the link, or",
            UnreadableClipError,
        ):
            call(tmp_path / "a.mp4")
        with refusal(
            f"{tmp_path}/walk/b.mp4: {expected}{tmp_path}/walk -> {tmp_path}/away. Mend",
            UnreadableClipError,
        ):
            call(tmp_path / "walk" / "b.mp4")


def test_a_source_that_is_missing_is_unreadable(tmp_path):
    for call in (decode, count_frames, read_source_stat):
        with pytest.raises(UnreadableClipError, match=r"gone: .*No such file.*Check"):
            call(tmp_path / "gone")


def test_a_frame_whose_name_breaks_a_line_is_named_in_one(tmp_path):
    (tmp_path / "0\n.png").write_bytes(b"no picture")
    with refusal(f"{tmp_path}/0\\n.png (frame 0): expected a whole image", UnreadableClipError):
        decode(tmp_path)


@pytest.mark.parametrize(
    ("there", "named"),
    [
        *[("a.MP4", "a.mp4"), ("u\u0308.mp4", "\xfc.mp4"), ("\xfc.mp4", "u\u0308.mp4")],
        *[("Walk_1.mp4", "walk_1.MP4"), ("Walk/\xdc/A.mp4", "walk/u\u0308/a.mp4")],
    ],
)
def test_a_name_that_looks_like_the_missing_one_is_told(tmp_path, monkeypatch, there, named):
    monkeypatch.chdir(tmp_path)
    Path(there).parent.mkdir(parents=True, exist_ok=True)
    Path(there).touch()
    if os.path.exists(named):
        pytest.skip("This file system takes both for one name.")
    for folder in ("", f"{tmp_path}/"):
        found, given = folder + there, folder + named
        text = f"none of this name, but one that looks like it, {found!a} and not {given!a}. Write"
        for call in (count_frames, read_source_stat):
            with refusal(text, UnreadableClipError):
                call(given)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.gif"])
def test_a_pipe_is_refused_without_waiting_for_it(tmp_path, name):
    os.mkfifo(tmp_path / name)
    for call in (decode, count_frames, estimate_num_frames):
        with pytest.raises(UnreadableClipError, match=f"{name}: expected a file, received a pipe"):
            call(tmp_path / name)


def test_a_pipe_among_frames_is_refused_without_waiting_for_it(tmp_path):
    folder = write_frame_folder(tmp_path / "clip", make_numbered_frames(2))
    os.mkfifo(folder / "3.png")
    with pytest.raises(UnreadableClipError, match=r"3\.png.*: expected a file, received a pipe"):
        decode(folder)


def test_time_span_of_a_folder_is_refused(tmp_path):
    folder = write_frame_folder(tmp_path / "clip", make_numbered_frames(1))
    for span in (Span(0.0), Span(None, 1.0)):
        with pytest.raises(UnreadableClipError, match=r"clip: .*no times\. Leave both empty"):
            decode(folder, span)


def test_source_stat_changes_with_the_source(tmp_path):
    folder = write_frame_folder(tmp_path / "clip", make_numbered_frames(3))
    sizes = [path.stat().st_size for path in folder.iterdir()]
    os.utime(folder / "1.png", ns=(0, 2**62))
    stat = read_source_stat(folder)
    assert stat[:2] == (sum(sizes), 2**62)
    assert read_source_stat(folder / "1.png")[:2] == ((folder / "1.png").stat().st_size, 2**62)


@pytest.mark.parametrize(
    "files",
    [
        {"0.png": (3, 8), "2.png": (5, 9)},  # a frame has another name
        {"0.png": (5, 8), "1.png": (3, 9)},
        {"0.png": (3, 9), "1.png": (5, 8)},
        {"0.png": (5, 9), "1.png": (3, 8)},  # two have changed places
    ],
)
def test_source_stat_tells_what_size_and_time_of_all_do_not(tmp_path, files):
    stats = []
    for name, sizes_and_times in (("a", {"0.png": (3, 8), "1.png": (5, 9)}), ("b", files)):
        folder = tmp_path / name
        folder.mkdir()
        for file, (size_bytes, mtime_ns) in sizes_and_times.items():
            (folder / file).write_bytes(bytes(size_bytes))
            os.utime(folder / file, ns=(0, mtime_ns))
        stats.append(read_source_stat(folder))
    assert stats[0][:2] == stats[1][:2] == (8, 9)
    assert stats[0].listing != stats[1].listing
