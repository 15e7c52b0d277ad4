"""Frames that other processes decode are those of threads; whatever ends, no process stays."""

import contextlib
import dataclasses
import functools
import itertools
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from commands import ROOT
from media import make_numbered_frames, write_frame_folder, write_video
from PIL import Image
from small_extraction import SMALL_PIPELINE, assert_same_features, extract

from extract_features import decode_process
from extract_features.decode_process import DecodeProcess
from lrcn.common.clips.span import WHOLE, Span
from lrcn.common.pixels.decode import UnreadableClipError, iter_frames
from lrcn.common.pixels.frame import Frame
from lrcn.common.pixels.frame_selection import ALL_FRAMES, FrameSelection
from lrcn.common.programs.workers import StoppedError

PROCESSES = dataclasses.replace(SMALL_PIPELINE, decode_in_processes=True)


@pytest.fixture
def open_process():
    """Opens processes as `DecodeProcess` does, of frames of 32 px, and closes them."""
    with contextlib.ExitStack() as processes:

        def open_one(stop=None, selection=ALL_FRAMES):
            process = DecodeProcess(stop or threading.Event(), image_size=32, selection=selection)
            return processes.enter_context(contextlib.closing(process))

        yield open_one


def iter_process_frames(process, source, span=WHOLE):
    for block in process.iter_blocks(source, span=span):
        yield from map(Frame, block.index, block.timestamp_sec, block.pixels)


def read_whole(decode, source, span=WHOLE):
    """Returns the frames of a clip, and why there are no more: in words, and whether for now."""
    frames = []
    try:
        for frame in decode(source, span=span):
            frames.append(frame)
    except UnreadableClipError as error:
        return frames, (str(error), error.may_be_whole)
    return frames, None


def test_the_cache_is_the_same(cache_dir, clips_dir, tmp_path):
    summary = extract(clips_dir, tmp_path / "new", pipeline_settings=PROCESSES)
    assert not summary.result.failures
    assert_same_features(tmp_path / "new", cache_dir)


@pytest.mark.parametrize("num_frames", [1, 16, 41])
def test_frames_and_errors_are_those_of_a_thread(open_process, tmp_path, num_frames):
    pictures = make_numbered_frames(num_frames)
    video = write_video(tmp_path / "video.mp4", pictures, fps=10)
    folder = write_frame_folder(tmp_path / "folder", pictures)
    cut_off = tmp_path / "cut_off.mp4"
    cut_off.write_bytes(video.read_bytes()[:-200])
    damaged = write_frame_folder(tmp_path / "damaged", pictures)
    (damaged / sorted(os.listdir(damaged))[-1]).write_bytes(b"no image")
    failing = tmp_path / "failing.mp4"
    failing.symlink_to("/proc/self/mem")  # an error of input and output
    sources = [video, folder, cut_off, damaged, failing, tmp_path / "none"]
    clips = [*zip(sources, itertools.repeat(WHOLE)), (video, Span(0.35, 2.0))]
    for selection in (ALL_FRAMES, FrameSelection(frame_stride=3)):
        # All of one process, which must be in step after each.
        decode_there = functools.partial(iter_process_frames, open_process(selection=selection))
        found = [read_whole(decode_there, x, y) for x, y in clips]
        for (source, span), (frames, reason) in zip(clips, found, strict=True):

            def decode(source, span):
                return iter_frames(source, image_size=32, selection=selection, span=span)  # noqa: B023

            expected_frames, expected_reason = read_whole(decode, source, span)
            assert reason == expected_reason
            times, expected_times = ([x[:2] for x in y] for y in (frames, expected_frames))
            np.testing.assert_array_equal(times, expected_times)
            for frame, expected in zip(frames, expected_frames, strict=True):
                np.testing.assert_array_equal(frame.pixels, expected.pixels)


@pytest.mark.parametrize("num_taken", [1, 8, 9, 20, 39])
def test_a_clip_that_is_left_early_does_not_disturb_the_next(open_process, tmp_path, num_taken):
    long = write_frame_folder(tmp_path / "long", make_numbered_frames(40))
    damaged = write_frame_folder(tmp_path / "damaged", make_numbered_frames(40))
    (damaged / "39.png").write_bytes(b"no image")
    short = write_frame_folder(tmp_path / "short", make_numbered_frames(3))
    process = open_process()
    for source in (long, damaged):
        frames = iter_process_frames(process, source)
        taken = list(itertools.islice(frames, num_taken))
        assert [x.index for x in taken] == list(range(num_taken))
        frames.close()
        frames, reason = read_whole(functools.partial(iter_process_frames, process), short)
        assert [x.index for x in frames] == [0, 1, 2] and reason is None


def test_a_process_that_dies_is_told_with_the_clip(open_process, tmp_path):
    folder = write_frame_folder(tmp_path / "folder", make_numbered_frames(40))
    process = open_process()
    frames = process.iter_blocks(folder)
    next(frames)
    process._process.kill()
    with pytest.raises(RuntimeError, match=r"folder: the process that decodes it .* status -9"):
        list(frames)


def test_who_waits_for_frames_is_told_to_stop(open_process, tmp_path):
    os.mkfifo(tmp_path / "never.mp4")  # a slow disk, say
    stop = threading.Event()
    process = open_process(stop)
    os.kill(process._process.pid, signal.SIGSTOP)
    threading.Timer(0.2, stop.set).start()
    with pytest.raises(StoppedError):
        list(process.iter_blocks(tmp_path / "never.mp4"))


def test_no_process_outlives_a_kill(tmp_path):
    folder = write_frame_folder(tmp_path / "folder", make_numbered_frames(40))
    code = """
import sys, threading
from pathlib import Path
from extract_features.decode_process import DecodeProcess
from lrcn.common.pixels.frame_selection import ALL_FRAMES
process = DecodeProcess(threading.Event(), image_size=32, selection=ALL_FRAMES)
frames = process.iter_blocks(Path(sys.argv[1]))
next(frames)
print(process._process.pid, flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code, folder],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        pid = int(parent.stdout.readline())
        os.kill(pid, 0)
        parent.kill()
    deadline_sec = time.monotonic() + 30
    while time.monotonic() < deadline_sec and is_alive(pid):
        time.sleep(0.05)
    assert not is_alive(pid)


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("is_closed", [False, True])
def test_a_clip_may_be_left_while_all_ends(open_process, tmp_path, is_closed):
    folder = write_frame_folder(tmp_path / "folder", make_numbered_frames(40))
    stop = threading.Event()
    process = open_process(stop)
    frames = process.iter_blocks(folder)
    next(frames)
    os.kill(process._process.pid, signal.SIGSTOP)
    stop.set()
    if is_closed:
        process.close()
    frames.close()  # without an error, which would be told where nobody can catch it


def test_what_every_process_warns_of_is_said_once(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(decode_process, "_kinds_told", set())
    levels = np.full((32, 32), 300, np.uint16) + np.arange(32, dtype=np.uint16) * 10
    for label in ("a", "b"):
        for number in range(3):
            folder = tmp_path / "data" / label / str(number)
            folder.mkdir(parents=True)
            Image.fromarray(levels).save(folder / "0.png")
    extract(tmp_path / "data", tmp_path / "cache", pipeline_settings=PROCESSES)
    assert caplog.text.count("shades are left") == 1
