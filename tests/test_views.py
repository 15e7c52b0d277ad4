"""Several views of a frame: what they show, and what stage 1 makes of them."""

import dataclasses
import shutil

import h5py
import numpy as np
import pytest
import small_extraction
from commands import SMALL_HEAD, read_clip_rows, read_rows, run_program
from media import write_frame_folder
from PIL import Image, ImageOps
from small_extraction import SMALL_PIPELINE, SMALL_SETTINGS
from small_vgg16 import FLOAT16_TOLERANCE

from extract_features.disk_space import CLIP_OVERHEAD_BYTES
from extract_features.given_data import DataSettings
from extract_features.planning import make_plan
from extract_features.verification import iter_findings
from lrcn.common.cache.open_cache import read_cache
from lrcn.common.cache.run_dir import RunDir, read_json
from lrcn.common.clips.clip import Clip
from lrcn.common.clips.manifest import read_manifest
from lrcn.common.pixels.frame import resize_picture
from lrcn.common.pixels.views import VIEWS
from train_head.predictions.clip_pictures import read_pictures
from train_head.scores.evaluation import evaluate_run

NUM_CLIPS = 5  # a class


@pytest.mark.parametrize("image_size", [32, 33, 224])
@pytest.mark.parametrize(
    ("name", "num_crops", "mirrored"),
    [("one", 0, False), ("flip", 0, True), ("five_crop", 5, False), ("ten_crop", 5, True)],
)
def test_views_are_the_crops_and_mirror_images_of_pillow(name, num_crops, mirrored, image_size):
    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    picture = Image.fromarray(pixels)
    views = VIEWS[name]
    expected = [picture.resize((image_size, image_size), Image.Resampling.BILINEAR)]
    if num_crops:
        side = {32: 37, 33: 38, 224: 256}[image_size]
        square = picture.resize((side, side), Image.Resampling.BILINEAR)
        far, middle = side - image_size, (side - image_size) // 2
        corners = [(middle, middle), (0, 0), (far, 0), (0, far), (far, far)]
        expected = [square.crop((x, y, x + image_size, y + image_size)) for x, y in corners]
    if mirrored:
        expected += [ImageOps.mirror(x) for x in expected]
    resized = resize_picture(picture, views.find_resized_px(image_size))
    found = np.stack(views.cut(resized, image_size))
    assert found.dtype == np.uint8
    assert views.num_views == len(expected)
    np.testing.assert_array_equal(found, np.stack(expected))


@pytest.mark.parametrize(
    ("name", "batch_size", "num_frames"),
    [("one", 16, 16), ("flip", 16, 8), ("five_crop", 16, 3), ("ten_crop", 16, 1), ("flip", 1, 1)],
)
def test_a_batch_holds_whole_frames(name, batch_size, num_frames):
    assert VIEWS[name].find_frames_per_batch(batch_size) == num_frames


def extract(data, cache_dir, *, views=None, batch_size=16):
    return small_extraction.extract(
        data,
        cache_dir,
        dataclasses.replace(SMALL_SETTINGS, views=views),
        dataclasses.replace(SMALL_PIPELINE, batch_size=batch_size),
    )


def read_views(cache, clip_id):
    """Returns [V, T, ...]."""
    views = range(cache.contract.num_views)
    return np.stack([cache.read_clip(clip_id, view=view).feature_maps for view in views])


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Each clip of `ahead` is a clip of `mirrored` seen in a mirror."""
    folder = tmp_path_factory.mktemp("views") / "data"
    for i in range(NUM_CLIPS):
        frames = np.random.default_rng(i).integers(0, 256, (3 + i, 32, 32, 3), np.uint8)
        write_frame_folder(folder / "ahead" / f"clip_{i}", frames)
        write_frame_folder(folder / "mirrored" / f"clip_{i}", frames[:, :, ::-1])
    return folder


@pytest.fixture(scope="module")
def flip_dir(data, tmp_path_factory):
    """The cache of `data` and its mirror images; not to be changed."""
    folder = tmp_path_factory.mktemp("flip") / "cache"
    extract(data, folder, views="flip")
    return folder


def test_one_view_is_the_default_and_what_it_was(cache_dir):
    cache = read_cache(cache_dir)
    # Another value would make every cache that there is unusable.
    assert cache.contract.digest == (
        "2e66f68582b5993373dd7399dbeb3050fd56d0bd68646e9845fd560f1c0dc824"
    )
    with h5py.File(cache.clip_path("left/clip_0")) as file:
        maps = file["feature_maps"]
        assert (maps.shape, maps.chunks) == ((5, 1, 1, 512), (1, 1, 1, 512))


def test_the_second_view_is_the_cache_of_the_mirrored_clip(data, flip_dir, tmp_path):
    extract(data, tmp_path / "one")
    flip, one = read_cache(flip_dir), read_cache(tmp_path / "one")
    assert (flip.contract.views, flip.contract.feature_shape) == ("flip", (1, 1, 512))
    with h5py.File(flip.clip_path("ahead/clip_0")) as file:
        maps = file["feature_maps"]
        assert (maps.shape, maps.chunks) == ((3, 2, 1, 1, 512), (1, 1, 1, 1, 512))
    for i in range(NUM_CLIPS):
        ahead, mirrored = (one.read_clip(f"{x}/clip_{i}") for x in ("ahead", "mirrored"))
        assert not np.array_equal(ahead.feature_maps, mirrored.feature_maps)
        for name, expected in (("ahead", (ahead, mirrored)), ("mirrored", (mirrored, ahead))):
            for view, features in enumerate(expected):
                found = flip.read_clip(f"{name}/clip_{i}", view=view)
                for array, expected_array in zip(found, features, strict=True):
                    np.testing.assert_array_equal(array, expected_array)


def test_crops_are_cached_as_the_frames_that_pillow_crops(tmp_path):
    # Of the side that is cropped, so that nothing is resized.
    frames = np.random.default_rng(0).integers(0, 256, (3, 37, 37, 3), np.uint8)
    views = np.stack([np.stack(VIEWS["ten_crop"].cut(frame, 32)) for frame in frames], axis=1)
    for label in ("a", "b"):
        for view, cropped in enumerate(views):
            write_frame_folder(tmp_path / "crops" / label / str(view), cropped)
        for name in ("clip", "other"):
            write_frame_folder(tmp_path / "data" / label / name, frames)
    extract(tmp_path / "crops", tmp_path / "one")
    one = read_cache(tmp_path / "one")
    # Batches of two frames, which span clips.
    summary = extract(tmp_path / "data", tmp_path / "ten", views="ten_crop", batch_size=25)
    assert (summary.result.clips_done, summary.result.frames) == (4, 12)
    ten = read_cache(tmp_path / "ten")
    assert ten.contract.resize == "stretch_bilinear_8/7"
    found = read_views(ten, "a/clip")
    np.testing.assert_array_equal(read_views(ten, "a/other"), found)
    tolerance = {"rtol": FLOAT16_TOLERANCE, "atol": 1e-4 * found.max()}
    for view, maps in enumerate(found):
        expected = one.read_clip(f"a/{view}").feature_maps
        np.testing.assert_allclose(maps, expected, **tolerance, err_msg=f"view {view}")
    clip = Clip("a/clip", "a/clip", "a")
    pictures, failure = read_pictures(ten, clip, [0, 2], size_px=32)
    assert failure == ""
    np.testing.assert_array_equal(pictures, views[0, [0, 2]])


def test_a_resume_goes_on_with_the_views_of_the_cache(data, flip_dir, tmp_path):
    copy = shutil.copytree(flip_dir, tmp_path / "cache")
    (copy / "clips" / "ahead" / "clip_3.h5").unlink()
    summary = extract(data, copy)
    assert (summary.result.clips_done, summary.skipped) == (1, 2 * NUM_CLIPS - 1)
    found, expected = (read_views(read_cache(x), "ahead/clip_3") for x in (copy, flip_dir))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("views", "message"),
    [
        ("one", "made with views=flip, but this command needs views=one. Leave out the flags that"),
        (
            "five_crop",
            "made with resize=stretch_bilinear, views=flip, but this command needs "
            "resize=stretch_bilinear_8/7, views=five_crop. Leave out",
        ),
    ],
)
def test_other_views_than_those_of_the_cache_are_refused_by_name(data, flip_dir, views, message):
    with pytest.raises(ValueError) as refusal:
        extract(data, flip_dir, views=views)
    assert message in str(refusal.value)


def test_unknown_views_of_a_later_version_are_refused(flip_dir, tmp_path):
    copy = shutil.copytree(flip_dir, tmp_path / "cache")
    text = (copy / "cache.json").read_text()
    (copy / "cache.json").write_text(text.replace('"views": "flip"', '"views": "hundred_crop"'))
    with pytest.raises(ValueError, match=r"cache\.json: expected views of .*views=hundred_crop\."):
        read_cache(copy)


def test_a_plan_pays_for_every_view(data, flip_dir, tmp_path):
    plan = make_plan(
        DataSettings(data=data),
        dataclasses.replace(SMALL_SETTINGS, views="ten_crop"),
        cache_dir=tmp_path / "gone",
        batch_size=16,
        compression="gzip",
    )
    assert plan.frames == 2 * sum(range(3, 3 + NUM_CLIPS))
    # The same noise at the same size, so a view takes about the same.
    size_bytes = sum(path.stat().st_size for path in flip_dir.rglob("*.h5"))
    overhead_bytes = 2 * NUM_CLIPS * CLIP_OVERHEAD_BYTES
    of_two_views = size_bytes - overhead_bytes
    assert 3 * of_two_views < plan.needed_bytes - overhead_bytes < 7 * of_two_views


def test_a_view_that_is_damaged_or_not_there_is_found(flip_dir, tmp_path):
    cache = read_cache(shutil.copytree(flip_dir, tmp_path / "cache"))
    assert list(iter_findings(cache)) == []
    with h5py.File(cache.clip_path("ahead/clip_1")) as file:
        info = file["feature_maps"].id.get_chunk_info_by_coord((2, 1, 0, 0, 0))
    with open(cache.clip_path("ahead/clip_1"), "r+b") as file:
        file.seek(info.byte_offset + info.size // 2)
        file.write(b"\0" * 8)
    with h5py.File(cache.clip_path("mirrored/clip_0"), "r+") as file:
        maps = file["feature_maps"]
        settings = {name: getattr(maps, name) for name in ("shape", "chunks", "dtype")}
        first_view = maps[:, 0]
        del file["feature_maps"]
        maps = file.create_dataset("feature_maps", fletcher32=True, **settings)
        maps[:, 0] = first_view
    found = [(finding.kind, finding.clip_id) for finding in iter_findings(cache)]
    assert found == [("damaged", "ahead/clip_1"), ("damaged", "mirrored/clip_0")]


def test_train_evaluate_and_predict_with_views(data, flip_dir, tmp_path):
    run = RunDir(tmp_path / "run")
    flags = (f"--run_dir={run.path}", f"--cache_dir={flip_dir}")
    done = run_program("train_head", *flags, *SMALL_HEAD, "--rnn=none")
    clips = {clip.clip_id: clip for clip in read_manifest(run.manifest_path)}
    held_out = [clip for clip in clips.values() if clip.split == "test"]
    assert f"of {len(held_out)} test clips" in done.stdout
    assert read_json(run.metrics_path("test"))["provenance"]["views"] == 2
    of_all = read_clip_rows(run.predictions_path("test"))
    assert of_all.keys() == {clip.clip_id for clip in held_out}

    output = tmp_path / "new.csv"
    sources = [data / clip.path for clip in held_out]
    run_program("train_head.predict", f"--run_dir={run.path}", f"--output={output}", *sources)
    for clip, row in zip(held_out, read_rows(output), strict=True):
        expected = float(of_all[clip.clip_id]["ahead"])
        assert float(row["ahead"]) == pytest.approx(expected, abs=1e-3)

    evaluate_run(run, read_cache(flip_dir), split="test", first_view_only=True)
    assert read_json(run.metrics_path("test", first_view_only=True))["provenance"]["views"] == 1
    of_first = read_clip_rows(run.predictions_path("test", first_view_only=True))
    moved = [abs(float(of_all[x]["ahead"]) - float(of_first[x]["ahead"])) for x in of_all]
    assert max(moved) > 1e-3
