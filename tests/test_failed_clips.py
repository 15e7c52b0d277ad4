"""Clips that fail: they are listed with the reason, may be skipped, and hold up no other."""

import dataclasses
import os
import shutil

import pytest
from commands import read_rows, run_program
from made_clips import make_clips
from media import write_video
from refusals import refusal
from small_extraction import NUM_CLIPS, SMALL_PIPELINE, extract, snapshot_clips
from small_vgg16 import build_keras_vgg16
from video_data import cut, make_noise

from extract_features.backbone_settings import BackboneSettings
from extract_features.clip_list import leave_out_clips, read_failures, write_failures
from extract_features.summary import ExtractionResult, Summary, report_summary
from extract_features.verification import iter_findings
from lrcn.common.cache.cache_lock import Shard
from lrcn.common.cache.open_cache import read_cache
from lrcn.common.clips.clip import Clip
from lrcn.common.clips.manifest import read_manifest
from train_head.run.reproduction import make_extraction_command


def test_overflow_is_a_failure_of_the_clip(data, tmp_path):
    # Nor is a video that breaks off kept up to there.
    options = {"movflags": "faststart"}
    cut(write_video(data / "left" / "cut.mp4", make_noise(20), container_options=options), 0.5)
    path = tmp_path / "vgg16.weights.h5"
    vgg16 = build_keras_vgg16()
    kernel = vgg16.get_layer("block5_conv3").kernel
    kernel.assign(kernel * 1e6)
    vgg16.save_weights(path)
    settings = BackboneSettings(weights=str(path), image_size=32, compute_dtype="float32")
    pipeline_settings = dataclasses.replace(SMALL_PIPELINE, keep_partial=True)
    summary = extract(data, tmp_path / "cache", settings, pipeline_settings)
    path.unlink()
    assert summary.result.clips_done == 0 and len(summary.result.failures) == NUM_CLIPS + 1
    for clip, reason in summary.result.failures:
        assert reason.startswith(f"{clip.clip_id}: a feature of the frames ")
        assert "is not finite in float16" in reason
    assert snapshot_clips(tmp_path / "cache") == {}
    assert not list((tmp_path / "cache").rglob("*.tmp"))


def test_where_no_frame_came_nothing_is_said_of_speed(tmp_path, caplog):
    result = ExtractionResult(
        failures=[(Clip("a", "a.mp4", "walk"), "no video")], elapsed_sec=0.01, forward_wait_sec=0.01
    )
    with caplog.at_level("INFO", logger="absl"):
        report_summary(Summary(result, 30, elapsed_sec=3, skip_unreadable=True), tmp_path)
    assert caplog.messages == [
        "0 clips done, 30 skipped (already there), 1 failed",
        "failed: a: no video",
        f"Failed clips: 1, all listed in {tmp_path}/failures.csv",
    ]


@pytest.mark.parametrize(
    ("num_skipped", "told"),
    [
        (1, "Mend or remove them and run again"),
        (0, "them, or name where they are now (--data, of a manifest --data_root), and run again"),
    ],
)
def test_where_every_clip_fails_they_may_have_moved(tmp_path, caplog, num_skipped, told):
    result = ExtractionResult(failures=[(Clip("a", "a.mp4", "walk"), "gone")])
    report_summary(Summary(result, num_skipped, elapsed_sec=3, skip_unreadable=False), tmp_path)
    assert told in caplog.messages[-1]
    # Without a clip that can be read, there is nothing to go on with.
    assert ("--skip_unreadable" in caplog.messages[-1]) == bool(num_skipped)


def test_unreadable_clips_are_listed_and_may_be_skipped(data, cache_copy):
    frame = data / "left" / "clip_3" / "5.png"
    content = frame.read_bytes()
    frame.write_bytes(content[:60])
    flags = (f"--data={data}", f"--cache_dir={cache_copy}")
    # What the cache had of it before it was damaged is not what the clip is now.
    done = run_program("extract_features", *flags, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert not (cache_copy / "clips" / "left" / "clip_3.h5").exists()
    assert "0 clips done, 15 skipped (already there), 1 failed" in done.stderr
    reason = f"{frame} (frame 5): "
    assert f"failed: left/clip_3: {reason}" in done.stderr
    assert f"Failed clips: 1, all listed in {cache_copy}/failures.csv" in done.stderr
    assert "Mend or remove them and run again, or go on without: --skip_unreadable" in done.stderr
    (row,) = read_rows(cache_copy / "failures.csv")
    assert (row["clip_id"], row["path"]) == ("left/clip_3", "left/clip_3")
    assert row["reason"].startswith(reason)
    assert len(read_manifest(cache_copy / "manifest.csv")) == NUM_CLIPS

    summary = extract(data, cache_copy, skip_unreadable=True)
    assert len(summary.result.failures) == 1
    left = {clip.clip_id for clip in read_manifest(cache_copy / "manifest.csv")}
    assert len(left) == NUM_CLIPS - 1 and "left/clip_3" not in left

    frame.write_bytes(content)
    summary = extract(data, cache_copy)
    assert (summary.result.clips_done, summary.skipped) == (1, NUM_CLIPS - 1)
    assert not (cache_copy / "failures.csv").exists()
    assert len(read_manifest(cache_copy / "manifest.csv")) == NUM_CLIPS


def test_a_split_that_is_left_without_a_class_is_told_of(data, cache_copy, caplog):
    clips = read_manifest(cache_copy / "manifest.csv")
    left = [x for x in clips if (x.label, x.split) == ("left", "test")]
    for clip in left:
        path = data / clip.path
        (path if path.is_file() else path / "0.png").write_bytes(b"")
    extract(data, cache_copy, skip_unreadable=True)
    assert {x.label for x in read_manifest(cache_copy / "manifest.csv") if x.split == "test"} == {
        "right"
    }
    assert caplog.messages[-1] == (
        "Without the clips that are left out, classes have no clip of a split: 'left' (test). Mend "
        "some of these clips, or give or draw other splits (--seed)"
    )


def test_a_split_that_a_class_never_had_is_not_told_of(cache, caplog):
    train = make_clips("walk", 2, split="train") + make_clips("run", 2, split="train")
    test = make_clips("run", 1, split="test")
    leave_out_clips(cache, train + test, {train[0].clip_id}, [])
    assert not caplog.messages and read_manifest(cache.manifest_path) == train[1:] + test
    leave_out_clips(cache, train + test, {test[0].clip_id}, [])
    (told,) = caplog.messages
    assert "classes have no clip of a split: 'run' (test). Mend" in told


def test_failures_are_listed_in_the_order_of_their_names_with_those_of_others(cache):
    failures = [(Clip(x, f"{x}.mp4", "walk"), f"no {x}") for x in ("a/10", "b/1", "a/2")]
    assert write_failures(cache, failures, kept_clip_ids=set()) == {"a/10", "b/1", "a/2"}
    assert [*read_failures(cache).items()] == [(x, f"no {x}") for x in ("a/2", "a/10", "b/1")]
    assert write_failures(cache, failures[:1], kept_clip_ids={"b/1"}) == {"a/10", "b/1"}
    assert [*read_failures(cache)] == ["a/10", "b/1"]
    assert write_failures(cache, [], kept_clip_ids=set()) == set() and not read_failures(cache)


def test_a_list_of_failures_that_a_spreadsheet_saved_is_read_and_another_refused(cache_copy):
    cache, path = read_cache(cache_copy), cache_copy / "failures.csv"
    path.write_text("\ufeffclip_id;path;reason\r\nleft/clip_3;left/clip_3;kept 2, of 8\r\n")
    assert read_failures(cache) == {"left/clip_3": "kept 2, of 8"}
    assert "--keep_partial" not in make_extraction_command(cache, cache_dir="new")
    assert not list(iter_findings(cache))
    for content, text in (
        (b"left/clip_3;kept 2\r\n", "expected the columns clip_id,path,reason. Received: 'left/c"),
        (b"", "Received: ''. Delete it: the same extract_features (or import_features) command"),
        (b"clip_id,path,reason\n\xff,,\n", "expected UTF-8 text, received byte 0xff. Save"),
    ):
        path.write_bytes(content)
        with refusal(text):
            list(iter_findings(cache))
        with refusal(text):
            make_extraction_command(cache, cache_dir="new")


def test_skipping_what_is_unreadable_keeps_cached_clips_whose_sources_are_away(data, cache_copy):
    flags = (f"--cache_dir={cache_copy}",)
    damaged = data / "left" / "clip_3" / "5.png"
    damaged.write_bytes(b"no picture")
    extract(data, cache_copy, skip_unreadable=True)
    manifest = read_manifest(cache_copy / "manifest.csv")
    listed = data / "clips.csv"
    shutil.copy(cache_copy / "manifest.csv", listed)
    (data / "right").rename(data.parent / "elsewhere")
    (data / "left" / "clip_1" / os.fsdecode(b"\xff3.png")).write_bytes(b"")  # there, unreadable
    (data / "left" / "clip_2").rename(data.parent / "clip_2")
    (cache_copy / "clips" / "left" / "clip_2.h5").unlink()
    shutil.rmtree(data / "left" / "clip_4")
    (data / "left" / "clip_4").mkdir()  # there, without a frame
    done = run_program(
        "extract_features", f"--data={listed}", *flags
    )  # the cache remembers the rest
    assert "0 clips done, 4 skipped (already there), 11 failed" in done.stderr
    gone = {"left/clip_1", "left/clip_2", "left/clip_4"}
    assert read_manifest(cache_copy / "manifest.csv") == [
        clip for clip in manifest if clip.clip_id not in gone
    ]
    extra = [str(x) for x in iter_findings(read_cache(cache_copy)) if x.kind == "extra"]
    assert len(extra) == 1 and f"{cache_copy}/failures.csv says why it is left out" in extra[0]
    (data / "right").touch()  # in place of their folder
    for index in range(2):  # and each shard tells alike of what is not its own
        extract(listed, cache_copy, shard=Shard(index, 2))
        assert len(read_manifest(cache_copy / "manifest.csv")) == len(manifest) - 3
    of_right = cache_copy / "clips" / "right"
    shutil.copy(of_right / "clip_0.h5", of_right / "clip_1.h5")  # the features of another clip
    extract(listed, cache_copy)
    assert len(read_manifest(cache_copy / "manifest.csv")) == len(manifest) - 4


def test_where_no_source_is_a_clip_it_is_said_before_vgg16_is_built(clips_dir, tmp_path):
    for label in ("left", "right"):  # folders of subjects, one level too many
        shutil.copytree(clips_dir / label, tmp_path / "data" / label / "subject")
    flags = (f"--data={tmp_path}/data", f"--cache_dir={tmp_path}/cache", "--weights=missing.h5")
    done = run_program("extract_features", *flags, "--test_fraction=0", check=False)
    assert done.returncode == 1
    text = "data: expected a clip that can be read. Received 2 that cannot, such as left/subject: "
    assert f"error: {tmp_path}/{text}{tmp_path}/data/left/subject: " in done.stderr
    assert not (tmp_path / "cache").exists()


def test_where_no_clip_can_be_read_skipping_them_is_an_error(data, tmp_path):
    for path in data.glob("*/*/*.png"):
        path.write_bytes(b"none")
    for path in data.glob("*/*.mp4"):
        path.write_bytes(b"none")
    with refusal(
        f"{tmp_path}/cache: expected a clip that can be read. Received 16 that cannot, such as "
    ) as caught:
        extract(data, tmp_path / "cache", skip_unreadable=True)
    assert str(caught.value).count(", such as ") == 1
    # A shard without clips has no reason of its own.
    with refusal("Received 16 that cannot\nMend them, or name the folder that they are in."):
        extract(data, tmp_path / "cache", skip_unreadable=True, shard=Shard(0, 1000))
    assert len(read_rows(tmp_path / "cache" / "failures.csv")) == NUM_CLIPS
    assert len(read_manifest(tmp_path / "cache" / "manifest.csv")) == NUM_CLIPS
