"""What an extraction will take is told before."""

import dataclasses
import math
import re
import shutil
from pathlib import Path

import pytest
from commands import SMALL_BACKBONE, run_program
from media import make_numbered_frames, write_video
from refusals import refusal
from small_extraction import SMALL_SETTINGS

from extract_features import planning, rates
from extract_features.backbone_settings import BackboneSettings
from extract_features.decode_process import open_decoder
from extract_features.disk_space import (
    CLIP_OVERHEAD_BYTES,
    FrameCount,
)
from extract_features.given_data import DataSettings
from extract_features.planning import Plan, make_plan
from extract_features.rates import Rates
from lrcn.common.cache.open_cache import create_cache, read_cache
from lrcn.common.pixels.frame_selection import FrameSelection

PLAN = re.compile(
    r"clips   (?P<clips>\d+) to extract, (?P<skipped>\d+) already there, (?P<unreadable>\d+) "
    r"unreadable\n"
    r"frames  (?P<frames>\d+)\n"
    r"disk    (?P<needed>[\d.]+) MB needed, (?P<free>[\d.,]+) MB free at (?P<folder>.+)\n"
    r"time    \d+:\d\d:\d\d at [\d.]+ frames/s, start-up apart\n"
)


def plan(data, cache_dir=None, settings=SMALL_SETTINGS, *, batch_size=16, given=None, **selection):
    """Plans in this process what a `FrameSelection` of such fields keeps of what is given."""
    return make_plan(
        DataSettings(data=data, **(given or {})),
        dataclasses.replace(settings, selection=FrameSelection(**selection)),
        cache_dir=cache_dir,
        batch_size=batch_size,
        compression="gzip",
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
    found = plan(data)
    assert used and all(x["in_process"] for x in used)
    assert found.frames == 136 and found.expected_sec > 0


def test_the_plan_counts_what_is_missing_and_selected(clips_dir, cache_dir, tmp_path):
    found = plan(clips_dir, cache_dir)
    assert (found.clips, found.skipped, found.frames, found.needed_bytes) == (0, 16, 0, 0)
    assert str(found).endswith("\ntime    0:00:00"), "no rate, as none was measured"
    assert not found.has_failures
    with pytest.raises(ValueError, match="made with frame_selection=all, but this command needs"):
        plan(clips_dir, cache_dir, max_frames=4)
    data = shutil.copytree(clips_dir, tmp_path / "data")
    (data / "left" / "clip_7.mp4").write_bytes(b"no video")
    found = plan(data, frame_stride=2, max_frames=4)
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
    found = plan(data, batch_size=64, given={"skip_unreadable": True}, fps=5)
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
    assert plan(tmp_path, given={"skip_unreadable": True}).has_failures
    done = run_program("extract_features.plan", f"--data={tmp_path}", *SMALL_BACKBONE, check=False)
    assert done.returncode == 1 and "would fail for: 6. Mend or remove them\n" in done.stderr


def test_a_plan_of_nothing_needs_no_weights(clips_dir, cache_copy):
    path = cache_copy / "cache.json"
    path.write_text(path.read_text().replace('"weights": "random"', '"weights": "/gone.h5"'))
    as_the_cache_is = BackboneSettings()
    found = plan(clips_dir, cache_copy, as_the_cache_is)
    assert (found.clips, found.skipped, found.expected_sec) == (0, 16, 0)
    (cache_copy / "clips" / "left" / "clip_0.h5").unlink()
    with refusal("/gone.h5: expected a VGG16 weights file", FileNotFoundError):
        plan(clips_dir, cache_copy, as_the_cache_is)


def test_other_data_is_not_planned_for_a_cache(data, cache_dir, clips_dir):
    assert plan(data, cache_dir).skipped == 16
    for frame in data.glob("*/*/0.png"):
        frame.write_bytes(frame.read_bytes() + b" ")
    with refusal(f"{cache_dir}: holds features of {clips_dir}. Expected the same clips in {data}"):
        plan(data, cache_dir)
    for source in data.glob("*/*"):
        source.rename(source.with_name(f"other_{source.name}"))
    with refusal(f"{cache_dir}: holds other data ({clips_dir}; none of its clips is in --data)"):
        plan(data, cache_dir)


def test_a_plan_whose_clips_give_no_frame_knows_neither_size_nor_time(tmp_path):
    """As after an extraction that has left these alone."""
    for label in ("left", "right"):
        path = write_video(tmp_path / "data" / label / "clip.mp4", make_numbered_frames(5))
        content = path.read_bytes()
        start = content.index(b"mdat") + 4
        path.write_bytes(content[:start] + bytes(200) + content[start + 200 :])
    found = plan(tmp_path / "data", given={"val_fraction": 0, "test_fraction": 0})
    _, frames, disk, time = str(found).splitlines()
    assert frames == "frames  10" and disk.startswith("disk    ? MB needed, ")
    assert time == "time    ? as no frame could be read of the clips that were tried"


def test_a_plan_of_hours_says_what_fewer_frames_would_take(cache_dir, tmp_path, monkeypatch):
    for label in ("left", "right"):
        write_video(tmp_path / "data" / label / "clip.mp4", make_numbered_frames(100))

    def measure(*_args, **_settings):
        return Rates(decode_sec=0.1, forward_sec=30.0, write_sec=0.0, stored_bytes=1.0)

    monkeypatch.setattr(planning, "measure_rates", measure)
    given = {"val_fraction": 0, "test_fraction": 0}
    # For fewer frames, a video is decoded twice.
    found = plan(tmp_path / "data", given=given)
    assert (found.expected_sec, found.short_sec) == (2 * 100 * 30.1, 2 * (32 * 30 + 200 * 0.1))
    assert str(found).endswith(
        "time    1:40:20 at 0.0 frames/s, start-up apart\n"
        "        0:32:40 with --max_frames=32: as many of each clip, evenly spaced"
    )
    assert plan(tmp_path / "data", given=given, frame_stride=2).short_sec is None  # not an hour
    assert plan(tmp_path / "data", given=given, max_frames=60).short_sec is None  # hardly less
    # A cache that is there takes no other frames.
    contract = read_cache(cache_dir).contract
    create_cache(tmp_path / "cache", contract=contract, data_root=tmp_path / "data")
    more = plan(tmp_path / "data", tmp_path / "cache", given=given)
    assert (more.expected_sec, more.short_sec) == (found.expected_sec, None)


def test_the_time_of_a_plan_is_that_of_what_is_slowest_and_told_in_hours(tmp_path):
    count = FrameCount(1, frames=100, decoded=200, unreadable=[])
    measured = Rates(decode_sec=0.4, forward_sec=1.0, write_sec=0.2, stored_bytes=0.0)
    assert measured.estimate_sec(count, on_gpu=False) == pytest.approx(100 * 1.0 + 80 + 20)
    # A GPU computes while the cores decode and write.
    assert measured.estimate_sec(count, on_gpu=True) == pytest.approx(100)
    measured = dataclasses.replace(measured, write_sec=8.0)
    assert measured.estimate_sec(count, on_gpu=True) == pytest.approx(80 + 800)
    found = Plan(1, 2, [], False, tmp_path, 7450, 1_500_000, 2_600_000, expected_sec=3725.2)
    assert str(found) == (
        "clips   1 to extract, 2 already there, 0 unreadable\n"
        "frames  7,450\n"
        f"disk    1.5 MB needed, 2.6 MB free at {tmp_path}\n"
        "time    1:02:05 at 2.0 frames/s, start-up apart"
    )


def test_a_disk_that_does_not_tell_its_size_has_an_unknown_number_of_bytes():
    counts = {"clips": 1, "skipped": 0, "unreadable": [], "skip_unreadable": False}
    found = Plan(**counts, folder=Path("cache"), needed_bytes=2_500_000, free_bytes=math.inf)
    assert "\ndisk    2.5 MB needed, ? MB free at cache\n" in str(found)
