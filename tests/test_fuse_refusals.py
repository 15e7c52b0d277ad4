"""What is not fused, and what is said of it."""

import pytest
from commands import run_program
from refusals import refusal
from small_predictions import FLOW, RGB, replace, write_run

from lrcn.common.cache.run_dir import RunDir
from lrcn.common.clips.clip import Clip
from train_head.predictions.fusion import fuse_predictions
from train_head.scores.prediction_file import read_run_predictions, write_predictions


def test_a_run_without_its_manifest_is_refused_before_anything_is_written(tmp_path):
    runs = [write_run(tmp_path / "rgb", RGB), write_run(tmp_path / "flow", FLOW)]
    RunDir(runs[1]).manifest_path.unlink()
    output = tmp_path / "fused.csv"
    done = run_program(
        "train_head.fuse", f"--run_dirs={runs[0]},{runs[1]}", f"--output={output}", check=False
    )
    assert (done.returncode, done.stdout) == (1, "") and not output.exists()
    assert f"{runs[1]}: manifest.csv of the run missing, without which it" in done.stderr


def test_output_into_a_missing_folder_is_refused_before_anything_is_read(tmp_path):
    output = tmp_path / "gone" / "fused.csv"
    flags = (f"--run_dirs={tmp_path}/no_run,{tmp_path}/none", f"--output={output}")
    done = run_program("train_head.fuse", *flags, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"error: {output}: expected --output in a folder that exists." in done.stderr


@pytest.mark.parametrize(
    ("weights", "text"),
    [
        # Of a variable that is not set.
        ("", "Expected a positive weight for each of the 2 runs. Received: []. Give as many, such"),
        ("2;1", "--weights: expected numbers. Received: ['2;1']. Give one for each run, such as"),
    ],
)
def test_weights_that_are_no_numbers_are_refused(weights, text, tmp_path):
    runs = [write_run(tmp_path / "rgb", RGB), write_run(tmp_path / "flow", FLOW)]
    flags = (f"--run_dirs={runs[0]},{runs[1]}", f"--output={tmp_path / 'fused.csv'}")
    done = run_program("train_head.fuse", *flags, f"--weights={weights}", check=False)
    assert (done.returncode, done.stdout) == (1, "") and f"error: {text}" in done.stderr


def test_a_run_that_is_named_twice_is_refused(tmp_path):
    run = write_run(tmp_path / "rgb", RGB)
    flags = (f"--run_dirs={run},{run}/", f"--output={tmp_path / 'fused.csv'}")
    done = run_program("train_head.fuse", *flags, check=False)
    assert done.returncode == 1 and "--run_dirs: expected each run once." in done.stderr


def test_a_comma_behind_the_last_run_does_not_name_the_current_folder(tmp_path):
    runs = [write_run(tmp_path / "rgb", RGB), write_run(tmp_path / "flow", FLOW)]
    flags = (f"--run_dirs={runs[0]},", f"--output={tmp_path / 'fused.csv'}")
    done = run_program("train_head.fuse", *flags, cwd=runs[1], check=False)
    assert (done.returncode, done.stdout) == (1, "") and not (tmp_path / "fused.csv").exists()
    text = f"--run_dirs: expected folders, separated by commas. Received: ['{runs[0]}', '']. Name"
    assert text in done.stderr


def test_split_is_that_of_the_file_and_a_missing_one_is_said(tmp_path):
    other = Clip("b/2", "b/2", "b", "test")
    run = RunDir(write_run(tmp_path / "rgb", RGB, split="val", more_clips=[other]))
    assert read_run_predictions(run, split="val").clip_ids == RGB.clip_ids
    with pytest.raises(FileNotFoundError, match=r"rgb: there is no run here\. Expected the --run"):
        read_run_predictions(run, split="test")  # which nobody could score
    for path in (run.model_path, run.config_path, run.contract_path):
        path.touch()
    text = r"rgb/predictions\.csv: missing\. Score the run first: .* --split=test"
    with pytest.raises(FileNotFoundError, match=text):
        read_run_predictions(run, split="test")


def test_a_split_that_a_run_has_no_clips_of_is_not_to_be_scored(tmp_path):
    runs = [write_run(tmp_path / x, RGB, split="val") for x in ("rgb", "flow")]
    for name in ("model.keras", "config.json", "contract.json"):
        (runs[0] / name).touch()
    flags = (f"--run_dirs={runs[0]},{runs[1]}", f"--output={tmp_path / 'fused.csv'}")
    done = run_program("train_head.fuse", *flags, check=False)
    text = f"error: {runs[0]}/manifest.csv: has no clips of the split test, but of val."
    assert done.returncode == 1 and text in done.stderr


@pytest.mark.parametrize(
    "changed",
    [
        {"clip_ids": ["a/2", "a/1", "b/1"]},
        {"labels": ["a", "b", "b"]},
        {"class_names": ["b", "a"]},
        {
            "clip_ids": RGB.clip_ids[:2],
            "labels": RGB.labels[:2],
            "probabilities": RGB.probabilities[:2],
        },
    ],
    ids=["sorted", "relabelled", "columns", "cut_off"],
)
def test_predictions_that_are_no_longer_those_of_the_run_are_refused(tmp_path, changed):
    run = RunDir(write_run(tmp_path / "rgb", RGB))
    path = run.predictions_path("test")
    write_predictions(path, replace(RGB, **changed))
    text = f"{path}: expected the 3 test clips of {run.manifest_path} and the classes of {run.path}"
    with refusal(text):
        read_run_predictions(run, split="test")


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        (
            {"clip_ids": ["b/1", "a/2", "a/3"]},
            r"rgb and flow: expected the same clips\. Received: 1 only in the first, such as "
            r"\['a/1'\], 1 only in the second, such as \['a/3'\]",
        ),
        ({"class_names": ["b", "c"]}, r"expected the same classes\. .*\['a'\].*\['c'\]"),
        (
            {"labels": ["b", "b", "a"]},
            r"expected the same label .*a/2 is 'a' in the one and 'b' in",
        ),
    ],
    ids=["clips", "classes", "labels"],
)
def test_what_does_not_fit_is_refused_by_name(fields, text):
    with pytest.raises(ValueError, match=text):
        fuse_predictions({"rgb": RGB, "flow": replace(FLOW, **fields)}, [1, 1])


def test_runs_of_which_one_has_fewer_clips_are_refused():
    fields = {x: getattr(FLOW, x)[:2] for x in ("clip_ids", "labels", "probabilities")}
    fewer = replace(FLOW, **fields)
    (only,) = set(FLOW.clip_ids) - set(fewer.clip_ids)
    for first, second, which in ((RGB, fewer, "first"), (fewer, RGB, "second")):
        text = f"expected the same clips. Received: 1 only in the {which}, such as {[only]}. Fuse"
        with refusal(f"rgb and flow: {text}"):
            fuse_predictions({"rgb": first, "flow": second}, [1, 1])


@pytest.mark.parametrize(
    "weights",
    [[1], [1, 2, 3], [1, 0], [1, -1], [1, float("nan")], [1, float("inf")]],
    ids=str,
)
def test_weights_that_are_not_one_positive_a_run_are_refused(weights):
    with pytest.raises(ValueError, match="Expected a positive weight for each of the 2 runs"):
        fuse_predictions({"rgb": RGB, "flow": FLOW}, weights)


def test_a_single_run_is_refused():
    with pytest.raises(ValueError, match=r"at least two different runs.*Received: \['rgb'\]"):
        fuse_predictions({"rgb": RGB}, [1])
