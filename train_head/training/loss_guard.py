"""Stops training at the step whose loss is not finite, and says which one it is."""

import math
from collections.abc import Callable

from lrcn.common.programs.wording import name_some
from train_head.head.layers import keras
from train_head.head.optimizer import read_learning_rate
from train_head.training.run_start import NAME_ANOTHER

_MAX_NAMED_CLIPS = 16
_REMEDY = (
    "Lower --learning_rate, or clip gradients with --clipnorm (in fine-tuning's second phase "
    "--tune_learning_rate and --tune_clipnorm); the features themselves are finite."
)
_KEPT = f"The run of the epochs before stays. {NAME_ANOTHER}, or delete this one."


class LossGuard(keras.callbacks.Callback):
    """Raises ValueError where a loss is not finite, with what a user needs to find out why.

    It looks at the epoch's mean loss, which from the first such step on is not finite. Keras
    fetches that number after every step in any case, for the callback of TensorBoard.
    """

    def __init__(self, find_batch: Callable[[int, int], list[str]]):
        """Takes what gives the clip_ids of the batch of an epoch and a step, both from 0."""
        super().__init__()
        self._find_batch = find_batch
        self._epoch = 0

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if math.isfinite(logs["loss"]):
            return
        clip_ids = self._find_batch(self._epoch, batch)
        learning_rate = read_learning_rate(self.model.optimizer)
        raise ValueError(
            f"epoch {self._epoch + 1}, step {batch + 1} of {self.params['steps']}: the loss is "
            f"{logs['loss']}, at a learning rate of {learning_rate:.3g}. Expected a finite number. "
            f"{self._find_remedy()} Clips of this batch: {name_some(clip_ids, _MAX_NAMED_CLIPS)}."
        )

    def on_epoch_end(self, epoch, logs=None):
        loss = logs.get("val_loss", 0.0)
        if not math.isfinite(loss):
            raise ValueError(
                f"epoch {epoch + 1}: the val_loss is {loss}. Expected a finite number. "
                f"{self._find_remedy()}"
            )

    def check_end(self, inputs) -> None:
        """Checks what the last step left behind, where no val clips show it: no step comes after.

        Args:
            inputs: Those of a batch.

        Raises:
            ValueError: If the model's answers to them are not finite.
        """
        if not keras.ops.all(keras.ops.isfinite(self.model(inputs, training=False))):
            raise ValueError(
                f"epoch {self._epoch + 1}: after its last step the head's answers are not finite. "
                f"Expected finite numbers. {_REMEDY} {_KEPT}"
            )

    def _find_remedy(self) -> str:
        # Where no epoch is done, no run is left that refuses other settings.
        return f"{_REMEDY} {_KEPT}" if self._epoch else _REMEDY
