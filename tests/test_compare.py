"""Tests the comparison of heads: its runs and figures, and that it goes on where it was cut off."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from commands import run_program, run_python
from PIL import Image
from small_comparison import (
    CONFIG,
    FLAGS,
    NUM_RIGHT,
    SEEDS,
    compare,
    write_comparison,
    write_finished_run,
)
from small_data import make_config
from small_splits import write_swapped

from lrcn.common.cache.open_cache import read_cache
from lrcn.common.cache.run_dir import RunDir, read_json
from lrcn.common.clips.manifest import read_manifest
from train_head.run.provenance import describe_data
from train_head.run.training_data import TrainingData
from train_head.studies.comparison import MODELS, compare_models
from train_head.studies.comparison_text import format_table


@pytest.fixture
def folder(tmp_path):
    write_comparison(tmp_path)
    return tmp_path


def test_program_goes_on_and_writes_table_json_and_picture(folder):
    output_dir = folder / "compare"
    shutil.rmtree(output_dir / "max_pool" / "seed_6")
    once_more = RunDir(output_dir / "mean_pool" / "seed_6")
    once_more.model_path.unlink()  # its scores are of that one
    files = [path for path in output_dir.rglob("*") if path.is_file()]
    kept = {path: path.stat().st_mtime_ns for path in files if path.parent != once_more.path}
    flags = (f"--cache_dir={folder}/cache", f"--output_dir={output_dir}", *FLAGS)
    program = (
        "import os, runpy\n"
        f"os.environ['MPLCONFIGDIR'] = '{folder}/matplotlib'  # as where it has never drawn\n"
        "runpy.run_module('train_head.compare', run_name='__main__', alter_sys=True)\n"
    )
    done = run_python(program, *flags, "--seeds=2", "--seed=5")
    assert list((folder / "matplotlib").glob("fontlist*"))
    assert {path: path.stat().st_mtime_ns for path in kept} == kept, "no run is made twice"
    assert "15 of 16 runs done, at most " in done.stderr, "the last model was not timed yet"
    assert "16 of 16 runs done, about 0:00:00 left" in done.stderr
    written = f"Written: {output_dir / 'compare.json'} and {output_dir / 'compare.png'}"
    assert done.stderr.splitlines()[-1].endswith(written)
    assert "fontManager" not in done.stderr, "what matplotlib tells of its own files"

    content = json.loads((output_dir / "compare.json").read_text())
    assert (content["split"], content["num_clips"], content["seeds"]) == ("test", 8, SEEDS)
    models = {model["name"]: model for model in content["models"]}
    assert list(models) == list(NUM_RIGHT)
    trained = read_json(once_more.metrics_path("test"))
    assert models["mean_pool"]["top1"] == [0.5, trained["top1"]]
    assert models["lstm"]["top1"] == [7 / 8, 7 / 8]
    assert done.stdout == format_table(content) + "\n"
    *_, verdict = done.stdout.split("\n\n")
    assert content["verdict"] == " ".join(verdict.splitlines())
    assert max(map(len, done.stdout.splitlines())) < 80
    with Image.open(output_dir / "compare.png") as picture:
        assert picture.width > 1000
        assert len(picture.convert("RGB").getcolors(2**24)) > 50, "something is drawn"
    once_more.metrics_path("test").unlink()  # as of one that was stopped before it was scored
    assert compare(folder)["models"] == content["models"]


def test_means_deviations_and_differences(folder):
    shutil.rmtree(folder / "compare" / "gru" / "seed_6")
    write_finished_run(
        RunDir(folder / "compare" / "gru" / "seed_6"),
        dataclasses.replace(CONFIG, seed=6),
        read_cache(folder / "cache"),
        num_right=6,
    )
    content = compare(folder)
    models = {model["name"]: model for model in content["models"]}
    assert models["gru"]["mean"] == 7 / 8
    assert models["gru"]["std"] == pytest.approx(np.std([1, 6 / 8], ddof=1))
    assert models["mean_pool"]["difference"] is None
    assert models["gru"]["difference"]["mean"] == 3 / 8
    # Two seeds that are 25 points apart say little.
    assert models["gru"]["difference"]["low"] < 0 < 3 / 8 < models["gru"]["difference"]["high"]
    # And so do three clips of eight: McNemar's exact test gives 0.25.
    assert -0.5 < models["lstm"]["difference"]["low"] < 0
    unseen = pytest.approx(1 - 0.025 ** (1 / 8))
    found = models["max_pool"]["difference"]
    assert (found["mean"], -found["low"], found["high"]) == (0, unseen, unseen)
    assert content["leaking_groups"] == 0
    leaking = format_table({**content, "leaking_groups": 2})
    assert "\n\ngroups in several splits: 2, so the scores are too good\n\nThe GRU is" in leaking
    assert not content["of_one_group"]
    assert content["num_groups"] is None
    over_clips = "\n\n[95 %]: interval over the clips and seeds\n"
    assert f"{over_clips}\nThe GRU is" in format_table(content)
    assert f"{over_clips}all clips are of one group: intervals say" in format_table(
        {**content, "of_one_group": True}
    )
    assert "over the 4 groups and seeds\n" in format_table({**content, "num_groups": 4})
    lines = format_table(content).splitlines()
    assert lines[0] == "top-1 of 8 test clips, in %: mean and deviation of seeds 5, 6"
    assert lines[2].split() == [
        "model",
        "mean",
        "std",
        "difference",
        "to",
        "mean",
        "pool",
        "[95",
        "%]",
    ]
    row = next(line for line in lines if line.startswith("GRU  "))
    assert row.split()[:4] == ["GRU", "87.5", "17.7", "+37.5"]
    # Rows of a terminal of 80 columns, the longest name and interval too.
    for model in content["models"]:
        model["difference"] = {"mean": -1, "low": -1, "high": 1}
    content["models"][0]["title"] = max((model.title for model in MODELS), key=len)
    assert max(map(len, format_table(content).splitlines()[:-1])) <= 80


def test_models_differ_from_the_gru_in_what_their_titles_say():
    gru = make_config(rnn="gru")
    differing = {
        model.name: {key for key, value in model.settings.items() if value != getattr(gru, key)}
        for model in MODELS
    }
    linear = {"rnn", "fc_units", "output"}
    assert differing == {
        "middle_frame": linear | {"seq_len", "jitter"},
        "mean_pool": linear,
        "max_pool": linear,
        "attention_pool": linear,
        "gru": set(),
        "lstm": {"rnn"},
        "gru_attention": {"frame_pooling"},
        "gru_reversed": {"frame_order"},
        "gru_shuffled": {"frame_order"},
    }
    settings = {model.name: model.settings for model in MODELS}
    assert settings["middle_frame"]["seq_len"] == 1
    assert settings["gru_attention"]["frame_pooling"] == "attention"
    for order in ("reversed", "shuffled"):
        assert settings[f"gru_{order}"]["frame_order"] == order


def test_other_splits_of_the_cache_are_compared_on(folder):
    cache, path = read_cache(folder / "cache"), folder / "split_1.csv"
    pairs = [
        dataclasses.replace(clip, group=clip.clip_id.rpartition("/")[2])
        for clip in read_manifest(cache.manifest_path)[:-1]
    ]
    write_swapped(pairs, path)
    clips = read_manifest(path)
    for model in MODELS:
        if not model.needs_positions:
            write_finished_run(
                RunDir(folder / "other" / model.name / "seed_5"),
                dataclasses.replace(CONFIG, **model.settings),
                cache,
                num_right=7,
                manifest_path=path,
            )
    content = compare_models(
        CONFIG,
        TrainingData(cache, manifest_path=path),
        output_dir=folder / "other",
        num_seeds=1,
        checkpoint_sec=60,
    )
    assert (content["num_clips"], content["num_groups"]) == (8, 4)
    assert {(*model["top1"], model["std"]) for model in content["models"]} == {(7 / 8, None)}
    assert content["data"] == describe_data(cache, clips)
    # Those of the cache's splits are others.
    flags = (f"--cache_dir={folder}/cache", f"--output_dir={folder}/compare", *FLAGS)
    done = run_program(
        "train_head.compare", *flags, "--seeds=1", "--seed=5", f"--manifest={path}", check=False
    )
    assert done.returncode == 1
    assert f"groups or splits, or in another order, than {path} lists now" in done.stderr
