"""What a comparison of heads does not take, nor mix."""

import dataclasses
import shutil

import pytest
from commands import run_program
from refusals import refusal
from small_comparison import CONFIG, compare, write_comparison, write_finished_run
from small_data import copy_cache, make_ramps, play_backwards, write_cache

from lrcn.common.cache.open_cache import read_cache
from lrcn.common.cache.run_dir import RunDir
from lrcn.common.clips.clip import SourceStat
from lrcn.common.clips.manifest import read_class_names, read_manifest, write_manifest
from train_head.studies.comparison import MODELS


@pytest.fixture
def folder(tmp_path):
    write_comparison(tmp_path)
    return tmp_path


def test_without_held_out_clips_there_is_nothing_to_compare_on(tmp_path):
    write_cache(tmp_path / "cache", make_ramps(2, split="train"))
    text = (
        r"manifest\.csv: expected clips of the split test, .*to compare on\. "
        r"Received: \['train'\]\. Give some clips"
    )
    with pytest.raises(ValueError, match=text):
        compare(tmp_path)
    assert not (tmp_path / "compare").exists()


def test_memory_that_is_too_small_for_a_model_is_told_before_others_are_trained(tmp_path, caplog):
    features = make_ramps(2, split="train") | make_ramps(2, split="val")
    write_cache(tmp_path / "cache", features)
    with refusal(" weights of the RNN, with their gradients", MemoryError):
        compare(tmp_path, rnn_units=100_000)
    assert not (tmp_path / "compare").exists()
    assert "No test clips: the scores are of the val clips that chose the epochs." in caplog.text


def test_clips_in_another_order_are_not_taken_for_those_of_other_runs(folder):
    path = RunDir(folder / "compare" / "gru" / "seed_6").predictions_path("test")
    header, *rows = path.read_text().splitlines(keepends=True)
    path.write_text("".join([header, *reversed(rows)]))  # as a spreadsheet may save it
    with refusal(f"{path}: expected the 8 test clips of"):
        compare(folder)


def test_clips_that_change_while_it_trains_are_not_mixed(folder, when_logged):
    cache = read_cache(folder / "cache")
    shutil.rmtree(folder / "compare" / "gru_shuffled" / "seed_6")

    def correct_a_label():
        # As an extraction of a corrected manifest does, after the last run but one.
        *clips, last = read_manifest(cache.manifest_path)
        others = set(read_class_names(cache.classes_path)) - {last.label}
        last = dataclasses.replace(last, label=others.pop())
        write_manifest(cache.manifest_path, [*clips, last])

    when_logged("gru_reversed/seed_6: trained already", correct_a_label)
    with refusal("lists other clips, labels, groups or splits than when this program started"):
        compare(folder)
    assert not (folder / "compare" / "gru_shuffled" / "seed_6").exists()


def test_a_run_that_is_scored_on_another_cache_meanwhile_is_not_mixed(folder, when_logged):
    run = RunDir(folder / "compare" / "mean_pool" / "seed_5")
    other = copy_cache(read_cache(folder / "cache"), folder / "other")
    other = play_backwards(other, "test", SourceStat(1, 0))

    def score_on_the_other():
        shutil.rmtree(run.path)
        config = dataclasses.replace(CONFIG, **MODELS[1].settings)
        write_finished_run(run, config, other, num_right=0)

    when_logged("gru_reversed/seed_6: trained already", score_on_the_other)
    text = f"{run.metrics_path('test')}: expected the score on {folder / 'cache'}. Received: none, "
    with refusal(text, RuntimeError):
        compare(folder)


def test_runs_of_other_settings_are_refused_before_any_is_trained(folder):
    first = folder / "compare" / "lstm" / "seed_5"
    shutil.rmtree(first)
    with pytest.raises(ValueError, match="seed_5: made with rnn_units=8, but this command"):
        compare(folder, rnn_units=9)
    assert not first.exists()


@pytest.mark.parametrize("more", [(), ("--only_check_args",)])
@pytest.mark.parametrize(
    ("flag", "text"),
    [
        (
            "--frame_order=forward",
            "--frame_order: the models of the comparison differ in it. Leave it out.",
        ),
        (
            "--seed=4294967294",  # but one more is a seed, and three are taken
            "--seed=4294967294: expected 3 seeds from it below 2^32. Lower it.",
        ),
    ],
)
def test_flags_in_which_the_models_differ_and_too_few_seeds_are_refused(flag, text, more):
    flags = ("--cache_dir=a", "--output_dir=b", flag, *more)
    done = run_program("train_head.compare", *flags, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"error: {text}" in done.stderr


def test_clips_that_move_while_it_trains_are_the_same(folder, when_logged):
    cache = read_cache(folder / "cache")

    def move():
        # As an extraction does that found the same clips in another place.
        clips = read_manifest(cache.manifest_path)
        moved = [dataclasses.replace(clip, path=f"b/{clip.path}") for clip in clips]
        write_manifest(cache.manifest_path, moved)

    when_logged("gru_reversed/seed_6: trained already", move)
    assert compare(folder)["num_clips"] == 8
