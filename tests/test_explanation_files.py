"""The files of an explanation: named safely, whole or not there, and nothing else touched."""

import dataclasses
import re

import numpy as np
import pytest
from commands import read_rows, run_program
from media import write_frame_folder
from PIL import Image
from refusals import refusal
from small_heads import build_random_head, make_frames_of_one_length, make_what_is_looked_at

from lrcn.common.cache.clip_features import ClipFeatures
from lrcn.common.pixels.decode import UnreadableClipError, count_frames
from lrcn.common.pixels.views import VIEWS
from train_head.predictions.explanation import Explainer
from train_head.predictions.explanation_files import ExplanationFolder
from train_head.predictions.prediction_sources import find_sources


def explain_frames(frame_index):
    """Explains what a head says of frames with these numbers, which have no times."""
    num_frames = len(frame_index)
    clock = np.array(frame_index, np.int32), np.full(num_frames, np.nan)
    features = ClipFeatures(make_frames_of_one_length(num_frames), *clock)
    return Explainer(build_random_head(rnn="none")).explain([features])


def test_files_are_named_safely_and_never_overwritten(clips_dir, tmp_path, caplog):
    source, explanation = clips_dir / "left" / "clip_0", explain_frames([0, 1])
    hostile = tmp_path / "<i> $x$ \n"
    hostile.symlink_to(source)
    (tmp_path / ("long" * 60)).symlink_to(source)
    sources = [hostile, tmp_path / ("long" * 60), hostile, source / ".."]
    folder = ExplanationFolder(tmp_path / "why", sources, views=VIEWS["one"])
    class_names = ["$", "_", "<b>"]
    with caplog.at_level("INFO", logger="absl"):
        for number in range(3):
            folder.write(number, explanation, class_names=class_names)
    assert f"{tmp_path}/<i> $x$ \\n: explained in {tmp_path}/why/_i_x_.csv and" in caplog.text
    written = {path.name: path.read_bytes() for path in (tmp_path / "why").iterdir()}
    assert len(written) == 6 and all(written.values())
    for name in written:
        assert re.fullmatch(r"[\w.-]{5,250}", name), name
    assert {"_i_x_.csv", "_i_x__2.csv"} < set(written)
    with pytest.raises(ValueError, match=r"_i_x_\.csv: exists already, or is --output too\. Name "):
        ExplanationFolder(tmp_path / "why", sources, views=VIEWS["one"])
    with pytest.raises(ValueError, match=r"clip_0: a clip, of which pictures there would be frame"):
        ExplanationFolder(source, [hostile], views=VIEWS["one"])
    # Pictures are no clips, in a folder of their own or among those that they explain.
    new = tmp_path / "new"
    new.mkdir()
    (new / "clip").symlink_to(source)
    (tmp_path / "why").rename(new / "why")
    assert find_sources([str(new)]) == [new / "clip"]
    with refusal("why: no frames. Expected image files", UnreadableClipError) as caught:
        count_frames(new / "why")
    assert "right in this folder, received 3 other files, such as" in str(caught.value)
    for path in (new / "why").iterdir():
        path.rename(new / path.name)
    assert find_sources([str(new)]) == [new / "clip"]
    (new / "_i_x_.csv").write_text("another table")
    assert find_sources([str(new)]) == [new]
    assert count_frames(new) == 1


def test_an_output_among_the_explanations_is_refused(run_dir, clips_dir, tmp_path):
    done = run_program(
        "train_head.predict",
        f"--run_dir={run_dir}",
        f"--output={tmp_path}/clip_0.csv",
        f"--explain={tmp_path}",
        clips_dir / "left" / "clip_0",
        check=False,
    )
    assert f"{tmp_path}/clip_0.csv: exists already, or is --output too. Name another" in done.stderr
    assert (done.returncode, done.stdout, list(tmp_path.iterdir())) == (1, "", [])


def test_a_clip_that_is_no_longer_whole_is_not_explained(clips_dir, tmp_path, caplog):
    source = clips_dir / "left" / "clip_0"  # of five frames
    explanation = explain_frames([0, 5])
    gone = tmp_path / "gone.mp4"
    folder = ExplanationFolder(tmp_path / "why", [source, gone], views=VIEWS["one"])
    for number, (clip, told) in enumerate({source: "expected a frame 5", gone: "expected"}.items()):
        assert not folder.write(number, explanation, class_names=["a"] * 3)
        assert f"Not explained: {clip}: {told}" in caplog.text
    assert not list((tmp_path / "why").iterdir())


def test_a_clip_that_became_another_is_not_explained_by_its_pictures(tmp_path, caplog):
    source = write_frame_folder(tmp_path / "clip", np.zeros((2, 16, 16, 3), np.uint8))
    folder = ExplanationFolder(tmp_path / "why", [source], views=VIEWS["one"])
    explanation = explain_frames([0, 1])
    Image.new("RGB", (64, 64), "white").save(source / "1.png")
    assert not folder.write(0, explanation, class_names=["a"] * 3)
    assert f"Not explained: {source}: has changed meanwhile, so its frames may" in caplog.text
    assert not list((tmp_path / "why").iterdir())
    # Only what it is when the program begins counts.
    folder = ExplanationFolder(tmp_path / "why", [source], views=VIEWS["one"])
    assert folder.write(0, explanation, class_names=["a"] * 3)


def test_a_picture_shows_what_the_first_view_sees(tmp_path):
    # Of the side that is cropped for a picture of 112 px, and red but for the centre crop.
    frames = np.zeros((2, 128, 128, 3), np.uint8)
    frames[..., 0] = 255
    frames[:, 8:-8, 8:-8] = (0, 255, 0)
    source = write_frame_folder(tmp_path / "clip", frames)
    explanation = explain_frames([0, 1])
    num_red = {}
    for name in ("one", "ten_crop"):
        folder = ExplanationFolder(tmp_path / name, [source], views=VIEWS[name])
        folder.write(0, explanation, class_names=["a"] * 3)
        picture = np.asarray(Image.open(tmp_path / name / "clip.png").convert("RGB"))
        num_red[name] = (picture == (255, 0, 0)).all(axis=-1).sum()
        assert (picture == (0, 255, 0)).all(axis=-1).any()
    assert num_red["one"] > 0 == num_red["ten_crop"]


def test_a_picture_shows_where_the_head_looks(tmp_path):
    source = write_frame_folder(tmp_path / "clip", np.full((2, 64, 64, 3), 128, np.uint8))
    head, maps = make_what_is_looked_at()
    clip = ClipFeatures(maps, np.arange(2, dtype=np.int32), np.full(2, np.nan))
    folder = ExplanationFolder(tmp_path / "why", [source], views=VIEWS["one"])
    folder.write(0, Explainer(head).explain([clip]), class_names=["a"] * 3)
    picture = np.asarray(Image.open(tmp_path / "why" / "clip.png").convert("RGB")).astype(int)
    # Half grey, and half the lightest or the darkest of the colours.
    is_bright, is_dark = (
        np.abs(picture - colour).max(axis=-1) < 5 for colour in ((190, 191, 146), (64, 64, 66))
    )
    middle = int(np.flatnonzero(is_dark.any(axis=0)).mean())
    for frame, sign in ((np.s_[:, :middle], 1), (np.s_[:, middle:], -1)):
        bright, dark = (np.argwhere(x[frame]).mean(axis=0) for x in (is_bright, is_dark))
        assert (sign * (bright - dark) > 10).all()


def test_a_disk_that_fills_up_leaves_no_half_of_a_pair(clips_dir, make_small_disk):
    disk, source = make_small_disk(256), clips_dir / "left" / "clip_0"
    explanation = explain_frames([0, 1])
    folder = ExplanationFolder(disk / "why", [source] * 20, views=VIEWS["one"])
    with pytest.raises(OSError, match=r"No space left") as caught:
        for number in range(20):
            folder.write(number, explanation, class_names=["a"] * 3)
    assert str(caught.value) == (
        f"{disk}/why/clip_0_{number + 1}.png: No space left on device. The clips before are "
        "explained. Make room there, and remove what was written or name another --explain folder "
        "(and --output): files that exist are refused."
    )
    names = [path.name for path in (disk / "why").iterdir()]
    assert 0 < number < 20 and len(names) == 2 * number
    assert len({name.split(".")[0] for name in names}) == number


@pytest.mark.parametrize("ending", ["csv", "png"])
def test_a_file_that_another_made_meanwhile_stays(clips_dir, tmp_path, ending):
    source = clips_dir / "left" / "clip_0"
    explanation = explain_frames([0, 1])
    folder = ExplanationFolder(tmp_path / "why", [source], views=VIEWS["one"])
    path = tmp_path / "why" / f"clip_0.{ending}"
    path.write_text("of another run")
    with refusal(f"{path}: another program has made it meanwhile. The clips before are explained"):
        folder.write(0, explanation, class_names=["a"] * 3)
    assert {x.name: x.read_text() for x in path.parent.iterdir()} == {path.name: "of another run"}


def test_a_picture_shows_each_of_many_frames_and_the_class_of_a_long_path(clips_dir, tmp_path):
    """A bar of less than a pixel was not drawn, and the end of a long title was outside."""
    influence = np.zeros(4_000)
    influence[[100, 1234, 2500, 3700, 3999]] = 1
    explanation = explain_frames(range(len(influence)))
    explanation = dataclasses.replace(explanation, influence=influence)
    source = tmp_path / ("folder/" * 30) / "clip.mp4"
    folder = ExplanationFolder(tmp_path / "why", [source], views=None)
    folder.write(0, explanation, class_names=["$", "_", "<b>"])
    picture = np.asarray(Image.open(tmp_path / "why" / "clip.mp4.png").convert("RGB")).astype(int)
    is_blue = picture[..., 2] > picture[..., 0] + 40
    in_bars = is_blue[60:180].mean(axis=0) > 0.9
    assert np.diff(np.concatenate([[0], in_bars])).clip(0).sum() == np.count_nonzero(influence)
    title = picture[:25]
    assert (title < 128).any() and (title[:, -20:] == 255).all()


def test_of_many_frames_those_without_probabilities_are_told(tmp_path, caplog):
    explanation = explain_frames([0, 1, 2])
    probabilities = explanation.probabilities.copy()
    probabilities[1] = np.nan
    explanation = dataclasses.replace(explanation, probabilities=probabilities)
    folder = ExplanationFolder(tmp_path, [tmp_path / "clip.npy"], views=None)
    with caplog.at_level("INFO", logger="absl"):
        folder.write(0, explanation, class_names=["a", "b", "c"])
    assert "png; probabilities are after 2 of the 3 frames, evenly spaced, as" in caplog.text
    rows = read_rows(tmp_path / "clip.npy.csv")
    assert [row["a"] != "" for row in rows] == [True, False, True]
    assert all(row["influence"] for row in rows)


@pytest.mark.parametrize("name", ["short", "a name of a class that is longer " * 7])
def test_a_picture_has_room_for_plots_and_names_however_long_these_are(tmp_path, name):
    folder = ExplanationFolder(tmp_path, [tmp_path / "clip.mp4"], views=None)
    class_names = [f"{name} {k}" for k in range(3)]
    folder.write(0, explain_frames([0, 1]), class_names=class_names)
    picture = np.asarray(Image.open(tmp_path / "clip.mp4.png").convert("RGB")).astype(int)
    is_axis = (picture.max(axis=-1) < 100).mean(axis=1) > 0.8
    assert 450 < np.flatnonzero(is_axis)[-1] < 530  # that of the frames, below both plots
