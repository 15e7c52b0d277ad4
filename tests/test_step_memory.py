"""What memory may be, or is, too small for is told of before the first step."""

import dataclasses

import numpy as np
import pytest
from commands import SMALL_HEAD, run_program
from refusals import refusal
from small_data import fine_tune, make_config, train, write_cache

from lrcn.common.cache.open_cache import read_cache
from lrcn.common.cache.run_dir import RunDir
from lrcn.common.clips.clip import Clip
from lrcn.common.programs import machine
from train_head.batches import step_memory
from train_head.batches.clip_reader import ClipReader
from train_head.predictions.prediction import Predictor
from train_head.run.config import read_config
from train_head.scores.evaluation import evaluate_run


@pytest.mark.parametrize(
    ("settings", "num_frames", "num_padding"),
    [
        ({"sequence": "ragged", "batch_size": 2}, 12, 4),  # of the longest clips
        ({"sequence": "ragged", "batch_size": 9, "fc_units": 0}, 15, 9),
        ({"sequence": "fixed", "batch_size": 2, "seq_len": 100, "rnn_layers": 2}, 200, 0),
    ],
)
def test_a_step_that_takes_half_of_the_memory(
    tmp_path, monkeypatch, caplog, settings, num_frames, num_padding
):
    features = {
        Clip(str(length), str(length), "walk", "train"): np.zeros((length, 2, 5))
        for length in (8, 3, 4)
    }
    cache = write_cache(tmp_path / "cache", features)
    reader, config = ClipReader(cache, ["8", "3", "4"], memory_bytes=0), make_config(**settings)
    # Features, the FC layer's 16 units and the GRU's two gates and candidate, of 8 units.
    num_made = 3 * 8 * config.rnn_layers
    copy_bytes = 4 * num_frames * (10 + config.fc_units + num_made)
    # Of padding there are the vectors that the GRU reads, with their gradient, and what it makes.
    num_read = config.fc_units or 10
    enough_bytes = 14 * copy_bytes + 2 * 4 * num_padding * (2 * num_read + 7 * num_made)
    for memory_bytes, is_told in ((enough_bytes, False), (enough_bytes - 1, True)):
        monkeypatch.setattr(machine, "find_memory_bytes", lambda size=memory_bytes: size)
        step_memory.check_batch(reader, config)
        assert (f"({num_frames} frames in one batch" in caplog.text) == is_told
    least_bytes = 3 * (copy_bytes + 4 * num_padding * num_made)
    monkeypatch.setattr(machine, "find_memory_bytes", lambda: least_bytes - 1)
    padding = f" and {num_padding} of padding" if num_padding else ""
    told = f"{num_frames} frames in one batch{padding} take 0 GiB, of 0 that there are"
    with refusal(told, MemoryError):
        step_memory.check_batch(reader, config)
    # The rest is in a GPU's memory, which has an error of its own.
    monkeypatch.setattr(step_memory, "has_gpu", lambda: True)
    features_bytes = 4 * num_frames * 10
    monkeypatch.setattr(machine, "find_memory_bytes", lambda: features_bytes - 1)
    with refusal(told, MemoryError):
        step_memory.check_memory(reader, config)
    caplog.clear()
    monkeypatch.setattr(machine, "find_memory_bytes", lambda: features_bytes)
    step_memory.check_memory(reader, config)
    assert not caplog.text


@pytest.mark.parametrize(
    ("settings", "num_weights", "told"),
    [
        ({"rnn": "none", "fc_units": 900}, 10 * 900, "FC layer, .*: --fc_units=900$"),
        (
            {"rnn": "none", "fc_units": 900, "frame_pooling": "average"},
            5 * 900,
            "FC layer, .*: --fc_units=900$",
        ),
        ({"rnn": "lstm", "fc_units": 0, "rnn_units": 90}, 36_000, "RNN, .*: --rnn_units=90$"),
        ({"fc_units": 100}, 2_592, "RNN, .*: --rnn_units=8, --fc_units=100$"),
    ],
)
def test_weights_that_take_more_than_the_memory(tmp_path, monkeypatch, settings, num_weights, told):
    cache = write_cache(tmp_path / "cache", {Clip("a", "a", "walk", "train"): np.zeros((1, 2, 5))})
    reader, config = ClipReader(cache, ["a"], memory_bytes=0), make_config(**settings)
    taken_bytes = 3 * 4 * num_weights
    monkeypatch.setattr(machine, "find_memory_bytes", lambda: taken_bytes - 1)
    with pytest.raises(MemoryError, match=f"^the {num_weights:,} weights of the {told}"):
        step_memory.check_memory(reader, config)
    monkeypatch.setattr(machine, "find_memory_bytes", lambda: taken_bytes)
    step_memory.check_memory(reader, config)


@pytest.mark.parametrize(
    ("flags", "told", "lower"),
    [
        (
            ["--seq_len=1000000000000"],
            "16,000,000,000,000 frames in one batch take 8,225,441 GiB, of ",
            "one of --batch_size, --seq_len, --rnn_units",
        ),
        (
            ["--seq_len=1000000000000", "--sequence=ragged", "--fc_units=1000000000000"],
            "the 6,000,000,000,000 weights of the FC layer, with ",
            "--fc_units",
        ),
        (
            ["--rnn_units=1000000"],
            "the 3,000,048,000,000 weights of the RNN, with their gradients and the optimizer, "
            "take 33,528 GiB, of ",
            "--rnn_units",
        ),
        (
            ["--rnn=bigru", "--fc_units=0", "--rnn_layers=100", "--rnn_units=1000000"],
            "the 1,788,000,036,000,000 weights of the RNN, ",
            "one of --rnn_units, --rnn_layers",
        ),
    ],
)
def test_what_is_larger_than_the_memory_is_refused(ramps, tmp_path, flags, told, lower):
    folders = (f"--cache_dir={ramps.cache_dir}", f"--run_dir={tmp_path / 'new' / 'run'}")
    done = run_program("train_head", *folders, *SMALL_HEAD, *flags, check=False)
    assert done.returncode == 1
    assert f"error: out of memory ({told}" in done.stderr
    assert f"). Lower {lower}, or use a machine with more of it.\n" in done.stderr
    assert not (tmp_path / "new").exists()


def test_a_batch_of_fine_tuning_is_refused_before_the_head_is_trained(
    block4_dir, tmp_path, monkeypatch
):
    cache, folder = read_cache(block4_dir), tmp_path / "run"
    settings = {"batch_size": 16, "epochs": 1, "tune_epochs": 1}
    # Ten clips; the head reads 512 features of a frame, block 5 has 2,048.
    taken_bytes = 3 * 10 * 4 * (2048 + 16) * 4
    monkeypatch.setattr(machine, "find_memory_bytes", lambda: taken_bytes - 1)
    with refusal("40 frames in one batch take 0 GiB, of 0 that there are", MemoryError):
        fine_tune(cache, folder, **settings)
    assert not folder.exists()
    monkeypatch.setattr(machine, "find_memory_bytes", lambda: taken_bytes)
    fine_tune(cache, folder, **settings)


def test_more_layers_than_are_ever_built_are_refused(ramps, tmp_path):
    flags = (f"--cache_dir={ramps.cache_dir}", f"--run_dir={tmp_path / 'run'}")
    done = run_program("train_head", *flags, "--rnn_layers=1000000", check=False)
    assert done.returncode == 1
    assert "--rnn_layers=1000000: 1000000 is not an integer in the range [1, 100]" in done.stderr


def test_windows_that_take_more_than_the_memory_are_refused(run_dir, monkeypatch):
    # Four frames each, of 512 features.
    taken_bytes = 1000 * 4 * 512 * 10
    monkeypatch.setattr(machine, "find_memory_bytes", lambda: taken_bytes - 1)
    with refusal(
        "4,000 frames of a clip's windows take 0 GiB, of 0 that there are: --windows=1000",
        MemoryError,
    ):
        Predictor(RunDir(run_dir), num_windows=1000)
    monkeypatch.setattr(machine, "find_memory_bytes", lambda: taken_bytes)
    Predictor(RunDir(run_dir), num_windows=1000)
    # Each view of a window is read, with all of its features.
    config, contract = read_config(RunDir(run_dir)), RunDir(run_dir).read_contract()
    contract = dataclasses.replace(contract, views="flip", feature_shape=(2, 256))
    step_memory.check_new_clip(config, contract, num_windows=500)
    with refusal("4,008 frames of a clip's windows take", MemoryError):
        step_memory.check_new_clip(config, contract, num_windows=501)
    # Of whole clips, a frame at least.
    ragged = dataclasses.replace(config, sequence="ragged")
    step_memory.check_new_clip(ragged, contract, num_windows=2000)


def test_a_held_out_clip_that_is_longer_than_the_memory_is_refused(tmp_path, monkeypatch):
    names = ("a", "longest", "b")  # of so many frames
    features = {Clip(x, x, "walk", "val"): np.zeros((len(x), 2, 5)) for x in names}
    cache = write_cache(tmp_path / "cache", features)
    reader, config = ClipReader(cache, [*names], memory_bytes=0), make_config()
    ragged = make_config(sequence="ragged")
    monkeypatch.setattr(machine, "find_memory_bytes", lambda: 3 * 10 * 8)
    told = "The clip longest: expected at most the 3 frames that memory holds. Received:"
    for num_windows, num_frames in ((1, 7), (2, 4)):
        with refusal(f"{told} {num_frames} or more. Divide it"):
            step_memory.check_longest_clip(reader, ragged, num_windows=num_windows)
    step_memory.check_longest_clip(reader, ragged, num_windows=3)
    step_memory.check_longest_clip(reader, config)
    monkeypatch.setattr(step_memory, "has_gpu", lambda: True)
    step_memory.check_longest_clip(reader, ragged)


def test_a_new_clip_that_is_longer_than_the_memory_is_told_of(
    run_dir, clips_dir, feature_run, imported, monkeypatch
):
    clips = {
        RunDir(run_dir): clips_dir / "left" / "clip_0",
        feature_run: imported / "new.h5" / "rise" / "test_1",
    }
    for run, source in clips.items():
        predictor, num_read = Predictor(run), read_config(run).seq_len
        held_bytes = (num_read - 1) * run.read_contract().values_per_frame * 10
        with monkeypatch.context() as patched:
            patched.setattr(machine, "find_memory_bytes", lambda size=held_bytes: size)
            (told,) = predictor.predict_clips([source])
        expected = f"{source}: expected at most the {num_read - 1} frames that memory holds. "
        assert told.failure.startswith(f"{expected}Received: {num_read} or more. Divide it ")


def test_a_test_clip_that_is_longer_than_the_memory_is_not_scored(ramps, tmp_path, monkeypatch):
    run = train(ramps, tmp_path / "run", sequence="ragged", epochs=1)
    monkeypatch.setattr(machine, "find_memory_bytes", lambda: 2 * 6 * 8)
    with refusal("expected at most the 2 frames that memory holds."):
        evaluate_run(run, ramps, split="test")
    assert not run.metrics_path("test").exists()
