"""Clips that the system does not let read now: nothing says that they are damaged or missing."""

import dataclasses
import errno
import os

import pytest
from media import decode, make_numbered_frames, write_frame_folder, write_gif, write_video
from PIL.GifImagePlugin import GifImageFile
from refusals import no_more_open_files
from small_extraction import SMALL_PIPELINE, extract, snapshot_clips
from video_data import cut, make_noise

from lrcn.common.files import unreadable
from lrcn.common.files.expected_errors import describe_expected
from lrcn.common.files.unreadable import UnreadableClipError
from lrcn.common.pixels.decode import estimate_num_frames
from lrcn.common.pixels.frame_selection import FrameSelection
from lrcn.common.pixels.source_stat import read_source_stat

# What Linux lets nobody read, not even root.
_WRITTEN_ONLY = "/proc/sys/vm/drop_caches"


@pytest.mark.parametrize("name", ["clip", "clip/0.png", "clip.gif", "clip.mp4"])
def test_clips_do_not_fail_where_no_more_files_can_be_opened(tmp_path, name):
    """It is no fault of theirs, and --skip_unreadable would leave whole clips out."""
    write_frame_folder(tmp_path / "clip", make_numbered_frames(2))
    write_gif(tmp_path / "clip.gif", 2, duration=40)
    write_video(tmp_path / "clip.mp4", make_numbered_frames(2))
    source = tmp_path / name
    steps = [decode]
    if name == "clip":
        steps.append(read_source_stat)
    if name == "clip.mp4":
        steps.append(estimate_num_frames)
    for step in steps:
        before = step(source)
        with pytest.raises(OSError, match="Too many open files") as caught, no_more_open_files():
            step(source)
        assert caught.value.errno == errno.EMFILE
        assert len(step(source)) == len(before)


@pytest.mark.skipif(not os.path.exists(_WRITTEN_ONLY), reason="no file that root may not read")
@pytest.mark.parametrize(
    ("file", "reason"),
    # The first bytes of a process's memory are nobody's: as of a broken disk.
    [("/proc/self/mem", "Input/output error"), (_WRITTEN_ONLY, "Permission denied")],
)
@pytest.mark.parametrize("name", ["clip", "clip.png", "clip.gif", "clip.mp4"])
def test_a_clip_that_the_system_does_not_let_read_is_not_said_to_be_damaged(
    tmp_path, name, file, reason
):
    source = broken = tmp_path / name
    if name == "clip":
        source.mkdir()
        broken = source / "0.png"
    broken.symlink_to(file)
    for step in (decode, estimate_num_frames) if name == "clip.mp4" else (decode,):
        with pytest.raises(UnreadableClipError, match=reason) as caught:
            step(source)
        told = str(caught.value)
        assert told.startswith(str(broken)) and told.endswith("un the same command again.")
        assert "may be whole" in told and "damaged" not in told and "Replace" not in told


@pytest.mark.parametrize("name", ["clip", "clip.mp4"])
def test_a_clip_on_a_disk_that_is_no_longer_there_may_be_whole(tmp_path, dead_disk, name):
    source = lost = tmp_path / name
    if name == "clip":
        source.mkdir()
        lost = source / "0.png"
    lost.symlink_to(dead_disk / "file")
    with pytest.raises(UnreadableClipError, match="is not connected") as caught:
        decode(source)
    assert str(caught.value).endswith("it may be whole. Run the same command again.")


@pytest.fixture(params=["stat", "scandir"])
def fail_at_clip(tmp_path, monkeypatch, request):
    """Makes a folder of images, and has the system fail at it, by an error of a number."""
    write_frame_folder(tmp_path / "clip", make_numbered_frames(2))
    of_system = getattr(os, request.param)

    def fail_by(number):
        def fail(path, *arguments, **options):
            if str(path) == str(tmp_path / "clip"):
                raise OSError(number, os.strerror(number), str(path))
            return of_system(path, *arguments, **options)

        monkeypatch.setattr(os, request.param, fail)

    return fail_by


def test_clips_do_not_fail_where_the_system_has_no_memory(tmp_path, fail_at_clip):
    fail_at_clip(errno.ENOMEM)
    for step in (decode, read_source_stat):
        with pytest.raises(OSError, match="Cannot allocate memory") as caught:
            step(tmp_path / "clip")
        told = describe_expected(caught.value, flag_names=())
        assert told.endswith("Close other programs, or use a machine with more memory.")


def test_a_folder_that_its_disk_does_not_give_is_not_said_to_be_missing(tmp_path, fail_at_clip):
    """As where a server was started anew: its folders are stale until they are looked up again."""
    fail_at_clip(errno.ESTALE)
    for step in (decode, read_source_stat):
        with pytest.raises(UnreadableClipError, match="received: Stale file handle") as caught:
            step(tmp_path / "clip")
        assert str(caught.value).endswith("it may be whole. Run the same command again.")


def extract_in_part(tmp_path):
    settings = dataclasses.replace(SMALL_PIPELINE, keep_partial=True)
    fractions = {"test_fraction": 0.0, "val_fraction": 0.0}
    return extract(tmp_path / "data", tmp_path / "cache", pipeline_settings=settings, **fractions)


_BROKEN_DISK = OSError(errno.EIO, os.strerror(errno.EIO))


def fail_to_read(*_arguments, **_options):
    raise _BROKEN_DISK


def make_failing_seek(*, num_failures, error=_BROKEN_DISK):
    """Makes what finds a frame of a GIF, on a disk that fails so many times, at frame 5."""
    failures = iter(range(num_failures))
    seek = GifImageFile.seek

    def seek_or_fail(image, frame):
        if frame == 5 and next(failures, None) is not None:
            raise error
        return seek(image, frame)

    return seek_or_fail


def test_a_video_that_breaks_off_where_its_disk_fails_is_not_kept_in_part(tmp_path, monkeypatch):
    """To FFmpeg it is cut off where a read fails amid a packet, as if the file ended there."""
    (tmp_path / "data" / "walk").mkdir(parents=True)
    cut(write_video(tmp_path / "data" / "walk" / "clip.mkv", make_noise(20)), 0.5)
    with monkeypatch.context() as failing:
        failing.setattr(unreadable, "open", fail_to_read, raising=False)
        ((_, reason),) = extract_in_part(tmp_path).result.failures
    assert reason.endswith("it may be whole. Run the same command again.")
    assert "Input/output error" in reason and snapshot_clips(tmp_path / "cache") == {}
    assert len(extract_in_part(tmp_path).result.kept) == 1


def test_an_animation_whose_disk_fails_for_a_moment_is_read_again(tmp_path, monkeypatch):
    (tmp_path / "data" / "walk").mkdir(parents=True)
    write_gif(tmp_path / "data" / "walk" / "clip.gif", 12, duration=40)
    with monkeypatch.context() as failing:
        failing.setattr(GifImageFile, "seek", make_failing_seek(num_failures=9))
        ((_, reason),) = extract_in_part(tmp_path).result.failures
    assert reason.endswith("it may be whole. Run the same command again.")
    assert snapshot_clips(tmp_path / "cache") == {}
    assert extract_in_part(tmp_path).result.frames == 12


# The second, as where a decoder takes a read that failed for the end of the file.
@pytest.mark.parametrize("error", [_BROKEN_DISK, ValueError("image file is truncated")])
def test_frames_are_not_chosen_of_those_alone_that_came_before_a_disk_failed(
    tmp_path, monkeypatch, error
):
    gif = write_gif(tmp_path / "clip.gif", 12, duration=40)
    selection = FrameSelection(max_frames=2)
    assert [x.index for x in decode(gif, selection=selection)] == [3, 9]
    monkeypatch.setattr(GifImageFile, "seek", make_failing_seek(num_failures=1, error=error))
    with pytest.raises(UnreadableClipError, match="that time it broke off") as caught:
        decode(gif, selection=selection)
    assert caught.value.may_be_whole
