"""Tests late fusion on predictions small enough to average by hand."""

import numpy as np
import pytest
from commands import run_program
from refusals import refusal

from lrcn.common.clip import Clip
from lrcn.common.manifest import write_class_names, write_manifest
from lrcn.common.run_dir import RunDir, write_json
from train_head.fusion import format_fusion, fuse_predictions
from train_head.prediction_file import (
    Predictions,
    read_run_predictions,
    write_predictions,
)

RGB = Predictions(
    ["a/1", "a/2", "b/1"],
    ["a", "a", "b"],
    ["a", "b"],
    np.array([[0.9, 0.1], [0.4, 0.6], [0.6, 0.4]]),
)
# The same clips and classes in another order, with columns a: 0.8, 0.8, 0.0.
FLOW = Predictions(
    ["b/1", "a/2", "a/1"],
    ["b", "a", "a"],
    ["b", "a"],
    np.array([[1.0, 0.0], [0.2, 0.8], [0.2, 0.8]]),
)


def write_run(folder, predictions, *, split="test", more_clips=()):
    folder.mkdir()
    clips = [
        Clip(x, x, label, split, group=f"of {x}")
        for x, label in zip(predictions.clip_ids, predictions.labels, strict=True)
    ]
    write_manifest(RunDir(folder).manifest_path, [*clips, *more_clips])
    write_class_names(RunDir(folder).classes_path, predictions.class_names)
    write_predictions(RunDir(folder).predictions_path(split), predictions)
    return folder


def replace(predictions, **fields):
    return Predictions(**{**vars(predictions), **fields})


def test_leaking_groups_are_said(tmp_path):
    leak = [Clip("a/0", "a/0", "a", "train", group="of a/1")]
    runs = [write_run(tmp_path / "rgb", RGB), write_run(tmp_path / "flow", FLOW, more_clips=leak)]
    done = run_program(
        "train_head.fuse", f"--run_dirs={runs[0]},{runs[1]}", f"--output={tmp_path / 'fused.csv'}"
    )
    assert done.stdout.endswith("\ngroups in several splits: 1, so the scores are too good\n")


def test_clips_that_changed_between_two_scores_are_told(tmp_path):
    runs = [write_run(tmp_path / x, RGB) for x in ("old", "new", "flow")]
    runs.append(write_run(tmp_path / "in_other_order", FLOW))
    cache_dirs = ("/rgb", "/rgb", "/flow", "/rgb")
    for run, cache_dir, sources in zip(runs, cache_dirs, "abac", strict=True):
        provenance = {"cache_dir": cache_dir, "sources": sources}
        write_json(RunDir(run).metrics_path("test"), {"provenance": provenance})
    old, new, flow, in_other_order = runs

    def fuse(*runs):
        output = tmp_path / "fused.csv"
        output.unlink(missing_ok=True)
        names = ",".join(map(str, runs))
        return run_program("train_head.fuse", f"--run_dirs={names}", f"--output={output}").stderr

    assert f"{old} and {new} were scored on other contents of these clips" in fuse(old, flow, new)
    assert "contents" not in fuse(new, flow, in_other_order)


def test_a_run_without_its_manifest_is_refused_before_anything_is_written(tmp_path):
    runs = [write_run(tmp_path / "rgb", RGB), write_run(tmp_path / "flow", FLOW)]
    RunDir(runs[1]).manifest_path.unlink()
    output = tmp_path / "fused.csv"
    done = run_program(
        "train_head.fuse", f"--run_dirs={runs[0]},{runs[1]}", f"--output={output}", check=False
    )
    assert (done.returncode, done.stdout) == (1, "") and not output.exists()
    assert f"{runs[1]}: manifest.csv of the run missing, without which it" in done.stderr


def test_program_writes_the_average_and_prints_all_scores(tmp_path):
    rgb, flow = write_run(tmp_path / "rgb", RGB), write_run(tmp_path / "flow", FLOW)
    output = tmp_path / "fused.csv"
    done = run_program(
        "train_head.fuse", f"--run_dirs={rgb},{flow}", "--weights=2,1", f"--output={output}"
    )
    assert output.read_text().splitlines() == [
        "clip_id,label,predicted,a,b",
        "a/1,a,a,0.866666667,0.133333333",
        "a/2,a,a,0.533333333,0.466666667",
        "b/1,b,b,0.4,0.6",
    ]
    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows[0] == ["run", "weight", "clips", "top-1", "mean", "class", "accuracy"]
    assert rows[1:] == [
        [str(rgb), "0.67", "3", "33.3%", "25.0%"],
        [str(flow), "0.33", "3", "100.0%", "100.0%"],
        ["fusion", "3", "100.0%", "100.0%"],
    ]

    before = output.read_bytes()
    again = run_program(
        "train_head.fuse", f"--run_dirs={rgb},{flow}", f"--output={output}", check=False
    )
    assert again.returncode == 1 and again.stdout == ""
    assert f"{output}: exists already. Name another --output" in again.stderr
    assert output.read_bytes() == before


def test_of_more_than_five_classes_top5_is_told():
    for names in ("abcdef", "abcde"):
        names, count = list(names), len(names)
        first = Predictions(names, names, names, np.eye(count))
        # The class that is true is the least probable.
        last = Predictions(names, names, names, (1 - np.eye(count)) / (count - 1))
        fused = fuse_predictions({"first": first, "last": last}, [1, 9])
        table = format_fusion({"first": first, "last": last}, [1, 9], fused)
        header, *rows = [line.split() for line in table.splitlines()]
        # Top-1, top-5 where it is told, and the mean class accuracy.
        num_scores = 3 if count > 5 else 2
        assert ("top-5" in header) == (count > 5)
        assert [row[-num_scores:] for row in rows] == [
            ["100.0%"] * num_scores,
            ["0.0%"] * num_scores,
            ["0.0%"] * num_scores,
        ]


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


def test_only_the_proportion_of_weights_matters():
    fused = fuse_predictions({"rgb": RGB, "flow": FLOW}, [2, 1]).probabilities
    np.testing.assert_allclose(
        fuse_predictions({"rgb": RGB, "flow": FLOW}, [0.5, 0.25]).probabilities, fused
    )
    np.testing.assert_allclose(
        fuse_predictions({"rgb": RGB, "flow": FLOW}, [1.6e308, 0.8e308]).probabilities, fused
    )
    np.testing.assert_allclose(fused.sum(axis=1), 1)
    twice = fuse_predictions({"rgb": RGB, "again": RGB, "flow": FLOW}, [1, 1, 1]).probabilities
    np.testing.assert_allclose(twice, fused)


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
