"""Stage 1 from clips to cache: every frame is there, and right."""

import dataclasses
import os
import sys

import h5py
import numpy as np
import pytest
from small_cache import list_files
from small_extraction import (
    NUM_CLIPS,
    SMALL_PIPELINE,
    assert_same_features,
    extract,
    read_all,
    snapshot_clips,
)
from small_vgg16 import FLOAT16_TOLERANCE, build_keras_vgg16, build_vgg16
from video_data import make_noise, write_motion_jpeg

from extract_features.backbone_settings import BackboneSettings
from lrcn.common.cache.open_cache import read_cache
from lrcn.common.clips.clip import Clip
from lrcn.common.clips.manifest import read_class_names, read_manifest, write_manifest
from lrcn.common.pixels import video_pixels
from lrcn.common.pixels.decode import iter_frames
from lrcn.common.programs import progress
from lrcn.common.vgg16 import backbone

NUM_FRAMES = 136


def test_the_cache_holds_what_its_manifest_lists(cache_dir, clips_dir):
    cache = read_cache(cache_dir)
    clips = read_manifest(cache.manifest_path)
    expected = {f"{label}/clip_{i}" for label in ("left", "right") for i in range(8)}
    assert {clip.clip_id for clip in clips} == expected
    assert {f"{clip.clip_id}.h5" for clip in clips} == set(snapshot_clips(cache_dir))
    assert {clip.split for clip in clips} == {"train", "val", "test"}
    assert read_class_names(cache.classes_path) == ["left", "right"]
    assert cache.data_root == str(clips_dir.resolve())
    assert {name for name in list_files(cache_dir) if not name.startswith("clips/")} == {
        ".lock",
        "cache.json",
        "classes.txt",
        "manifest.csv",
    }
    contract = cache.contract
    assert (contract.backbone, contract.cut, contract.weights) == (
        "vgg16",
        "block5_pool",
        "random",
    )
    assert (contract.image_size_px, contract.feature_shape) == (32, (1, 1, 512))
    assert (contract.compute_dtype, contract.storage_dtype) == ("float32", "float16")


def test_every_frame_is_there_with_its_number_and_time(cache_dir):
    for clip_id, features in read_all(cache_dir).items():
        num_frames = 5 + int(clip_id[-1])
        assert features.feature_maps.shape == (num_frames, 1, 1, 512)
        assert features.frame_index.tolist() == list(range(num_frames))
        if clip_id.endswith("clip_7"):  # the videos, at 10 frames a second
            np.testing.assert_allclose(features.timestamp_sec, 0.1 * np.arange(num_frames))
        else:
            assert np.isnan(features.timestamp_sec).all()


def test_batches_that_span_clips_give_what_each_clip_gives_alone(cache_dir, clips_dir):
    bottom = backbone.build_bottom(build_vgg16(), "block5_pool")
    cache = read_cache(cache_dir)
    for clip in read_manifest(cache.manifest_path):
        frames = list(iter_frames(clips_dir / clip.path, image_size=32))
        expected = np.asarray(bottom(np.stack([frame.pixels for frame in frames])))
        np.testing.assert_allclose(
            cache.read_clip(clip.clip_id).feature_maps,
            expected,
            rtol=FLOAT16_TOLERANCE,
            atol=1e-4 * expected.max(),
            err_msg=clip.clip_id,
        )


def test_the_number_of_threads_changes_nothing(cache_dir, clips_dir, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)
    monkeypatch.setattr(progress, "_PLAIN_INTERVAL_SEC", 0.0)
    caplog.set_level("INFO", logger="absl")
    # One is in `test_extract_resume.py`.
    threads = dataclasses.replace(SMALL_PIPELINE, num_decode_threads=4)
    summary = extract(clips_dir, tmp_path / "new", pipeline_settings=threads)
    assert (summary.result.clips_done, summary.result.frames) == (NUM_CLIPS, NUM_FRAMES)
    assert_same_features(tmp_path / "new", cache_dir)
    assert "16 of 16 clips to extract" in caplog.text and "16 of 16 clips, " in caplog.messages[-1]
    written = [path.stat().st_size for path in (tmp_path / "new" / "clips").rglob("*.h5")]
    assert summary.result.size_bytes == sum(written)


def test_a_clip_may_be_a_time_span(cache_dir, clips_dir, tmp_path):
    clips = [
        Clip("start", "left/clip_7.mp4", "left", "train", end_sec=0.35),
        Clip("middle", "right/clip_7.mp4", "right", "train", start_sec=0.3, end_sec=0.8),
        Clip("whole", "right/clip_6", "right", "train"),
    ]
    write_manifest(tmp_path / "spans.csv", clips)
    extract(tmp_path / "spans.csv", tmp_path / "new", data_root=clips_dir, val_fraction=0)
    whole, spans = read_cache(cache_dir), read_all(tmp_path / "new")
    for clip_id, source, rows in (
        ("start", "left/clip_7", slice(0, 4)),
        ("middle", "right/clip_7", slice(3, 8)),
    ):
        expected = whole.read_clip(source)
        np.testing.assert_array_equal(spans[clip_id].timestamp_sec, expected.timestamp_sec[rows])
        np.testing.assert_array_equal(spans[clip_id].feature_maps, expected.feature_maps[rows])
        assert spans[clip_id].frame_index.tolist() == list(range(rows.stop - rows.start))
    # In other words, caches of earlier versions would no longer be those of their clips.
    for clip_id, text in (("start", b":0.35"), ("middle", b"0.3:0.8"), ("whole", b"")):
        with h5py.File(tmp_path / "new" / "clips" / f"{clip_id}.h5") as file:
            assert file.attrs["source_span"] == text

    write_manifest(
        tmp_path / "spans.csv", [dataclasses.replace(clips[0], end_sec=0.25), *clips[1:]]
    )
    summary = extract(tmp_path / "spans.csv", tmp_path / "new")  # the cache remembers the rest
    assert (summary.result.clips_done, summary.skipped) == (1, 2)
    assert read_cache(tmp_path / "new").count_frames("start") == 3


def test_an_empty_group_regex_takes_back_what_the_cache_remembers(clips_dir, cache_copy):
    def extract_groups(group_regex):
        extract(clips_dir, cache_copy, group_regex=group_regex)
        return {clip.group for clip in read_manifest(cache_copy / "manifest.csv")}

    numbered = {f"clip_{i}" for i in range(NUM_CLIPS // 2)}
    assert extract_groups("clip_[0-9]") == numbered
    assert extract_groups(None) == numbered
    assert extract_groups("") == {""}
    assert extract_groups(None) == {""}


def test_weights_from_a_file_are_known_by_what_they_are(clips_dir, cache_copy, tmp_path):
    before = snapshot_clips(cache_copy)
    path = tmp_path / "vgg16.weights.h5"
    vgg16 = build_keras_vgg16()
    settings = BackboneSettings(weights=os.path.relpath(path))
    for _ in range(2):
        vgg16.save_weights(path)
        assert extract(clips_dir, cache_copy, settings).skipped == NUM_CLIPS
    assert snapshot_clips(cache_copy) == before
    kernel = vgg16.get_layer("block1_conv1").kernel
    kernel.assign(kernel * 1.01)
    vgg16.save_weights(path)
    # The file of the same name holds others now.
    for weights in (settings.weights, str(path)):
        with pytest.raises(ValueError, match=r"made with weights_sha256=7c92030ee7de\.\.\., but"):
            extract(clips_dir, cache_copy, BackboneSettings(weights=weights))
    path.unlink()


def test_an_error_that_nobody_foresaw_names_the_clip(data, tmp_path, caplog, monkeypatch):
    # As PyAV is by itself.
    monkeypatch.delattr(video_pixels.sidedata.Type, "_missing_")
    path = write_motion_jpeg(data / "left" / "odd.avi", make_noise(1)[0], orientation=1)
    with pytest.raises(ValueError, match="is not a valid Type"):
        extract(data, tmp_path / "cache")
    assert f"{path}: the error that ends the extraction came up here" in caplog.messages
