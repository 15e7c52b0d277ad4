"""What survives a kill: history, best weights and the last epoch's whole state.

Keras' own callbacks each keep a state of their own (EarlyStopping its patience, ModelCheckpoint
its best value, BackupAndRestore the weights, CSVLogger an open file), which a kill tears apart.
Here `history.csv` is the only memory: the best epoch and the patience follow from its rows.
"""

import csv
import math
import os
import re
import time
from pathlib import Path

import keras
from absl import logging

from lrcn.common.atomic_file import commit_file, replace_file
from lrcn.common.run_dir import RunDir

COLUMNS = ("epoch", "loss", "top1", "val_loss", "val_top1", "learning_rate")
_LAST_PATTERN = re.compile(r"epoch_([0-9]+)\.weights\.h5")


class RunRecorder(keras.callbacks.Callback):
    """Records each epoch, keeps the best weights and stops when they get no better.

    The best epoch is the one with the lowest `val_loss`, or `loss` where there is no val split.

    Attributes:
        rows: One dictionary of `COLUMNS` for each epoch that is done.
    """

    def __init__(self, run: RunDir, *, patience: int, seed: int):
        super().__init__()
        self._run = run
        self._patience = patience
        self._seed = seed
        self._best_path = run.checkpoints_path / "best.weights.h5"
        self.rows: list[dict[str, float]] = []

    def restore(self, model) -> int:
        """Loads the last epoch's weights and optimizer into the model, if there is one.

        Returns:
            How many epochs are done.
        """
        last_path = _find_last(self._run.checkpoints_path)
        if last_path is None:
            return 0
        num_epochs = int(_LAST_PATTERN.fullmatch(last_path.name)[1])
        # An epoch that was recorded but not saved is done again.
        self.rows = read_history(self._run.history_path)[:num_epochs]
        model.optimizer.build(model.trainable_variables)
        model.load_weights(last_path)
        logging.info("Going on after epoch %d", num_epochs)
        return num_epochs

    def load_best(self, model) -> dict[str, float]:
        """Loads the best epoch's weights into the model and returns its row."""
        model.load_weights(self._best_path)
        return self.rows[self._best_index()]

    def is_finished(self) -> bool:
        """Whether the best epoch lies `patience` epochs back."""
        return bool(self.rows) and len(self.rows) - 1 - self._best_index() >= self._patience

    def on_epoch_begin(self, epoch, logs=None):
        self._start_sec = time.monotonic()
        # Dropout depends on (seed, epoch) alone, so a resumed run draws what an unbroken one does.
        for number, layer in enumerate(self.model._flatten_layers()):
            generator = getattr(layer, "seed_generator", None)
            if generator is not None:
                generator.state.assign([self._seed * 1000 + number, epoch * 1_000_000])

    def on_epoch_end(self, epoch, logs=None):
        row = {"epoch": epoch + 1}
        row |= {name: float(logs[name]) for name in COLUMNS if name in logs}
        row["learning_rate"] = float(self.model.optimizer.learning_rate)
        if not math.isfinite(row["loss"]):
            raise ValueError(
                f"epoch {epoch + 1}: the loss is {row['loss']}. Expected a finite number. Lower "
                "--learning_rate or --clipnorm; the features themselves are finite."
            )
        self.rows.append(row)
        write_history(self._run.history_path, self.rows)
        if self._best_index() == epoch:
            _save_weights(self.model, self._best_path)
        last_path = self._run.checkpoints_path / f"epoch_{epoch + 1:04}.weights.h5"
        before = _find_last(self._run.checkpoints_path)
        _save_weights(self.model, last_path)
        if before is not None and before != last_path:
            before.unlink()
        numbers = "  ".join(f"{x} {row[x]:.4f}" for x in COLUMNS[1:5] if x in row)
        logging.info("epoch %d  %s  %.1f s", epoch + 1, numbers, time.monotonic() - self._start_sec)
        if self.is_finished():
            logging.info("No better for %d epochs: stopping", self._patience)
            self.model.stop_training = True

    def _best_index(self) -> int:
        monitored = [row.get("val_loss", row["loss"]) for row in self.rows]
        return monitored.index(min(monitored))


def write_history(path: Path, rows: list[dict[str, float]]) -> None:
    """Writes `history.csv`; floats round trip exactly."""
    with (
        replace_file(path) as temporary,
        open(temporary, "w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def read_history(path: Path) -> list[dict[str, float]]:
    """Reads `history.csv`; a column that an epoch does not have is left out of its row."""
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [
        {"epoch": int(row.pop("epoch")), **{k: float(v) for k, v in row.items() if v}}
        for row in rows
    ]


def _find_last(folder: Path) -> Path | None:
    found = [
        path for path in folder.glob("epoch_*.weights.h5") if _LAST_PATTERN.fullmatch(path.name)
    ]
    return max(found, default=None, key=lambda path: path.name)


def _save_weights(model, path: Path) -> None:
    # Keras wants the suffix, so the temporary name carries it too.
    temporary = path.with_name(f".tmp_{os.getpid()}.weights.h5")
    try:
        model.save_weights(temporary)
        commit_file(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
