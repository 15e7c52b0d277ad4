"""What users meet when their input is wrong: a clear error from the real command, nothing lost."""

import os
import shutil

from commands import SMALL_BACKBONE, read_failures, run_program
from media import make_numbered_frames, write_frame_folder
from video_data import cut, make_noise, write_song

from lrcn.common.clips.manifest import read_manifest


def extract(data, cache_dir, *flags):
    """Runs the command; returns its status and its stderr."""
    done = run_program(
        "extract_features",
        f"--data={data}",
        f"--cache_dir={cache_dir}",
        *SMALL_BACKBONE,
        *flags,
        check=False,
    )
    assert done.stdout == "" and "Traceback" not in done.stderr
    return done.returncode, done.stderr


def write_clips(folder):
    for label in ("walk", "run"):
        for i in range(2):
            write_frame_folder(folder / label / f"clip_{i}", make_numbered_frames(2))
    return folder


def test_an_empty_folder(tmp_path):
    (tmp_path / "data").mkdir()
    status, log = extract(tmp_path / "data", tmp_path / "cache")
    assert status == 1
    assert f"error: {tmp_path}/data: expected clips in class folders, found none. Arr" in log
    assert "DATA/walk/clip_1/0001.jpg" in log
    assert not (tmp_path / "cache").exists()


def test_a_class_with_one_clip(tmp_path):
    data = write_clips(tmp_path / "data")
    shutil.rmtree(data / "run" / "clip_1")
    status, log = extract(data, tmp_path / "cache")
    assert status == 1
    assert (
        f"error: {tmp_path}/data: class 'run': no clip for test. It has one clip ('run/clip_0') "
        "to draw, which "
        "cannot be both trained on and tested. Add clips of other groups"
    ) in log
    assert not (tmp_path / "cache").exists()


def test_clips_that_cannot_be_read_are_listed_and_the_rest_goes_on(tmp_path):
    data, cache_dir = write_clips(tmp_path / "data"), tmp_path / "cache"
    (data / "walk" / "no_frames").mkdir()
    folder = write_frame_folder(data / "walk" / "truncated", make_noise(2), suffix=".jpg")
    cut(folder / "1.jpg", 0.5)
    (data / "walk" / "text.mp4").write_text("I am no video.")
    (data / "walk" / "zero.mp4").touch()
    write_song(data / "walk" / "sound.mp4")
    os.symlink(data / "gone.mp4", data / "walk" / "broken_link.mp4")

    status, log = extract(data, cache_dir)
    assert status == 1
    # The other three are seen to be unreadable only when they are decoded.
    assert f"Clips that cannot be read: 3 of 10, such as walk/broken_link: {data}/walk/br" in log
    assert "7 of 10 clips to extract" in log
    assert "4 clips done, 0 skipped (already there), 6 failed" in log
    assert f"Failed clips: 6, all listed in {cache_dir}/failures.csv" in log
    assert "go on without: --skip_unreadable (with make: make features FLAGS=--skip_unr" in log
    expected = {
        "no_frames": f"{data}/walk/no_frames: no frames. Expected image files (",
        "truncated": f"{folder}/1.jpg (frame 1): ",
        "text": f"{data}/walk/text.mp4: expected a whole video, but it ended before the first",
        "zero": f"{data}/walk/zero.mp4: expected a video or images, received 0 bytes. Get it ag",
        "sound": f"{data}/walk/sound.mp4: expected a video stream, received only audio. Remove",
        "broken_link": f"{data}/walk/broken_link.mp4: expected a folder of images or a video file, "
        f"received: a link to nothing, {data}/walk/broken_link.mp4 -> {data}/gone.mp4. Mend",
    }
    failures = read_failures(cache_dir)
    assert failures.keys() == {f"walk/{name}" for name in expected}
    for name, reason in expected.items():
        assert failures[f"walk/{name}"].startswith(reason)
    # The log names the first five.
    assert sum(f"failed: walk/{name}: " in log for name in expected) == 5
    files = sorted(str(p.relative_to(cache_dir / "clips")) for p in cache_dir.rglob("*.h5"))
    assert files == [f"{label}/clip_{i}.h5" for label in ("run", "walk") for i in range(2)]
    assert not list(cache_dir.rglob("*.tmp"))

    status, log = extract(data, cache_dir, "--skip_unreadable")
    assert status == 0
    assert "0 clips done, 4 skipped (already there), 6 failed" in log
    assert len(read_manifest(cache_dir / "manifest.csv")) == 4
    assert (cache_dir / "failures.csv").exists()


def test_a_cache_dir_that_is_a_file(tmp_path):
    (tmp_path / "cache").write_text("mine")
    status, log = extract(write_clips(tmp_path / "data"), tmp_path / "cache")
    assert status == 1
    assert f"error: {tmp_path}/cache: expected a folder, received a file. Name another" in log
    assert (tmp_path / "cache").read_text() == "mine"
