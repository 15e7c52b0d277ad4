"""Clips that the system does not let read now: nothing says that they are damaged or missing."""

import errno
import os

import pytest
from media import decode, make_numbered_frames, write_frame_folder, write_gif, write_video
from refusals import no_more_open_files

from lrcn.common.files.unreadable import UnreadableClipError
from lrcn.common.pixels.decode import estimate_num_frames
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


@pytest.mark.parametrize("name", ["stat", "scandir"])
def test_a_folder_that_its_disk_does_not_give_is_not_said_to_be_missing(
    tmp_path, monkeypatch, name
):
    """As where a server was started anew: its folders are stale until they are looked up again."""
    write_frame_folder(tmp_path / "clip", make_numbered_frames(2))
    of_system = getattr(os, name)

    def fail(path, *arguments, **options):
        if str(path) == str(tmp_path / "clip"):
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(path))
        return of_system(path, *arguments, **options)

    monkeypatch.setattr(os, name, fail)
    for step in (decode, read_source_stat):
        with pytest.raises(UnreadableClipError, match="received: Stale file handle") as caught:
            step(tmp_path / "clip")
        assert str(caught.value).endswith("it may be whole. Run the same command again.")
