"""Tests the classes named for new videos and frame folders."""

import dataclasses
import os
import shutil

import numpy as np
import pytest
from commands import find_readme_program, read_rows, run_program
from media import write_frame_folder
from moving_squares import make_moving_square
from refusals import refusal
from small_data import train
from small_extraction import SMALL_SETTINGS, extract

from lrcn.common.cache.open_cache import read_cache
from lrcn.common.cache.run_dir import RunDir
from lrcn.common.clips.clip import Clip
from lrcn.common.clips.manifest import read_manifest, write_manifest
from lrcn.common.pixels.frame_selection import FrameSelection
from train_head.predictions.prediction import Predictor
from train_head.scores.evaluation import evaluate_run


@pytest.fixture(scope="module")
def evaluated(run_dir, cache_dir, tmp_path_factory):
    """A run and each clip's probability of `left` by evaluation, by clip_id."""
    run = RunDir(shutil.copytree(run_dir, tmp_path_factory.mktemp("evaluated") / "run"))
    return run, evaluate_all(run, cache_dir)


def evaluate_all(run, cache_dir, *, splits=("train", "val", "test"), num_windows=1):
    probabilities = {}
    for split in splits:
        evaluate_run(run, read_cache(cache_dir), split=split, num_windows=num_windows)
        for row in read_rows(run.predictions_path(split, num_windows=num_windows)):
            probabilities[row["clip_id"]] = float(row["left"])
    return probabilities


def test_predictions_are_those_of_evaluation(evaluated, clips_dir, tmp_path):
    run, expected = evaluated
    clips = {clip.path: clip.clip_id for clip in read_manifest(run.manifest_path)}
    output = tmp_path / "predictions.csv"
    short = write_frame_folder(
        tmp_path / "short", make_moving_square(np.random.RandomState(9), num_frames=2)
    )
    # A folder of clips, a video, a folder of frames, and a clip of fewer frames than seq_len.
    arguments = [
        clips_dir / "left",
        clips_dir / "right" / "clip_7.mp4",
        clips_dir / "right" / "clip_0",
        short,
    ]
    done = run_program(
        "train_head.predict", f"--run_dir={run.path}", f"--output={output}", *arguments
    )
    sources = [clips_dir / "left" / f"clip_{i}" for i in range(7)]
    sources += [clips_dir / "left" / "clip_7.mp4", *arguments[1:]]
    rows = read_rows(output)
    assert [row["clip"] for row in rows] == [str(source) for source in sources]
    assert list(rows[0]) == ["clip", "predicted", "left", "right"]
    lines = done.stdout.splitlines()
    assert len(lines) == len(rows), "stdout is a line for each clip and nothing else"
    assert done.stderr.splitlines()[-1].endswith(f" Written: {output}")
    for source, row, line in zip(sources, rows, lines, strict=True):
        left, right = float(row["left"]), float(row["right"])
        # As in predictions.csv: what float32 holds, and no digit more.
        assert row["left"] == f"{np.float32(row['left']):.9g}"
        assert left + right == pytest.approx(1, abs=1e-5)
        first, second = ("left", left), ("right", right)
        if right > left:
            first, second = second, first
        assert row["predicted"] == first[0]
        shown = [f"{value:.3f}" if type(value) is float else value for value in (*first, *second)]
        assert line.split() == [str(source), *shown]
        if source != short:
            clip_id = clips[str(source.relative_to(clips_dir))]
            assert left == pytest.approx(expected[clip_id], abs=1e-3)
    assert np.ptp([float(row["left"]) for row in rows]) > 0.01


@pytest.mark.parametrize(
    ("sequence", "num_windows", "frame_order"),
    [("ragged", 1, "shuffled"), ("fixed", 3, "forward")],
)
def test_clips_are_predicted_as_evaluated(
    cache_dir, clips_dir, tmp_path, sequence, num_windows, frame_order
):
    settings = {"sequence": sequence, "rnn": "gru", "epochs": 1, "frame_order": frame_order}
    run = train(read_cache(cache_dir), tmp_path / "run", **settings)
    expected = evaluate_all(run, cache_dir, splits=["train"], num_windows=num_windows)
    clips = [clip for clip in read_manifest(run.manifest_path) if clip.split == "train"][:4]
    sources = [clips_dir / clip.path for clip in clips]
    predictor = Predictor(run, num_windows=num_windows)
    predictions = predictor.predict_clips(iter(sources))  # as of `Path.glob`, not only a list
    found = [prediction.probabilities[0] for prediction in predictions]
    assert found == pytest.approx([expected[clip.clip_id] for clip in clips], abs=1e-3)
    for source in (sources[0], str(sources[0])):
        with refusal(f"Expected a list of paths. Received: {source!r}", TypeError):
            next(predictor.predict_clips(source))


@pytest.fixture(scope="module")
def thinned_cache(clips_dir, tmp_path_factory):
    """Of three clips of each class, all to be learnt."""
    folder = tmp_path_factory.mktemp("thinned")
    clips = [
        Clip(f"{label}_{i}", f"{label}/clip_{i}", label, "train")
        for label in ("left", "right")
        for i in range(3)
    ]
    write_manifest(folder / "clips.csv", clips)
    selection = FrameSelection(frame_stride=2, max_frames=4)
    settings = dataclasses.replace(SMALL_SETTINGS, selection=selection, views="five_crop")
    given = {"data_root": clips_dir, "val_fraction": 0}
    extract(folder / "clips.csv", folder / "cache", settings, **given)
    return read_cache(folder / "cache")


@pytest.mark.parametrize("sequence", ["fixed", "ragged"])
def test_new_videos_are_thinned_out_and_cropped_as_the_cache_was(
    thinned_cache, clips_dir, tmp_path, sequence
):
    settings = {"sequence": sequence, "seq_len": 3, "epochs": 2, "frame_order": "reversed"}
    run = train(thinned_cache, tmp_path / "run", **settings)
    expected = evaluate_all(run, thinned_cache.cache_dir, splits=["train"])
    clips = read_manifest(run.manifest_path)[1:5]
    predictions = Predictor(run).predict_clips([clips_dir / clip.path for clip in clips])
    found = [prediction.probabilities[0] for prediction in predictions]
    assert found == pytest.approx([expected[clip.clip_id] for clip in clips], abs=1e-3)
    assert np.ptp(found) > 0.01


def test_unreadable_clip_does_not_stop_the_others(evaluated, clips_dir, tmp_path):
    run, expected = evaluated
    (tmp_path / "notes.mp4").write_text("this is no video")
    (tmp_path / "cut_off").mkdir()
    picture = (clips_dir / "left" / "clip_0" / "0.png").read_bytes()
    (tmp_path / "cut_off" / "0.png").write_bytes(picture[: len(picture) // 2])
    good = clips_dir / "left" / "clip_0"
    done = run_program(
        "train_head.predict",
        f"--run_dir={run.path}",
        "--top=1",
        tmp_path / "notes.mp4",
        good,
        tmp_path / "cut_off",
        good,
        check=False,
    )
    assert done.returncode == 1
    left = expected["left/clip_0"]
    name, probability = ("left", left) if left > 0.5 else ("right", 1 - left)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [(line[0], line[1]) for line in lines] == [(str(good), name)] * 2
    assert float(lines[0][2]) == pytest.approx(probability, abs=2e-3)
    assert f"{tmp_path}/notes.mp4: expected a whole video" in done.stderr
    assert f"{tmp_path}/cut_off/0.png" in done.stderr
    assert done.stderr.endswith(
        " Clips without an answer, as they cannot be read: 2 of 4: "
        f"{tmp_path}/notes.mp4, {tmp_path}/cut_off\n"
    )


def test_a_clip_that_changes_after_it_was_counted_gets_no_answer(run_dir, clips_dir, tmp_path):
    clip = shutil.copytree(clips_dir / "left" / "clip_0", tmp_path / "clip")

    def lose_a_frame():
        (clip / "0.png").unlink(missing_ok=True)

    with refusal(f"{clip}: expected the 5 frames that were counted, received 4. It has changed"):
        list(Predictor(RunDir(run_dir))._clips.read_batches(clip, lose_a_frame))


def test_names_that_are_no_line_of_text_are_escaped(run_dir, clips_dir, tmp_path):
    sources = [tmp_path / os.fsdecode(name) for name in (b"line\nbreak.mp4", b"latin\xe9.mp4")]
    for source in sources:
        shutil.copy(clips_dir / "left" / "clip_7.mp4", source)
    done = run_program(
        "train_head.predict",
        f"--run_dir={run_dir}",
        f"--output={tmp_path / 'classes.csv'}",
        f"--explain={tmp_path / 'why'}",
        *sources,
    )
    names = [f"{tmp_path}/line\\nbreak.mp4", f"{tmp_path}/latin\\udce9.mp4"]
    assert [line.split()[0] for line in done.stdout.splitlines()] == names
    rows = read_rows(tmp_path / "classes.csv")
    assert [row["clip"] for row in rows] == [str(sources[0]), names[1]]  # a cell may span lines
    assert len(list((tmp_path / "why").glob("*.png"))) == 2


def test_the_readme_names_videos_from_python(run_dir, clips_dir, tmp_path, monkeypatch, capsys):
    program = find_readme_program("Predictor(")
    (tmp_path / "run").symlink_to(run_dir)
    (tmp_path / "new.mp4").write_bytes(b"no video")
    (tmp_path / "folder_of_frames").symlink_to(clips_dir / "left" / "clip_0")
    monkeypatch.chdir(tmp_path)
    exec(program, {})
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("new.mp4 cannot be read: new.mp4: ")
    assert second in ("folder_of_frames left", "folder_of_frames right")
