"""New clips of a run on imported features: predicted from features, as evaluation has them."""

import gc
import shutil

import h5py
import numpy as np
import pytest
from commands import read_rows, run_program, run_python
from PIL import Image
from refusals import no_more_open_files
from small_data import make_ramps, train, write_cache
from small_imports import predict, train_imported, write_features

from lrcn.common.cache.run_dir import RunDir
from lrcn.common.programs.tensorflow_start import import_tensorflow
from train_head.predictions.prediction import Predictor

tf = import_tensorflow()


def evaluate(run, imported, *flags):
    """Returns the rows of the test clips, by the real command."""
    cache = f"--cache_dir={imported / 'cache'}"
    run_program("train_head.evaluate", f"--run_dir={run.path}", cache, *flags)
    (path,) = run.path.glob("predictions_windows*.csv" if flags else "predictions.csv")
    return read_rows(path)


@pytest.mark.parametrize(
    ("how", "settings"),
    [((), ()), (("--windows=3",), ()), ((), ("--sequence=ragged", "--frame_order=shuffled"))],
)
def test_predictions_are_those_of_evaluation(imported, feature_run, tmp_path, how, settings):
    run = RunDir(tmp_path / "run")
    if settings:
        train_imported(imported, run.path, *settings)
    else:
        shutil.copytree(feature_run.path, run.path)
    rows = evaluate(run, imported, *how)
    assert len(rows) == 8
    output = tmp_path / "classes.csv"
    done = predict(run, *how, f"--output={output}", imported / "new.h5", imported / "new")
    expected = {row["clip_id"]: row for row in rows}
    names = sorted(expected, key=lambda x: (x.split("/")[0], int(x.split("_")[1])))
    sources = [f"{imported}/new.h5/{name}" for name in names]
    sources += [f"{imported}/new/{name}.npy" for name in names]
    found = read_rows(output)
    assert [row["clip"] for row in found] == sources
    assert list(found[0]) == ["clip", "predicted", "fall", "rise"]
    lines = done.stdout.splitlines()
    for name, row, line in zip(2 * names, found, lines, strict=True):
        wanted = expected[name]
        assert row["predicted"] == wanted["predicted"]
        for column in ("fall", "rise"):
            assert float(row[column]) == pytest.approx(float(wanted[column]), abs=1e-6)
        shown = sorted(((x, float(wanted[x])) for x in ("fall", "rise")), key=lambda x: -x[1])
        assert line.split() == [row["clip"], *(x for k, p in shown for x in (k, f"{p:.3f}"))]
    assert np.ptp([float(row["rise"]) for row in found]) > 0.001


@pytest.mark.parametrize("sequence", ["fixed", "ragged"])
def test_frames_of_new_features_get_the_answers_of_evaluation(imported, tmp_path, sequence):
    labels = ("--labels=frame", f"--frame_labels={imported / 'labels'}")
    run = train_imported(imported, tmp_path / "run", f"--sequence={sequence}", *labels)
    expected = {(row["clip_id"], row["frame_index"]): row for row in evaluate(run, imported)}
    output = tmp_path / "frames.csv"
    done = predict(run, f"--output={output}", imported / "new")
    found = read_rows(output)
    assert len(found) == len(expected)
    for row in found:
        clip_id = row["clip"].removeprefix(f"{imported}/new/").removesuffix(".npy")
        wanted = expected[clip_id, row["frame_index"]]
        assert (row["timestamp_sec"], row["predicted"]) == ("", wanted["predicted"])
        assert float(row["early"]) == pytest.approx(float(wanted["early"]), abs=1e-6)
    assert {line.split()[1] for line in done.stdout.splitlines()} == {"frame"}


def test_clips_are_named_from_python(imported, feature_run):
    dataset = imported / "new.h5" / "rise" / "test_1"
    sources = [
        dataset,
        imported / "new.h5",
        imported / "gone.npy",
        imported / "new/rise/test_1.npy",
    ]
    predictor = Predictor(feature_run)
    first, whole_file, gone, last = predictor.predict_clips(sources)
    np.testing.assert_array_equal(first.probabilities, last.probabilities)
    assert first.source == dataset and not first.failure
    assert whole_file.failure == (
        f"{imported}/new.h5: expected a clip, as FILE.npy or as FILE.h5/DATASET. Received: a "
        "folder or a whole HDF5 file. Name the clips in it, one by one."
    )
    assert gone.failure == (
        f"{imported}/gone.npy: expected features, as FILE.npy or as FILE.h5/DATASET, received: No "
        "such file or directory. Check the path and its permissions."
    )
    with no_more_open_files(), pytest.raises(OSError, match=r"Too many open files"):
        next(predictor.predict_clips(sources))


def test_the_frames_of_a_long_clip_are_those_that_are_chosen(feature_run, tmp_path):
    maps = np.arange(1, 6001, dtype=np.float32).reshape(1000, 6)
    np.save(tmp_path / "long.npy", maps)
    predictor = Predictor(feature_run, num_windows=2)
    (prediction,) = predictor.predict_clips([tmp_path / "long.npy"])
    for sequence, frames in zip(
        prediction.sequences, ([62, 187, 312, 437], [562, 687, 812, 937]), strict=True
    ):
        assert np.abs(sequence.frame_index - frames).max() <= 1
        wanted = maps[sequence.frame_index].astype(np.float16)
        np.testing.assert_array_equal(sequence.feature_maps, wanted)
    np.testing.assert_array_equal(prediction.clock.frame_index, np.arange(1000))


def test_more_windows_than_the_longest_clip_has_frames_are_told(imported, feature_run, tmp_path):
    for name, num_frames in (("short", 2), ("long", 5)):
        np.save(tmp_path / f"{name}.npy", np.ones((num_frames, 6), np.float32))
    told = "The longest clip has 5 frames, and more windows repeat these: train_head.evaluate would"
    for num_windows in (5, 6):
        done = predict(feature_run, f"--windows={num_windows}", tmp_path)
        assert (told in done.stderr) == (num_windows == 6)
        assert len(done.stdout.splitlines()) == 2


def test_the_weights_of_predictors_that_are_gone_take_no_memory(feature_run, tmp_path):
    np.save(tmp_path / "clip.npy", np.ones((5, 6), np.float32))
    predictor = Predictor(feature_run)
    assert len(list(predictor.predict_clips([tmp_path / "clip.npy"]))) == 1
    head = predictor.head
    kernel = next(x.value for x in head.variables if x.path.endswith("logits/kernel"))
    handle, shape = kernel.handle, tuple(kernel.shape)

    def read_shape():
        return tuple(tf.raw_ops.ReadVariableOp(resource=handle, dtype=tf.float32).shape)

    del predictor, kernel
    gc.collect()
    assert read_shape() == shape  # somebody has the head
    del head
    gc.collect()
    assert read_shape() == (0,)


def test_new_features_are_explained_without_pictures(imported, feature_run, tmp_path):
    source = imported / "new" / "rise" / "test_0.npy"
    done = predict(
        feature_run, f"--explain={tmp_path / 'why'}", source, imported / "new.h5" / "fall"
    )
    names = ["test_0.npy", *(f"test_{i}" for i in range(4))]
    assert {x.name for x in (tmp_path / "why").iterdir()} == {
        f"{name}.{ending}" for name in names for ending in ("csv", "png")
    }
    rows = read_rows(tmp_path / "why" / "test_0.npy.csv")
    assert len(rows) == 4 and {row["timestamp_sec"] for row in rows} == {""}
    _, answer, probability = done.stdout.splitlines()[0].split()[:3]
    assert float(rows[-1][answer]) == pytest.approx(float(probability), abs=1e-3)
    with Image.open(tmp_path / "why" / "test_0.npy.png") as picture:
        picture.load()
        assert picture.width > 1000


def test_pictures_are_drawn_where_a_notebook_would_show_its_own(imported, feature_run, tmp_path):
    """Notebooks of another environment hand down what draws in theirs."""
    program = (
        "import os, runpy\n"
        "os.environ['MPLBACKEND'] = 'module://matplotlib_inline.backend_inline'\n"
        "runpy.run_module('train_head.predict', run_name='__main__', alter_sys=True)"
    )
    flags = (f"--run_dir={feature_run.path}", f"--explain={tmp_path / 'why'}")
    run_python(program, *flags, imported / "new" / "rise" / "test_0.npy")
    assert (tmp_path / "why" / "test_0.npy.png").exists()


def test_all_datasets_of_a_file_and_npy_files_of_a_folder_are_clips(feature_run, tmp_path):
    frame = np.ones((1, 6))
    path = write_features(tmp_path / "new.h5", {"a 10": frame, "a 2": frame, "b/c/d.npy": frame})
    with h5py.File(path, "r+") as file:
        file["b/back"] = file["b"]
        file[b"caf\xe9"] = frame  # as of a tool that does not write UTF-8
    folder = write_features(tmp_path / "new", {"x/y": frame, "x/z": 0 * frame})
    (folder / "x" / "notes.txt").touch()
    (folder / "x" / "back").symlink_to(folder)
    done = predict(feature_run, path, path / "b", folder)
    assert [line.split("   ")[0].rstrip() for line in done.stdout.splitlines()] == [
        f"{path}/a 2",
        f"{path}/a 10",
        f"{path}/b/c/d.npy",
        rf"{path}/caf\udce9",
        f"{path}/b/c/d.npy",
        f"{folder}/x/y.npy",
        f"{folder}/x/z.npy",
    ]
    assert f"Passed over, as no .npy files by their names: 1, such as {folder}/x/no" in done.stderr
    assert f"{folder}/x/z.npy: every value is 0, so the answer says nothing" in done.stderr
    assert done.stderr.count("every value is 0") == 1


def test_features_of_several_views_are_averaged(tmp_path):
    """No import makes them, but a cache may hold such."""
    clips = make_ramps(4, split="train")
    features = {clip: np.stack([maps, -maps], axis=1) for clip, maps in clips.items()}
    run = train(write_cache(tmp_path / "cache", features, views="flip"), tmp_path / "run")
    maps = next(iter(features.values()))
    np.save(tmp_path / "both.npy", maps)
    np.save(tmp_path / "one.npy", maps[:, 0])
    both, one = Predictor(run).predict_clips([tmp_path / "both.npy", tmp_path / "one.npy"])
    np.testing.assert_array_equal(both.sequences[1].feature_maps, -both.sequences[0].feature_maps)
    assert "one.npy: expected shape [T, 2, 6], as the clips that the run was" in one.failure
