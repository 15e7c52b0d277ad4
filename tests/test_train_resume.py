"""Tests that a training that was killed or stopped goes on as if nothing had happened."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from commands import ROOT, SMALL_HEAD, make_command, run_program, run_python, start_program
from refusals import refusal
from small_data import assert_equal_training, train

from lrcn.common.cache.run_dir import RunDir
from lrcn.common.programs import interrupt
from train_head.head.run_model import load_model
from train_head.run.config import read_config
from train_head.run.history import read_history
from train_head.run.training_data import TrainingData
from train_head.scores.evaluation import evaluate_run
from train_head.training.train import train_run

_WAIT_SEC = 100


@pytest.mark.parametrize("num_files", [0, 3])
def test_run_that_was_cut_off_at_its_start_starts_anew(ramps, tmp_path, num_files):
    run = RunDir(tmp_path / "run")
    run.checkpoints_path.mkdir(parents=True)
    for path in (run.classes_path, run.manifest_path, run.contract_path)[:num_files]:
        path.write_text("of other settings")
    (run.path / ".versions.json.tmp").write_text("{")  # of an earlier version
    (run.path / ".manifest.csv.0123abcd.tmp").write_text("clip_id")
    train(ramps, run.path, epochs=1)
    assert run.model_path.exists()
    assert run.read_contract() == ramps.contract
    assert not list(run.path.glob(".manifest*"))


def test_checkpoints_that_a_kill_left_beside_the_model_go(ramps, tmp_path):
    run = train(ramps, tmp_path / "run", epochs=1)
    run.checkpoints_path.mkdir()
    (run.checkpoints_path / "best_1.npz").touch()
    train(ramps, run.path, epochs=1)
    assert run.model_path.exists() and not run.checkpoints_path.exists()


KILLED_SETTINGS = {
    "fc_units": 64,
    "rnn_units": 8,
    "seq_len": 4,
    "epochs": 6,
    "patience": 6,
    "batch_size": 8,
    "learning_rate": 0.01,
    # All that draws or counts.
    "rnn": "gru",
    "recurrent_dropout": 0.2,
    "balanced_sampling": True,
    "min_span": 0.5,
    "drop_frames": 0.2,
    "warmup_epochs": 1.5,
}


def kill_training(flags, run: RunDir, *, when):
    """Starts the training and kills it as soon as `when()` is true."""
    with start_program("train_head", *flags) as training:
        training.wait_until(when)
        training.kill()
        assert training.wait() == -signal.SIGKILL
    assert not run.model_path.exists()


def count_rows(run: RunDir) -> int:
    return len(read_history(run.history_path)) if run.history_path.exists() else 0


def test_killed_training_goes_on_as_if_nothing_had_happened(ramps, tmp_path):
    whole = train(ramps, tmp_path / "whole", **KILLED_SETTINGS)
    evaluate_run(whole, ramps, split="test")
    assert count_rows(whole) == 6

    run = RunDir(tmp_path / "run")
    flags = [f"--{name}={value}" for name, value in KILLED_SETTINGS.items()]
    flags += [f"--cache_dir={ramps.cache_dir}", f"--run_dir={run.path}", "--checkpoint_sec=0"]

    def is_writing(prefix):
        return run.checkpoints_path.is_dir() and any(
            name.startswith(prefix) for name in os.listdir(run.checkpoints_path)
        )

    kill_training(flags, run, when=lambda: is_writing(".tmp.best"))  # of the first checkpoint
    kill_training(flags, run, when=lambda: count_rows(run) >= 2 and is_writing(".tmp.last"))
    num_rows = count_rows(run)
    assert num_rows >= 2
    done = run_program("train_head", *flags)
    first = int(re.search(r"Going on after epoch (\d+)", done.stderr)[1])
    assert first >= num_rows - 1, "what a checkpoint holds is not done again"
    assert_equal_training(run, whole)
    for path in (run.metrics_path("test"), run.predictions_path("test")):
        assert path.read_bytes() == (whole.path / path.name).read_bytes()
    assert not run.checkpoints_path.exists()


def test_a_disk_that_a_checkpoint_fills_up_loses_nothing(ramps, make_small_disk, tmp_path):
    disk = make_small_disk(1024)
    settings = {"fc_units": 16384, "epochs": 2, "checkpoint_sec": 0}
    # The best weights take 0.5 MB, and the checkpoint with the optimizer's moments 1.5.
    with refusal(f"No space left on device: '{disk}/run/checkpoints/last_1.npz'", OSError):
        train(ramps, disk / "run", **settings)
    assert [x.name for x in (disk / "run" / "checkpoints").iterdir()] == ["best_1.npz"]
    subprocess.run(["mount", "-o", "remount,size=16m", disk], check=True)
    found = train(ramps, disk / "run", **settings)
    assert_equal_training(found, train(ramps, tmp_path / "run", **settings))


def test_an_interrupt_that_is_lost_is_known_and_nothing_is_said_of_it():
    program = """
import signal
from lrcn.common.programs import interrupt
class Interrupted:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)
class Broken:
    def __del__(self):
        raise ValueError("of its own")
interrupt.watch_interrupts()
for kind in (Interrupted, Broken):
    kind()
print(interrupt.is_interrupted())
"""
    done = run_python(program)
    assert done.stdout == "True\n"
    assert "KeyboardInterrupt" not in done.stderr and "ValueError: of its own" in done.stderr


@pytest.fixture
def watched(monkeypatch):
    """Has Ctrl-C remembered in this process, as programs do."""
    monkeypatch.setattr(interrupt, "_is_asked", False)  # and so it is afterwards
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    interrupt.watch_interrupts()
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("watched")
def test_an_interrupt_that_is_lost_stops_training_at_the_next_step(ramps, tmp_path):
    with contextlib.suppress(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(ramps, tmp_path / "run", epochs=2)
    assert count_rows(RunDir(tmp_path / "run")) == 0


@pytest.mark.usefixtures("watched")
def test_an_interrupt_while_keras_reads_weights_is_not_lost(scored, monkeypatch):
    from keras.src.saving import saving_lib

    def press(_model):
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(saving_lib, "is_memory_sufficient", press)
    with pytest.raises(KeyboardInterrupt):
        load_model(scored)


def test_stopped_training_says_where_it_goes_on(ramps, tmp_path):
    run = RunDir(tmp_path / "run")
    flags = (f"--cache_dir={ramps.cache_dir}", f"--run_dir={run.path}", *SMALL_HEAD)
    flags = (*flags, "--epochs=5000", "--patience=5000", "--checkpoint_sec=2")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    process = subprocess.Popen(
        make_command("train_head", *flags),
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(temporary)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that runs the tests in the background has them ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline_sec = time.monotonic() + _WAIT_SEC
    try:
        while not list(run.checkpoints_path.glob("last_*.npz")):
            assert process.poll() is None and time.monotonic() < deadline_sec
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        output, log = process.communicate(timeout=_WAIT_SEC)
    finally:
        process.kill()
    assert (process.returncode, output) == (130, "") and "Traceback" not in log
    assert not list(temporary.iterdir())  # AutoGraph left a file of each function that it rewrote
    # The last checkpoint is older than the last epoch, which is not kept.
    pattern = r"(\d+) epochs? done, (\d+) of them in a checkpoint \(--checkpoint_sec=2\), from"
    num_done, num_kept = map(int, re.search(pattern, log).groups())
    assert 0 < num_kept <= num_done
    assert (run.checkpoints_path / f"last_{num_kept}.npz").exists()
    assert log.endswith("go on from there if the same command is run again.\n")
    kept = [run.checkpoints_path / f"{name}_{num_kept}.npz" for name in ("last", "best")]
    for path in (run.history_path, *kept):
        content = path.read_bytes()
        path.write_bytes(content[:100])
        with refusal(f"{path}: expected what training wrote there. Received: another or half a"):
            train_run(read_config(run), TrainingData(ramps), run=run, checkpoint_sec=60)
        # What cannot be opened for now, as for lack of permission, is not to be deleted.
        path.unlink()
        path.symlink_to(path)
        with pytest.raises(OSError, match=rf"Too many levels of symbolic links: '{path}'$"):
            train_run(read_config(run), TrainingData(ramps), run=run, checkpoint_sec=60)
        path.unlink()
        path.write_bytes(content)
