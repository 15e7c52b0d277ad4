"""The built-in sample: order alone tells its classes apart, and it never overwrites."""

import hashlib
import re

import numpy as np
import pytest
from commands import read_state, run_program
from PIL import Image

from extract_features.sample import FRAME_SIZE_PX, MOTIONS, NUM_FRAMES, render_sample
from lrcn.common.clips.group_leaks import check_group_leaks
from lrcn.common.clips.manifest import read_manifest
from lrcn.common.clips.splits import count_splits
from lrcn.common.pixels.decode import iter_frames
from lrcn.common.pixels.sampling import sample_segment_centres

LABELS = ["down", "growing", "left", "right", "shrinking", "up"]
TWIN = {label: twin for pair in MOTIONS for label, twin in (pair, pair[::-1])}


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "sample"
    assert render_sample(folder, clips_per_class=10) == folder / "manifest.csv"
    return folder


def read_pixels(sample, clip):
    """[T, S, S, 3] int64, decoded as stage 1 does."""
    frames = iter_frames(sample / clip.path, image_size=FRAME_SIZE_PX)
    return np.stack([frame.pixels for frame in frames]).astype(np.int64)


def read_clips(sample):
    return read_manifest(sample / "manifest.csv")


def find_twin(clips, clip):
    [twin] = [x for x in clips if x.group == clip.group and x != clip]
    return twin


def test_manifest_has_every_class_in_every_split(sample):
    counts = count_splits(read_clips(sample))
    assert counts == {label: {"train": 6, "val": 2, "test": 2} for label in LABELS}


def test_a_twin_is_the_clip_reversed_in_the_opposite_class_and_the_same_split(sample):
    clips = read_clips(sample)
    for clip in clips:
        twin = find_twin(clips, clip)
        assert twin.label == TWIN[clip.label]
        np.testing.assert_array_equal(read_pixels(sample, twin), read_pixels(sample, clip)[::-1])
    check_group_leaks(clips, source="the sample")


@pytest.mark.parametrize("num_frames", NUM_FRAMES)
@pytest.mark.parametrize("seq_len", [1, 2, 5, 8, 9, 16, 30])
def test_segment_centres_of_twins_are_the_same_frames(num_frames, seq_len):
    frames = sample_segment_centres(num_frames, seq_len)
    np.testing.assert_array_equal(num_frames - 1 - frames[::-1], frames)


def measure_shape(frame):
    """Column, row and size in pixels of what is seen of the shape; NaN where it is out of sight."""
    is_shape = np.abs(frame - frame[0, 0]).sum(axis=-1) > 60
    if not is_shape.any():
        return np.full(3, np.nan)
    rows, columns = np.nonzero(is_shape)
    return np.array([columns.mean(), rows.mean(), is_shape.sum() ** 0.5])


@pytest.mark.parametrize(
    ("label", "measurement", "sign"),
    [
        ("right", 0, 1),
        ("left", 0, -1),
        ("down", 1, 1),
        ("up", 1, -1),
        ("growing", 2, 1),
        ("shrinking", 2, -1),
    ],
)
def test_the_class_is_the_motion(sample, label, measurement, sign):
    for clip in read_clips(sample):
        if clip.label != label:
            continue
        measured = np.array([measure_shape(frame) for frame in read_pixels(sample, clip)])
        steps = np.diff(measured[:, measurement]) * sign
        # Once in a clip, at most, the motion starts over.
        assert (steps < 0).sum() <= 1, clip.clip_id
        assert np.nanmedian(steps) > 0.5, clip.clip_id


def test_the_first_frame_does_not_tell_the_direction(tmp_path):
    # A motion starts anywhere in its cycle, so twins' first frames are alike taken together.
    render_sample(tmp_path, clips_per_class=40)
    for measurement, labels in enumerate([("right", "left"), ("down", "up")]):
        first = {}
        for label in labels:
            clips = [x for x in read_clips(tmp_path) if x.label == label]
            frames = [read_pixels(tmp_path, clip)[0] for clip in clips]
            first[label] = [measure_shape(frame)[measurement] for frame in frames]
        difference = np.nanmean(first[labels[0]]) - np.nanmean(first[labels[1]])
        assert abs(difference) < 10  # twins that start at the edges are 40 apart


def test_clips_differ_in_all_else(sample):
    clips = [read_pixels(sample, x) for x in read_clips(sample) if x.label == "right"]
    assert len({len(clip) for clip in clips}) > 2
    assert len({tuple(clip[0, 0, 0]) for clip in clips}) == len(clips)
    assert len({clip[0].tobytes() for clip in clips}) == len(clips)
    areas = [measure_shape(clip[len(clip) // 2])[2] for clip in clips]
    assert max(areas) > 1.2 * min(areas)


def test_frames_are_small_png_files_numbered_without_padding(sample):
    files = {path.name for path in (sample / "left" / "clip_0").iterdir()}
    assert files == {f"frame_{i}.png" for i in range(len(files))}
    assert len(files) in NUM_FRAMES
    with Image.open(sample / "left" / "clip_0" / "frame_0.png") as picture:
        assert (picture.format, picture.mode) == ("PNG", "RGB")
        assert picture.size == (FRAME_SIZE_PX, FRAME_SIZE_PX)


def test_edges_are_smooth(sample):
    clip = next(clip for clip in read_clips(sample) if clip.label == "growing")
    assert len(np.unique(read_pixels(sample, clip)[0].reshape(-1, 3), axis=0)) > 4


def test_the_seed_decides_the_pixels(sample, tmp_path):
    def hash_pixels(folder):
        digest = hashlib.sha256()
        for clip in read_clips(folder)[:6]:
            digest.update(read_pixels(folder, clip).astype(np.uint8).tobytes())
        return digest.hexdigest()

    for seed in (0, 1):
        render_sample(tmp_path / str(seed), seed=seed, clips_per_class=10)
    assert hash_pixels(tmp_path / "0") == hash_pixels(sample)
    assert hash_pixels(tmp_path / "1") != hash_pixels(sample)


def test_more_clips_leave_the_first_as_they_are(sample, tmp_path):
    render_sample(tmp_path / "s", clips_per_class=3)
    clips = read_clips(tmp_path / "s")
    assert set(clips) < set(read_clips(sample))
    assert {clip.split for clip in clips} == {"train", "val", "test"}
    for clip in clips:
        np.testing.assert_array_equal(read_pixels(sample, clip), read_pixels(tmp_path / "s", clip))


def test_a_finished_sample_is_left_alone(tmp_path):
    render_sample(tmp_path, clips_per_class=3)
    before = read_state(tmp_path)
    render_sample(tmp_path, clips_per_class=3)
    assert read_state(tmp_path) == before


def test_a_render_that_was_cut_off_goes_on(tmp_path):
    render_sample(tmp_path, clips_per_class=3)
    whole = {path: content for path, (content, _) in read_state(tmp_path).items()}
    # As a kill leaves it: no manifest, a frame cut short, a folder missing.
    (tmp_path / "manifest.csv").unlink()
    (tmp_path / "up" / "clip_0" / "frame_3.png").write_bytes(b"\x89PNG")
    for path in (tmp_path / "up" / "clip_2").iterdir():
        path.unlink()
    (tmp_path / "up" / "clip_2").rmdir()
    render_sample(tmp_path, clips_per_class=3)
    assert {path: content for path, (content, _) in read_state(tmp_path).items()} == whole


def test_a_render_that_was_cut_off_at_its_very_start_goes_on(tmp_path):
    (tmp_path / ".sample.json.0123abcd.tmp").write_text("{")
    render_sample(tmp_path, clips_per_class=3)
    assert {path.name for path in tmp_path.iterdir()} == {"manifest.csv", "sample.json", *LABELS}


@pytest.mark.parametrize("settings", [{"seed": 1}, {"clips_per_class": 4}])
def test_a_sample_of_other_settings_is_refused(tmp_path, settings):
    render_sample(tmp_path, clips_per_class=3)
    before = read_state(tmp_path)
    with pytest.raises(ValueError, match=r"sample\.json: expected .* Name another --output_dir"):
        render_sample(tmp_path, **{"clips_per_class": 3, **settings})
    assert read_state(tmp_path) == before


def test_a_folder_of_anything_else_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path}: holds files, but no sample")):
        render_sample(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_disk_that_fills_up_names_the_frame(make_small_disk):
    folder = make_small_disk(40) / "sample"
    with pytest.raises(OSError, match=rf"No space left on device: '{folder}/\w+/clip_0/frame_"):
        render_sample(folder, clips_per_class=3)


@pytest.mark.parametrize("settings", [{"seed": -1}, {"seed": 2**32}, {"clips_per_class": 2}])
def test_numbers_out_of_range_are_refused(tmp_path, settings):
    with pytest.raises(ValueError, match="at least 3 clips of each class"):
        render_sample(tmp_path / "s", **settings)
    assert not (tmp_path / "s").exists()


def test_command_line_prints_the_manifest(tmp_path):
    folder = tmp_path / "new" / "sample"
    flags = (f"--output_dir={folder}", "--clips_per_class=3")
    done = run_program("extract_features.render_sample", *flags)
    assert done.stdout == f"{folder}/manifest.csv\n"
    assert len(read_clips(folder)) == 18
