"""What survives a kill: history, best weights and the last epoch's whole state.

Keras' own callbacks each keep a state of their own (EarlyStopping its patience, ModelCheckpoint
its best value, BackupAndRestore the weights, CSVLogger an open file), which a kill tears apart.
Here `history.csv` is the only memory: the best epoch and the patience follow from its rows.
"""

import contextlib
import csv
import os
import re
import time
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from absl import logging

from lrcn.common.cache.run_dir import RunDir
from lrcn.common.files.atomic_file import name_zip_file, replace_file
from lrcn.common.programs.interrupt import is_interrupted, raise_if_interrupted
from lrcn.common.programs.wording import name_count
from train_head.head.layers import keras
from train_head.head.optimizer import read_learning_rate
from train_head.run.config import TrainConfig
from train_head.run.history import COLUMNS, find_best_row, parse_history, write_history

_TOLD = (("loss", "top1"), ("val_loss", "val_top1"))
# What half a file, or another, raises. One that cannot be read for now is not to be deleted.
_DAMAGE = (FileNotFoundError, ValueError, KeyError, EOFError, csv.Error, zipfile.BadZipFile)
_CHECKPOINT_PATTERN = re.compile(r"last_([0-9]+)\.npz")


class RunRecorder(keras.callbacks.Callback):
    """Records each epoch, keeps the best weights and stops when they get no better.

    The best epoch has the highest `val_top1`, and is the last of equals, which small val splits
    have many of: the later, the lower a falling learning rate and the steadier the weights. The
    loss is a poor judge: it rises from the first certain mistake on, while the accuracy still
    grows. Without a val split there is no judge, and the best epoch is the last.
    Everything after a checkpoint is done again after a kill, and comes out the same.

    In the second phase, of block 5 and head, the epochs of the first count on and their best one
    stays the best until it is beaten.

    Attributes:
        run: Where history and checkpoints go.
        num_first_phase: How many epochs a first phase had.
        rows: One dictionary of `COLUMNS` for each epoch that is done.
        best_weights: The model's weights after the best epoch, as `get_weights` gives them.
    """

    def __init__(
        self,
        run: RunDir,
        config: TrainConfig,
        *,
        checkpoint_sec: float,
        first_phase: Sequence[dict[str, float]] = (),
    ):
        """Starts with no epoch done in this run.

        Args:
            run: Where history and checkpoints go.
            config: After how many epochs without a better one training stops, and the seed that
                decides dropout, with the epoch.
            checkpoint_sec: Seconds between checkpoints.
            first_phase: Its rows, where the model comes from one, with the weights of its best.
        """
        super().__init__()
        self.run = run
        self._config = config
        self._checkpoint_sec = checkpoint_sec
        self._saved_sec = time.monotonic()
        self.num_first_phase = len(first_phase)
        self.rows: list[dict[str, float]] = list(first_phase)
        self.best_weights: list[np.ndarray] = []

    def restore(self, model) -> int:
        """Loads the last checkpoint's weights and optimizer into the model, if there is one.

        Returns:
            How many epochs are done, those of the first phase among them.

        Raises:
            ValueError: If a file is damaged, or does not fit the others.
        """
        self._folder = os.stat(self.run.path)
        num_epochs = max(_find_checkpoints(self.run.checkpoints_path), default=0)
        if num_epochs:
            last_path, best_path = self._checkpoint_paths(num_epochs)
            self.rows = self._read_rows(num_epochs)
            with self._explain_damage(last_path):
                values = _read_arrays(last_path)
                num_weights = len(model.weights)
                model.set_weights(values[:num_weights])
                rest = zip(model.optimizer.variables, values[num_weights:], strict=True)
                for variable, value in rest:
                    variable.assign(value)
            with self._explain_damage(best_path):
                self.best_weights = _read_arrays(best_path)
            logging.info("Going on after epoch %d", num_epochs)
        elif self.rows:
            self.best_weights = model.get_weights()
        return len(self.rows)

    def _read_rows(self, num_epochs: int) -> list[dict[str, float]]:
        path = self.run.history_path
        with self._explain_damage(path):
            rows = parse_history(path)[:num_epochs]
            if len(rows) != num_epochs:
                raise ValueError(f"{len(rows)} rows for {num_epochs} epochs")
        return rows

    @contextlib.contextmanager
    def _explain_damage(self, path: Path) -> Iterator[None]:
        try:
            with name_zip_file(path):
                yield
        except _DAMAGE as error:
            raise ValueError(
                f"{path}: expected what training wrote there. Received: another or half a file "
                f"({error}). Delete {self.run.checkpoints_path} and run the same command again: it "
                "starts anew."
            ) from error

    @contextlib.contextmanager
    def report_stop(self) -> Iterator[None]:
        """Says where training will go on if Ctrl-C ends the block, which keeps no half epoch."""
        try:
            yield
        except BaseException as error:
            # TensorFlow may make an error of its own of a Ctrl-C.
            if not (isinstance(error, KeyboardInterrupt) or is_interrupted()):
                raise
            num_epochs = max(_find_checkpoints(self.run.checkpoints_path), default=0)
            logging.info(
                "%s: %s done, %d of them in a checkpoint (--checkpoint_sec=%g), from where "
                "the same command goes on",
                self.run.path,
                name_count(len(self.rows), "epoch"),
                num_epochs,
                self._checkpoint_sec,
            )
            raise

    def best_row(self) -> dict[str, float]:
        """The row of the best epoch."""
        return find_best_row(self.rows)

    def check_folder(self) -> None:
        """Checks that the run's folder is still the one of this training, which alone is locked.

        Raises:
            OSError: If it is gone.
            RuntimeError: If another has its name, as where it was removed and trained anew.
        """
        if not os.path.samestat(self._folder, os.stat(self.run.path)):
            raise RuntimeError(
                f"{self.run.path}: expected the folder that this training began in. Received: "
                "another of its name, as where it was removed and another training began there, "
                "to which this one leaves it. Name another folder to train this one again."
            )

    def is_finished(self) -> bool:
        """Whether the best epoch lies `patience` epochs back."""
        if len(self.rows) == self.num_first_phase:
            return False
        last_better = max(self.best_row()["epoch"], self.num_first_phase)
        return len(self.rows) - last_better >= self._config.patience

    def on_epoch_begin(self, epoch, logs=None):
        self._start_sec = time.monotonic()
        self._learning_rate = read_learning_rate(self.model.optimizer)  # of its first step
        # Dropout depends on (seed, epoch) alone, so a resumed run draws what an unbroken one does.
        for number, layer in enumerate(self.model._flatten_layers()):
            generator = getattr(layer, "seed_generator", None)
            if generator is not None:
                seeds = np.random.SeedSequence([self._config.seed, epoch, number])
                generator.state.assign(seeds.generate_state(2))

    def on_train_batch_end(self, batch, logs=None):
        raise_if_interrupted()

    def on_epoch_end(self, epoch, logs=None):
        self.check_folder()
        row = {"epoch": epoch + 1}
        row |= {name: float(logs[name]) for name in COLUMNS if name in logs}
        row["learning_rate"] = self._learning_rate
        row["phase"] = 2 if self.num_first_phase else 1
        self.rows.append(row)
        write_history(self.run.history_path, self.rows)
        if self.best_row() is row:
            self.best_weights = self.model.get_weights()
        # Within the 80 columns of a terminal; history.csv has all digits.
        pairs = [[f"{x} {row[x]:.3f}" for x in names if x in row] for names in _TOLD]
        numbers = "  ".join(" ".join(pair) for pair in pairs if pair)
        logging.info("epoch %d  %s  %.1f s", epoch + 1, numbers, time.monotonic() - self._start_sec)
        if self.is_finished():
            logging.info("No better for %d epochs: stopping", self._config.patience)
            self.model.stop_training = True
        elif epoch + 1 == self.params["epochs"]:
            return  # the model itself is saved next
        elif time.monotonic() - self._saved_sec >= self._checkpoint_sec:
            self._save_checkpoint(epoch + 1)
            self._saved_sec = time.monotonic()

    def _save_checkpoint(self, num_epochs: int) -> None:
        last_path, best_path = self._checkpoint_paths(num_epochs)
        with replace_file(best_path, keep_ending=True) as temporary:
            np.savez(temporary, *self.best_weights)
        # Last, since its name is what says that there is a checkpoint. Not Keras' .h5 file, since a
        # full disk lets HDF5 crash.
        values = self.model.get_weights() + [x.numpy() for x in self.model.optimizer.variables]
        with replace_file(last_path, keep_ending=True) as temporary:
            np.savez(temporary, *values)
        for earlier in _find_checkpoints(self.run.checkpoints_path):
            if earlier != num_epochs:
                for path in self._checkpoint_paths(earlier):
                    path.unlink(missing_ok=True)

    def _checkpoint_paths(self, num_epochs: int) -> tuple[Path, Path]:
        folder = self.run.checkpoints_path
        return folder / f"last_{num_epochs}.npz", folder / f"best_{num_epochs}.npz"


def _read_arrays(path: Path) -> list[np.ndarray]:
    with np.load(path, allow_pickle=False) as arrays:
        return [arrays[name] for name in arrays.files]


def _find_checkpoints(folder: Path) -> list[int]:
    """Returns after how many epochs the folder holds checkpoints."""
    matches = [_CHECKPOINT_PATTERN.fullmatch(path.name) for path in folder.iterdir()]
    return sorted(int(match[1]) for match in matches if match)
