"""Late fusion, on predictions small enough to average by hand."""

import numpy as np
from commands import run_program
from small_predictions import FLOW, RGB, write_run

from lrcn.common.cache.run_dir import RunDir, write_json
from lrcn.common.clips.clip import Clip
from train_head.predictions.fusion import format_fusion, fuse_predictions
from train_head.scores.prediction_file import Predictions


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
