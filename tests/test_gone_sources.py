"""Clips that go away while they are read: they fail, are said to be gone, and may come back."""

import numpy as np
import pytest
from commands import SMALL_BACKBONE, read_rows, start_program
from media import SIZE, make_numbered_frames, write_frame_folder, write_video
from small_extraction import snapshot_clips

from lrcn.common.files.unreadable import UnreadableClipError
from lrcn.common.pixels.decode import iter_frames


@pytest.mark.parametrize("name", ["clip", "clip.mp4"])
def test_what_goes_while_it_is_decoded_is_a_failed_clip_and_not_a_damaged_one(tmp_path, name):
    """A video is opened once more at the end, and what is wrong then stopped the extraction."""
    write_frame_folder(tmp_path / "clip", make_numbered_frames(2))
    write_video(tmp_path / "clip.mp4", make_numbered_frames(2))
    frames = iter_frames(tmp_path / name, image_size=SIZE)
    next(frames)
    gone = tmp_path / ("clip/1.png" if name == "clip" else name)
    gone.unlink()
    with pytest.raises(UnreadableClipError, match="No such file or directory") as caught:
        list(frames)
    told = str(caught.value)
    assert told.startswith(str(gone))
    assert told.endswith("The file went away meanwhile. Bring it back, or remove the clip.")
    assert "damaged" not in told and "Replace" not in told


def test_a_video_that_goes_while_it_is_decoded_is_not_kept_in_part(tmp_path):
    video = tmp_path / "data" / "walk" / "long.mp4"
    video.parent.mkdir(parents=True)
    write_video(video, np.zeros((400, 32, 32, 3), np.uint8))
    cache = tmp_path / "cache"
    flags = (f"--data={tmp_path / 'data'}", f"--cache_dir={cache}", *SMALL_BACKBONE)
    flags += ("--test_fraction=0", "--val_fraction=0")
    with start_program("extract_features", *flags, "--keep_partial") as extraction:
        extraction.wait_until((cache / "clips" / "walk" / ".long.h5.tmp").exists)
        video.rename(tmp_path / "away.mp4")
        assert extraction.wait() == 1
    assert "The file went away meanwhile" in read_rows(cache / "failures.csv")[0]["reason"]
    assert snapshot_clips(cache) == {}
