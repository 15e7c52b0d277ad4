"""Stage 1 with fewer than all frames, and with videos that break off."""

import dataclasses
import os
import shutil

import numpy as np
import pytest
import small_extraction
from commands import read_failures, run_program
from media import make_numbered_frames, write_frame_folder, write_video
from small_extraction import SMALL_PIPELINE, SMALL_SETTINGS, read_all
from video_data import cut, make_noise

from lrcn.common.cache.open_cache import read_cache
from lrcn.common.pixels.frame_selection import FrameSelection
from train_head.run.reproduction import make_extraction_command


def extract(data, cache_dir, *, skip_unreadable=None, keep_partial=False, **selection):
    """Extracts in this process what a `FrameSelection` of such fields keeps."""
    return small_extraction.extract(
        data,
        cache_dir,
        dataclasses.replace(SMALL_SETTINGS, selection=FrameSelection(**selection)),
        dataclasses.replace(SMALL_PIPELINE, keep_partial=keep_partial),
        skip_unreadable=skip_unreadable,
    )


@pytest.fixture(scope="module")
def thinned_dir(clips_dir, tmp_path_factory):
    """The cache of every second frame, at most 3 a clip, of `clips_dir`; not to be changed."""
    folder = tmp_path_factory.mktemp("thinned") / "cache"
    extract(clips_dir, folder, frame_stride=2, max_frames=3)
    return folder


def test_the_selected_frames_are_those_of_the_whole_clips(thinned_dir, cache_dir):
    assert read_cache(thinned_dir).contract.frame_selection == "stride=2,max_frames=3"
    assert read_cache(cache_dir).contract.frame_selection == "all"
    # By the number of frames of the clip, folders up to 11 and a video of 12.
    expected = {
        5: [0, 2, 4],
        6: [0, 2, 4],
        7: [0, 4, 6],
        8: [0, 4, 6],
        9: [0, 4, 8],
        10: [0, 4, 8],
        11: [2, 6, 10],
        12: [2, 6, 10],
    }
    whole = read_all(cache_dir)
    thinned = read_all(thinned_dir)
    assert thinned.keys() == whole.keys()
    for clip_id, features in thinned.items():
        indices = expected[len(whole[clip_id].frame_index)]
        assert features.frame_index.tolist() == indices, clip_id
        for array, whole_array in zip(features, whole[clip_id], strict=True):
            np.testing.assert_array_equal(array, whole_array[indices], err_msg=clip_id)


@pytest.mark.parametrize(
    "selection", [{}, {"frame_stride": 2}, {"max_frames": 3}, {"frame_stride": 2, "max_frames": 3}]
)
def test_the_same_selection_or_none_finds_all_clips_done(clips_dir, thinned_dir, selection):
    summary = extract(clips_dir, thinned_dir, **selection)
    assert (summary.skipped, summary.result.frames) == (16, 0)


def test_a_resume_goes_on_under_the_selection_of_the_cache(clips_dir, thinned_dir, tmp_path):
    cache_dir = shutil.copytree(thinned_dir, tmp_path / "cache")
    missing = ("left/clip_6", "right/clip_7")
    for clip_id in missing:
        (cache_dir / "clips" / f"{clip_id}.h5").unlink()
    summary = extract(clips_dir, cache_dir)
    assert (summary.result.clips_done, summary.result.frames, summary.skipped) == (2, 6, 14)
    for clip_id in missing:
        found = read_cache(cache_dir).read_clip(clip_id)
        for array, expected in zip(found, read_cache(thinned_dir).read_clip(clip_id), strict=True):
            np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize(
    ("selection", "text"),
    [
        ({"frame_stride": 1}, "max_frames=3"),
        ({"fps": 5}, "fps=5,max_frames=3"),
    ],
)
def test_another_selection_is_refused_by_name(clips_dir, thinned_dir, selection, text):
    message = (
        rf"made with frame_selection=stride=2,max_frames=3, but this command needs "
        rf"frame_selection={text}\. Leave out the flags that differ"
    )
    with pytest.raises(ValueError, match=message):
        extract(clips_dir, thinned_dir, **selection)


def test_a_cache_of_all_frames_refuses_a_selection(clips_dir, cache_dir):
    with pytest.raises(ValueError, match=r"frame_selection=all, but .* frame_selection=fps=5\."):
        extract(clips_dir, cache_dir, fps=5)
    # A stride of 1 and no limit are what it has.
    assert extract(clips_dir, cache_dir, frame_stride=1, max_frames=0).skipped == 16


def test_flags_that_make_no_selection(clips_dir, tmp_path):
    flags = (f"--data={clips_dir}", f"--cache_dir={tmp_path}/cache", "--fps=5", "--frame_stride=2")
    done = run_program("extract_features", *flags, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "error: Expected frame_stride or fps, as each alone decides the rate." in done.stderr
    assert not (tmp_path / "cache").exists()


# In 1 / 25 s: a burst, a pause of a second, and a burst that begins amid two ticks of 5 fps.
VARIABLE_PTS = [0, 1, 2, 3, 4, 5, 33, 34, 35, 36]
FIVE_FPS = [0, 5, 6, 8]


def test_fps_of_videos_of_variable_rate_and_of_images(tmp_path):
    data, cache_dir = tmp_path / "data", tmp_path / "cache"
    for label in ("walk", "run"):
        for i in range(2):
            write_video(data / label / f"{i}.mp4", make_numbered_frames(10), pts=VARIABLE_PTS)
    folder = write_frame_folder(data / "walk" / "images", make_numbered_frames(3))
    summary = extract(data, cache_dir, fps=5.0)
    assert (summary.result.clips_done, summary.result.frames) == (4, 16)
    ((clip_id, reason),) = read_failures(cache_dir).items()
    assert clip_id == "walk/images"
    assert f"{folder}: expected a video file, as fps=5 goes by the times of frames" in reason
    summary = extract(data, cache_dir, skip_unreadable=True)
    assert (summary.skipped, summary.result.clips_done) == (4, 0)
    for features in read_all(cache_dir).values():
        assert features.frame_index.tolist() == FIVE_FPS
        expected_sec = np.array(VARIABLE_PTS)[FIVE_FPS] / 25
        np.testing.assert_allclose(features.timestamp_sec, expected_sec)


def write_cut_clips(folder):
    """Writes two whole clips a class, and one of `walk` that is cut off in its middle."""
    for label in ("walk", "run"):
        for i in range(2):
            write_frame_folder(folder / label / f"clip_{i}", make_numbered_frames(2))
    options = {"movflags": "faststart"}  # the index in front, as streaming sites write it
    path = write_video(folder / "walk" / "cut.mp4", make_noise(20), container_options=options)
    cut(path, 0.5)
    return path


def test_a_video_that_breaks_off_may_be_kept_in_part(tmp_path):
    data, cache_dir = tmp_path / "data", tmp_path / "cache"
    path = write_cut_clips(data)
    (data / "walk" / "zero.mp4").touch()
    damaged = write_frame_folder(data / "run" / "damaged", make_numbered_frames(3))
    (damaged / "2.png").write_text("no image")
    summary = extract(data, cache_dir)
    assert len(summary.result.failures) == 3 and not summary.result.kept
    assert "keep_partial" not in make_extraction_command(read_cache(cache_dir), cache_dir="new")

    flags = (f"--data={data}", f"--cache_dir={cache_dir}", "--keep_partial")
    done = run_program("extract_features", *flags, check=False)
    # Without any frame there is nothing to keep, and a folder of images does not break off.
    assert done.returncode == 1
    assert "1 clip done, 4 skipped (already there), 2 failed" in done.stderr
    failures = read_failures(cache_dir)
    assert failures.keys() == {"walk/cut", "walk/zero", "run/damaged"}
    features = read_cache(cache_dir).read_clip("walk/cut")
    num_frames = len(features.frame_index)
    assert 4 < num_frames < 16
    assert features.frame_index.tolist() == list(range(num_frames))
    reason = f"kept {num_frames} frames: {path}: expected a whole video, but it ended at "
    assert failures["walk/cut"].startswith(reason)
    assert f"in part: walk/cut: {reason}" in done.stderr
    assert "Clips that are there only in part: 1, all listed in" in done.stderr

    (data / "walk" / "zero.mp4").unlink()
    (damaged / "2.png").unlink()
    before = (cache_dir / "clips" / "walk" / "cut.h5").stat().st_mtime_ns
    done = run_program("extract_features", *flags)
    assert "1 clip done, 5 skipped (already there), 0 failed" in done.stderr
    # Nor does a run without the flag do it again, or forget that it is a part.
    run_program("extract_features", *flags[:2])
    assert (cache_dir / "clips" / "walk" / "cut.h5").stat().st_mtime_ns == before
    assert read_failures(cache_dir) == {"walk/cut": failures["walk/cut"]}
    # It is no failure, so --skip_unreadable does not leave it out.
    extract(data, cache_dir, skip_unreadable=True)
    assert "walk/cut" in read_all(cache_dir)
    command = make_extraction_command(read_cache(cache_dir), cache_dir="new")
    assert command.endswith(" --keep_partial=true")


def test_what_is_kept_of_a_broken_video_is_selected_from_its_part(tmp_path):
    data = tmp_path / os.fsdecode(b"\xff data")  # as the reason names it, which is kept too
    write_cut_clips(data)
    extract(data, tmp_path / "all", keep_partial=True)
    extract(data, tmp_path / "two", keep_partial=True, max_frames=2)
    whole = read_cache(tmp_path / "all").read_clip("walk/cut")
    part = read_cache(tmp_path / "two").read_clip("walk/cut")
    num_frames = len(whole.frame_index)
    indices = [num_frames // 4, 3 * num_frames // 4]
    assert part.frame_index.tolist() == indices
    np.testing.assert_array_equal(part.feature_maps, whole.feature_maps[indices])
    reason = read_failures(tmp_path / "two")["walk/cut"]
    assert reason.startswith(f"kept 2 frames: {tmp_path}/\\udcff data/walk/cut.mp4: ")
    extract(data, tmp_path / "one", keep_partial=True, max_frames=1)
    assert read_failures(tmp_path / "one")["walk/cut"].startswith("kept 1 frame: ")
