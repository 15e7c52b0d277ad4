"""Shows how far an epoch is: with a large set, one takes long."""

from lrcn.common.programs.progress import Progress
from train_head.head.layers import keras


class EpochProgress(keras.callbacks.Callback):
    """Steps done and the time left. Use as a context manager, around what it is a callback of."""

    def __init__(self):
        super().__init__()
        self._shown = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._shown is not None:
            self._shown.close()

    def on_epoch_begin(self, epoch, logs=None):
        part = f"epoch {epoch + 1} of {self.params['epochs']}"
        self._shown = Progress(self.params["steps"], "step", part=part)

    def on_train_batch_end(self, batch, logs=None):
        self._shown.show(batch + 1)

    def on_epoch_end(self, epoch, logs=None):
        self._shown.close()
