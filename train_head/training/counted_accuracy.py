"""The accuracy that training measures."""

from train_head.head.layers import keras


class CountedAccuracy(keras.metrics.SparseCategoricalAccuracy):
    """The share of clips, or of labelled frames, that are right: their sum, divided once.

    Weights say what each counts in the loss, where classes may be balanced and batches differ in
    length. Here all that counts there counts 1.
    """

    def update_state(self, y_true, y_pred, sample_weight=None):
        if sample_weight is not None:
            counted = keras.ops.cast(sample_weight > 0, self.dtype)
            sample_weight = keras.ops.reshape(counted, [-1])
        # A row a frame: of clips, Keras would average each first, padding among its frames.
        return super().update_state(
            keras.ops.reshape(y_true, [-1]),
            keras.ops.reshape(y_pred, [-1, y_pred.shape[-1]]),
            sample_weight=sample_weight,
        )
