"""What an extraction will take is told before."""

import dataclasses
import math
import re
import shutil
from pathlib import Path

import pytest
from commands import SMALL_BACKBONE, run_program
from media import make_numbered_frames, write_frame_folder, write_video
from refusals import refusal
from small_cache import CONTRACT

from extract_features import planning, rates
from extract_features.backbone_settings import BackboneSettings
from extract_features.decode_process import open_decoder
from extract_features.disk_space import (
    CLIP_OVERHEAD_BYTES,
    FrameCount,
    count_frames_of,
    estimate_stored_bytes,
)
from extract_features.given_data import DataSettings
from extract_features.planning import Plan, make_plan
from extract_features.rates import Rates
from extract_features.worklist import DataSources, find_work
from lrcn.common.clip import Clip
from lrcn.common.decode import UnreadableClipError, count_frames, estimate_num_frames
from lrcn.common.frame_selection import FrameSelection

PLAN = re.compile(
    r"clips   (?P<clips>\d+) to extract, (?P<skipped>\d+) already there, (?P<unreadable>\d+) "
    r"unreadable\n"
    r"frames  (?P<frames>\d+)\n"
    r"disk    (?P<needed>[\d.]+) MB needed, (?P<free>[\d.]+) MB free at (?P<folder>.+)\n"
    r"time    \d+:\d\d:\d\d at [\d.]+ frames/s, start-up apart\n"
)


def test_the_plan_of_new_data_leaves_nothing_behind(data, cache_dir, tmp_path):
    (data / "left" / "broken.mp4").write_bytes(b"no video")
    (data / "left" / "gone.mp4").symlink_to(data / "nothing.mp4")
    cache = tmp_path / "new"
    flags = (f"--data={data}", f"--cache_dir={cache}", *SMALL_BACKBONE)
    done = run_program("extract_features.plan", *flags, check=False)
    numbers = PLAN.fullmatch(done.stdout).groupdict()
    assert (numbers["clips"], numbers["skipped"], numbers["unreadable"]) == ("16", "0", "2")
    assert done.returncode == 1
    for name in ("broken", "gone"):
        assert f"unreadable: left/{name}: " in done.stderr
    assert (
        "Clips that an extraction would fail for: 2. Mend or remove them, or go on" in done.stderr
    )
    assert (numbers["frames"], numbers["folder"]) == ("136", str(cache))
    size_mb = sum(x.stat().st_size for x in cache_dir.glob("clips/*/*.h5")) / 1e6
    assert size_mb / 2 - 0.1 < float(numbers["needed"]) < size_mb * 2 + 0.1
    assert list(tmp_path.iterdir()) == [data]


def test_a_plan_beside_a_gpu_has_processes_decode(data, monkeypatch):
    (data / "left" / "broken.mp4").write_bytes(b"no video")
    used = []
    monkeypatch.setattr(rates, "has_gpu", lambda: True)
    monkeypatch.setattr(
        rates, "open_decoder", lambda *x, **y: used.append(y) or open_decoder(*x, **y)
    )
    settings = BackboneSettings(weights="random", image_size=32, compute_dtype="float32")
    plan = make_plan(
        DataSettings(data=data), settings, cache_dir=None, batch_size=16, compression="gzip"
    )
    assert used and all(x["in_process"] for x in used)
    assert plan.frames == 136 and plan.expected_sec > 0


def test_the_plan_counts_what_is_missing_and_selected(clips_dir, cache_dir, tmp_path):
    def plan_here(data, cache_dir, *, batch_size=16, skip_unreadable=False, **settings):
        return make_plan(
            DataSettings(data=data, skip_unreadable=skip_unreadable),
            BackboneSettings(weights="random", image_size=32, compute_dtype="float32", **settings),
            cache_dir=cache_dir,
            batch_size=batch_size,
            compression="gzip",
        )

    found = plan_here(clips_dir, cache_dir)
    assert (found.clips, found.skipped, found.frames, found.needed_bytes) == (0, 16, 0, 0)
    assert not found.has_failures
    with pytest.raises(ValueError, match="made with frame_selection=all, but this command needs"):
        plan_here(clips_dir, cache_dir, selection=FrameSelection(max_frames=4))
    data = shutil.copytree(clips_dir, tmp_path / "data")
    (data / "left" / "clip_7.mp4").write_bytes(b"no video")
    found = plan_here(data, None, selection=FrameSelection(frame_stride=2, max_frames=4))
    assert (found.clips, found.skipped, found.folder) == (15, 0, Path.cwd())
    # 5 to 12 frames: every second leaves 3 to 6, of which 4 at most are taken.
    expected = [min(4, math.ceil(n / 2)) for n in range(5, 13)]
    assert found.frames == 2 * sum(expected) - expected[-1]
    ((clip, reason),) = found.unreadable
    assert clip.clip_id == "left/clip_7"
    assert reason.startswith(f"{data}/left/clip_7.mp4: expected a video, received: ")
    assert found.expected_sec > 0 and found.needed_bytes > 0
    assert found.has_failures
    for path in data.glob("*/clip_[2-6]"):
        shutil.rmtree(path)
    # So few that the broken one is tried as well, and a batch that is far from full.
    settings = {"batch_size": 64, "skip_unreadable": True, "selection": FrameSelection(fps=5)}
    found = plan_here(data, None, **settings)
    assert not found.has_failures
    assert (found.clips, len(found.unreadable)) == (1, 5)  # folders have no times
    # Of the video's 12 frames, half.
    size_bytes = (cache_dir / "clips" / "right" / "clip_7.h5").stat().st_size
    expected_bytes = (size_bytes + CLIP_OVERHEAD_BYTES) / 2
    assert found.needed_bytes == pytest.approx(expected_bytes, rel=0.15)


def test_a_plan_without_any_clip_that_can_be_read_fails_also_where_they_are_skipped(tmp_path):
    for label in ("left", "right"):
        (tmp_path / label).mkdir()
        for i in range(3):
            (tmp_path / label / f"{i}.mp4").write_bytes(b"no video")
    flags = (f"--data={tmp_path}", "--skip_unreadable", *SMALL_BACKBONE)
    done = run_program("extract_features.plan", *flags, check=False)
    assert done.returncode == 1 and "Mend or remove them\n" in done.stderr


def plan_as_the_cache_is(data, cache_dir):
    return make_plan(
        DataSettings(data=data),
        BackboneSettings(),
        cache_dir=cache_dir,
        batch_size=16,
        compression="gzip",
    )


def test_a_plan_of_nothing_needs_no_weights(clips_dir, cache_copy):
    path = cache_copy / "cache.json"
    path.write_text(path.read_text().replace('"weights": "random"', '"weights": "/gone.h5"'))
    found = plan_as_the_cache_is(clips_dir, cache_copy)
    assert (found.clips, found.skipped, found.expected_sec) == (0, 16, 0)
    (cache_copy / "clips" / "left" / "clip_0.h5").unlink()
    with refusal("/gone.h5: expected a VGG16 weights file", FileNotFoundError):
        plan_as_the_cache_is(clips_dir, cache_copy)


def test_other_data_is_not_planned_for_a_cache(data, cache_dir, clips_dir):
    assert plan_as_the_cache_is(data, cache_dir).skipped == 16
    for frame in data.glob("*/*/0.png"):
        frame.write_bytes(frame.read_bytes() + b" ")
    with refusal(f"{cache_dir}: holds features of {clips_dir}. Expected the same clips in {data}"):
        plan_as_the_cache_is(data, cache_dir)
    for source in data.glob("*/*"):
        source.rename(source.with_name(f"other_{source.name}"))
    with refusal(f"{cache_dir}: holds other data ({clips_dir}; none of its clips is in --data)"):
        plan_as_the_cache_is(data, cache_dir)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.ts", "a.h264", "a.gif"])
def test_the_frames_of_a_video_are_known_without_decoding_it(tmp_path, name):
    pixel_format = {"pix_fmt": "rgb8", "codec": "gif"} if name.endswith("gif") else {}
    frames = make_numbered_frames(30)
    path = write_video(tmp_path / name, [frames[i % 30] for i in range(60)], fps=20, **pixel_format)
    num_frames, rate_fps = estimate_num_frames(path)
    assert num_frames == pytest.approx(count_frames(path), rel=0.25)
    if name != "a.h264":  # which states no rate
        assert rate_fps == pytest.approx(20, rel=0.05)
        span = {"start_sec": 0.5, "end_sec": 1.5}
        assert estimate_num_frames(path, **span)[0] == pytest.approx(20, abs=2)


@pytest.mark.parametrize(("name", "codec"), [("a.mkv", "libx264"), ("a.flv", "flv1")])
def test_a_rate_that_is_stated_far_too_high_is_not_believed(tmp_path, name, codec):
    # As of a recorded screen, whose header states the unit of its times.
    pts = [40 * i for i in range(30)]
    path = write_video(tmp_path / name, make_numbered_frames(30), fps=1000, pts=pts, codec=codec)
    num_frames, rate_fps = estimate_num_frames(path)
    assert (num_frames, rate_fps) == (pytest.approx(30, abs=1), pytest.approx(25, rel=0.1))


def test_a_span_that_ends_behind_its_video_is_estimated_to_have_what_there_is(tmp_path):
    path = write_video(tmp_path / "a.mp4", make_numbered_frames(30), fps=10)
    assert estimate_num_frames(path, start_sec=2.0, end_sec=600.0) == (10, 10)
    assert estimate_num_frames(path, start_sec=600.0) == (1, 10)


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
    (tmp_path / "b.mp4").touch()

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


def test_a_plan_of_hours_says_what_fewer_frames_would_take(tmp_path, monkeypatch):
    for label in ("left", "right"):
        write_video(tmp_path / "data" / label / "clip.mp4", make_numbered_frames(100))

    def measure(*_args, **_settings):
        return Rates(decode_sec=0.1, forward_sec=30.0, write_sec=0.0, stored_bytes=1.0)

    def plan_here(**settings):
        return make_plan(
            DataSettings(data=tmp_path / "data", val_fraction=0, test_fraction=0),
            BackboneSettings(weights="random", image_size=32, compute_dtype="float32", **settings),
            cache_dir=None,
            batch_size=16,
            compression="gzip",
        )

    monkeypatch.setattr(planning, "measure_rates", measure)
    # For fewer frames, a video is decoded twice.
    plan = plan_here()
    assert (plan.expected_sec, plan.short_sec) == (2 * 100 * 30.1, 2 * (32 * 30 + 200 * 0.1))
    assert str(plan).endswith(
        "time    1:40:20 at 0.0 frames/s, start-up apart\n"
        "        0:32:40 with --max_frames=32: as many of each clip, evenly spaced"
    )
    assert plan_here(selection=FrameSelection(frame_stride=2)).short_sec is None  # not an hour


def test_the_time_of_a_plan_is_that_of_what_is_slowest_and_told_in_hours(tmp_path):
    count = FrameCount(1, frames=100, decoded=200, unreadable=[])
    measured = Rates(decode_sec=0.4, forward_sec=1.0, write_sec=0.2, stored_bytes=0.0)
    assert measured.estimate_sec(count, on_gpu=False) == pytest.approx(100 * 1.0 + 80 + 20)
    # A GPU computes while the cores decode and write.
    assert measured.estimate_sec(count, on_gpu=True) == pytest.approx(100)
    measured = dataclasses.replace(measured, write_sec=8.0)
    assert measured.estimate_sec(count, on_gpu=True) == pytest.approx(80 + 800)
    plan = Plan(1, 2, [], False, tmp_path, 7450, 1_500_000, 2_600_000, expected_sec=3725.2)
    assert str(plan) == (
        "clips   1 to extract, 2 already there, 0 unreadable\n"
        "frames  7450\n"
        f"disk    1.5 MB needed, 2.6 MB free at {tmp_path}\n"
        "time    1:02:05 at 2.0 frames/s, start-up apart"
    )


def test_a_disk_that_does_not_tell_its_size_has_an_unknown_number_of_bytes():
    counts = {"clips": 1, "skipped": 0, "unreadable": [], "skip_unreadable": False}
    plan = Plan(**counts, folder=Path("cache"), needed_bytes=2_500_000, free_bytes=math.inf)
    assert "\ndisk    2.5 MB needed, ? MB free at cache\n" in str(plan)
