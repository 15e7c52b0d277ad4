"""When training stops, and how the epochs of two phases count."""

import pytest
from refusals import refusal
from small_data import make_config
from small_heads import make_head

from lrcn.common.cache.run_dir import RunDir
from lrcn.common.programs import interrupt
from train_head.run.history import write_history
from train_head.training.fitting import save_model
from train_head.training.recorder import RunRecorder


def make_rows(*val_top1, first_epoch=1, phase=1):
    """The rows of epochs with these scores on val."""
    return [
        {"epoch": first_epoch + i, "phase": phase, "val_top1": top1}
        for i, top1 in enumerate(val_top1)
    ]


def find_stop(*val_top1, first_phase=(), patience=2):
    """After how many epochs of its own training stops; None if it does not."""
    recorder = RunRecorder(
        RunDir("run"),
        make_config(patience=patience, seed=0),
        checkpoint_sec=60,
        first_phase=first_phase,
    )
    num_first_phase = len(first_phase)
    for row in make_rows(*val_top1, first_epoch=num_first_phase + 1, phase=2):
        assert not recorder.is_finished()
        recorder.rows.append(row)
        if recorder.is_finished():
            return len(recorder.rows) - num_first_phase
    return None


@pytest.mark.parametrize(
    ("val_top1", "stop"),
    [
        ((0.9, 0.5, 0.5), 3),
        ((0.9, 0.5, 0.9, 0.5), None),  # the last of equals is the best
        ((0.1, 0.2, 0.3, 0.4), None),
        ((0.4, 0.3, 0.5, 0.3, 0.3), 5),
    ],
)
def test_training_stops_where_it_gets_no_better(val_top1, stop):
    assert find_stop(*val_top1) == stop


@pytest.mark.parametrize(
    ("val_top1", "stop"),
    [
        ((0.5, 0.5), 2),  # not before, though the best epoch of all lies four back at the start
        ((0.5, 0.9, 0.5, 0.5), 4),
        ((0.5, 0.6), 2),  # better than in its first epoch, but not than in the first phase
    ],
)
def test_the_second_phase_has_patience_of_its_own(val_top1, stop):
    first_phase = make_rows(0.8, 0.7, 0.7, 0.7, 0.7)
    assert find_stop(*val_top1, first_phase=first_phase) == stop


def test_a_stop_that_tensorflow_makes_an_error_of_is_told_too(tmp_path, monkeypatch, caplog):
    recorder = RunRecorder(RunDir(tmp_path), make_config(patience=1, seed=0), checkpoint_sec=60)
    recorder.run.checkpoints_path.mkdir()
    recorder.rows = make_rows(0.5, 0.5)
    caplog.set_level("INFO", logger="absl")
    for is_asked in (False, True):
        monkeypatch.setattr(interrupt, "_is_asked", is_asked)
        with pytest.raises(RuntimeError), recorder.report_stop():
            raise RuntimeError("KeyboardInterrupt: in a function of a dataset")
        told = f"{tmp_path}: 2 epochs done, 0 of them in a checkpoint" in caplog.text
        assert told == is_asked


def test_a_run_that_was_removed_and_begun_anew_is_left_to_the_new_training(tmp_path):
    run, model = RunDir(tmp_path / "run"), make_head()
    recorder = RunRecorder(run, make_config(patience=9, seed=0), checkpoint_sec=0)
    run.checkpoints_path.mkdir(parents=True)
    recorder.restore(model)
    model.compile("sgd")
    recorder.set_model(model)
    recorder.set_params({"epochs": 9})
    for epoch in range(2):
        recorder.on_epoch_begin(epoch)
        recorder.on_epoch_end(epoch, {"loss": 0.5})
    # The earlier ones, each as large as the model and its optimizer, are gone.
    assert sorted(x.name for x in run.checkpoints_path.iterdir()) == ["best_2.npz", "last_2.npz"]
    run.path.rename(tmp_path / "removed")
    run.checkpoints_path.mkdir(parents=True)
    recorder.on_epoch_begin(2)
    told = f"{run.path}: expected the folder that this training began in. Received: another"
    with refusal(told, RuntimeError):
        recorder.on_epoch_end(2, {"loss": 0.5})
    with refusal(told, RuntimeError):
        save_model(model, recorder)
    assert [*run.path.rglob("*")] == [run.checkpoints_path]


def test_a_run_whose_checkpoints_somebody_removed_ends_all_the_same(tmp_path):
    recorder = RunRecorder(RunDir(tmp_path), make_config(patience=9, seed=0), checkpoint_sec=60)
    recorder.run.checkpoints_path.mkdir()
    recorder.restore(make_head())
    recorder.run.checkpoints_path.rmdir()
    save_model(make_head(), recorder)
    assert [*tmp_path.iterdir()] == [recorder.run.model_path]


def test_a_history_that_is_not_of_the_checkpoints_epochs_is_refused(tmp_path):
    recorder = RunRecorder(RunDir(tmp_path), make_config(patience=9, seed=0), checkpoint_sec=60)
    recorder.run.checkpoints_path.mkdir()
    (recorder.run.checkpoints_path / "last_2.npz").touch()
    row = {"epoch": 1, "loss": 0.5, "top1": 0.5, "learning_rate": 0.1, "phase": 1}
    write_history(recorder.run.history_path, [row])  # an earlier copy, say
    with refusal("Received: another or half a file (1 rows for 2 epochs). Delete"):
        recorder.restore(make_head())


def test_layers_do_not_leave_out_the_same(tmp_path):
    recorder = RunRecorder(RunDir(tmp_path), make_config(patience=9, seed=0), checkpoint_sec=60)
    model = make_head(rnn_layers=2, dropout=0.5)
    model.compile("sgd")
    recorder.set_model(model)
    recorder.on_epoch_begin(0)
    generators = [getattr(x, "seed_generator", None) for x in model._flatten_layers()]
    seeds = [tuple(x.state.numpy().tolist()) for x in generators if x is not None]
    assert len(set(seeds)) == len(seeds) > 2
