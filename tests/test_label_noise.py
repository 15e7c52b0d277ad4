"""Doubted labels: planted mistakes rank first, every clip is judged by a head that never saw it."""

import dataclasses
import shutil
import subprocess

import numpy as np
import pytest
from commands import ROOT, SMALL_HEAD, make_command, read_rows, read_state, run_program
from PIL import Image
from refusals import refusal
from small_data import change_manifest, make_config, write_cache
from small_extraction import SMALL_SETTINGS, extract

from lrcn.common.cache.open_cache import read_cache
from lrcn.common.cache.run_dir import RunDir
from lrcn.common.clips.clip import Clip
from lrcn.common.clips.manifest import read_manifest
from lrcn.common.pixels.frame_selection import FrameSelection
from train_head.predictions.clip_pictures import read_pictures
from train_head.run.training_data import TrainingData
from train_head.studies.label_doubt import DoubtedLabel, format_doubts, rank_labels, write_doubts
from train_head.studies.label_doubt_sheet import _read_strip, draw_doubts

WRONG = {"left_2", "right_7", "left_11"}  # one in each split


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Clips of two classes, far apart; of three the label is that of the other class."""
    features = {}
    for i in range(14):
        split = "train" if i < 6 else "val" if i < 10 else "test"
        for name, side in (("left", -1), ("right", 1)):
            clip_id = f"{name}_{i}"
            other = {"left": "right", "right": "left"}[name]
            label = other if clip_id in WRONG else name
            random = np.random.RandomState([i, side + 1])
            clip = Clip(clip_id, clip_id, label, split, group=f"pair_{i}")
            features[clip] = side * np.ones(6) + random.normal(scale=0.2, size=(5, 6))
    return write_cache(tmp_path_factory.mktemp("noisy") / "cache", features)


def test_planted_mistakes_rank_first_in_every_split(cache, tmp_path):
    config = make_config(rnn="none", output="mean", epochs=10)
    data = TrainingData(cache)
    how = {"output_dir": tmp_path / "noise", "num_folds": 2, "checkpoint_sec": 60}
    doubts = rank_labels(config, data, **how)
    assert {doubt.clip_id for doubt in doubts[:3]} == WRONG
    assert sorted(doubt.clip_id for doubt in doubts) == sorted(
        clip.clip_id for clip in read_manifest(cache.manifest_path)
    )
    margins = [doubt.margin for doubt in doubts]
    assert margins == sorted(margins) and margins[2] < 0 < margins[3]
    for doubt in doubts:  # of two classes, the other one has what is left
        assert doubt.margin == pytest.approx(2 * doubt.label_probability - 1, abs=1e-5)
        assert (doubt.predicted == doubt.label) == (doubt.margin > 0)
        assert doubt.predicted_probability >= 0.5
    table, told = format_doubts(doubts, num_shown=3).split("\n\n")
    assert {line.split()[2] for line in table.splitlines()[1:]} == WRONG
    assert told.startswith(f"3 of {len(doubts)} clips are predicted to be of another class;")
    # What has ended is not done again, and other settings or folds are not mixed in.
    before = read_state(tmp_path / "noise" / "fold_1")
    assert rank_labels(config, data, **how) == doubts
    assert read_state(tmp_path / "noise" / "fold_1") == before
    with pytest.raises(ValueError, match="fold_1: made with epochs=10, but this command says epoc"):
        rank_labels(dataclasses.replace(config, epochs=11), data, **how)
    with refusal("fold_1.csv: made of other clips, labels or groups, or with other --folds or --s"):
        rank_labels(config, data, **{**how, "num_folds": 3})
    table_path = tmp_path / "noise" / "label_noise.csv"
    for _ in range(2):  # again, where nobody has changed it
        write_doubts(table_path, doubts)
    with open(table_path, "a") as file:
        file.write("left_2: wrong indeed\n")
    with pytest.raises(ValueError, match=r"noise\.csv: .* other content, such as notes of yours"):
        write_doubts(table_path, doubts)
    assert table_path.read_text().endswith("wrong indeed\n")
    path = RunDir(tmp_path / "noise" / "fold_2").predictions_path("test")
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    with refusal(f"{path}: expected the 14 test clips of"):
        rank_labels(config, data, **how)
    # Which pictures imported features are of is not known.
    assert not draw_doubts(tmp_path / "sheet.png", doubts[:2], cache=cache)
    assert not (tmp_path / "sheet.png").exists()


def test_the_command_ranks_all_clips_and_shows_frames(cache_dir, tmp_path):
    output_dir = tmp_path / "noise"
    flags = (f"--cache_dir={cache_dir}", f"--output_dir={output_dir}", "--folds=2")
    command = ("train_head.label_noise", *flags, *SMALL_HEAD, "--epochs=1", "--rnn=none")
    done = run_program(*command)
    assert done.stderr.count("No clip is in the val split") == 1, "not of each fold"
    rows = read_rows(output_dir / "label_noise.csv")
    assert list(rows[0]) == [
        *("rank", "clip_id", "label", "predicted"),
        *("label_probability", "predicted_probability", "margin"),
    ]
    clips = read_manifest(read_cache(cache_dir).manifest_path)
    assert {(row["clip_id"], row["label"]) for row in rows} == {
        (clip.clip_id, clip.label) for clip in clips
    }
    assert [int(row["rank"]) for row in rows] == list(range(1, len(clips) + 1))
    margins = [float(row["margin"]) for row in rows]
    assert margins == sorted(margins)
    table, told = done.stdout.split("\n\n")
    shown = [line.split()[:3] for line in table.splitlines()[1:]]
    assert shown == [[row["rank"], f"{float(row['margin']):.3f}", row["clip_id"]] for row in rows]
    num_doubted = sum(margin < 0 for margin in margins)
    assert told.startswith(f"{num_doubted} of {len(clips)} clips are predicted to be of another")
    with Image.open(output_dir / "label_noise.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    # The squares of the clips are coloured, the text is not.
    assert (pixels.max(axis=2) - pixels.min(axis=2) > 30).mean() > 0.01
    # No head has seen what it judges.
    for i in (1, 2):
        run = RunDir(output_dir / f"fold_{i}")
        splits = {clip.clip_id: clip.split for clip in read_manifest(run.manifest_path)}
        assert sorted(set(splits.values())) == ["test", "train"]
    # Nor is the table lost where nobody reads what is printed.
    (output_dir / "label_noise.csv").unlink()
    shell = ["bash", "-c", '"$@" >/dev/full', "bash", *make_command(*command)]
    assert subprocess.run(shell, cwd=ROOT, capture_output=True).returncode == 1
    assert read_rows(output_dir / "label_noise.csv") == rows


def test_a_clip_that_has_changed_since_shows_no_frames(data, cache_dir, tmp_path, caplog):
    cache = read_cache(cache_dir)
    cache.data_root = str(data)
    doubts = [DoubtedLabel(f"left/clip_{i}", "left", "right", 0.4, 0.6, -0.2) for i in range(2)]
    for i, is_drawn in ((0, True), (1, False)):
        folder = data / "left" / f"clip_{i}"
        (folder / "0.png").write_bytes((folder / "0.png").read_bytes() + b" ")
        caplog.clear()
        assert draw_doubts(tmp_path / "sheet.png", doubts, cache=cache) == is_drawn
        assert caplog.messages == [
            f"{i + 1} of these 2 clips have no frames to show. The first: left/clip_0: "
            f"{data / 'left' / 'clip_0'}: has changed since its features were extracted."
        ]


def test_a_clip_that_left_the_list_in_training_shows_no_frames(cache_copy, tmp_path, caplog):
    cache = read_cache(cache_copy)
    change_manifest(cache, lambda clip: None if clip.clip_id == "left/clip_0" else clip)
    doubts = [DoubtedLabel(f"left/clip_{i}", "left", r"$\x$", 0.4, 0.6, -0.2) for i in range(2)]
    assert draw_doubts(tmp_path / "sheet.png", doubts, cache=cache)
    (told,) = caplog.messages
    assert told.endswith("The first: left/clip_0: The cache does not list it any more.")


def test_the_frames_shown_are_those_that_the_cache_has(clips_dir, tmp_path):
    for name in ("left", "right"):
        shutil.copytree(clips_dir / name / "clip_0", tmp_path / "data" / "train" / name / "clip_0")
    settings = dataclasses.replace(SMALL_SETTINGS, selection=FrameSelection(frame_stride=2))
    extract(tmp_path / "data", tmp_path / "cache", settings)
    cache = read_cache(tmp_path / "cache")
    clip, _ = read_manifest(cache.manifest_path)
    pictures, _ = read_pictures(cache, clip, [0, 2, 4], size_px=112)
    strip, _ = _read_strip(cache, clip)
    expected = [np.pad(x, ((0, 0), (0, 2), (0, 0)), constant_values=255) for x in pictures]
    expected.append(np.full((112, 5 * 114, 3), 255))
    np.testing.assert_array_equal(strip, np.concatenate(expected, axis=1))


def test_two_long_names_of_classes_stand_in_the_picture(cache_dir, tmp_path):
    doubts = [DoubtedLabel("left/clip_0", "a long name " * 6, "another " * 9, 0.4, 0.6, -0.2)]
    assert draw_doubts(tmp_path / "sheet.png", doubts, cache=read_cache(cache_dir))
    pixels = np.asarray(Image.open(tmp_path / "sheet.png").convert("L"))
    assert pixels.min() < 128 and pixels[:, -5:].min() == 255
