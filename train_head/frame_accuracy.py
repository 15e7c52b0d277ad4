"""The accuracy over labelled frames, as training measures it."""

import keras


class LabelledFrameAccuracy(keras.metrics.SparseCategoricalAccuracy):
    """The share of labelled frames that are right: their sum, divided once.

    Weights say what a frame counts in the loss, where classes may be balanced and batches differ in
    length. Here every frame that counts there at all counts 1.
    """

    def update_state(self, y_true, y_pred, sample_weight):
        # A row a frame: of clips, Keras would average each first, padding among its frames.
        num_classes = y_pred.shape[-1]
        return super().update_state(
            keras.ops.reshape(y_true, [-1]),
            keras.ops.reshape(y_pred, [-1, num_classes]),
            sample_weight=keras.ops.reshape(keras.ops.cast(sample_weight > 0, self.dtype), [-1]),
        )
