"""Tests the check of RNNs behind a mask: it passes here, and it can fail."""

import numpy as np
import pytest
from commands import run_program

from train_head.head.layers import keras, tf
from train_head.head.rnn_layers import GRU
from train_head.head.rnns import RNNS
from train_head.studies.rnn_check import RnnCheck, check_rnn


def test_doctor_names_device_versions_and_every_check():
    done = run_program("train_head.doctor")
    first, _, *checks = done.stdout.splitlines()
    assert f"TensorFlow {tf.__version__}, Keras {keras.__version__}" in first
    names = [f"{rnn}, {output} frame" for rnn in RNNS for output in ("last", "every")]
    names = [name for name in names if not name.startswith("none")]
    assert [line.rsplit(maxsplit=3)[0].strip() for line in checks] == names
    for line in checks:
        *_, outputs, gradients, verdict = line.split()
        assert verdict == "ok"
        assert 0 <= float(outputs) < 1e-4 and 0 < float(gradients) < 1e-4


class HalfBroken(keras.layers.Layer):
    """A GRU that minds the mask in the forward or the backward pass only.

    Where every frame counts it reads backward too: forward alone, no frame comes after padding.
    """

    def __init__(self, *, forward: bool, backward: bool, return_sequences: bool):
        super().__init__()
        self.supports_masking = True
        self.gru = GRU(16, return_sequences=return_sequences)
        if return_sequences:
            self.gru = keras.layers.Bidirectional(self.gru)
        self.forward, self.backward = forward, backward

    def build(self, shape):
        self.gru.build(shape)

    def call(self, vectors, mask=None):
        masked, unmasked = self.gru(vectors, mask=mask), self.gru(vectors)
        value = masked if self.forward else unmasked
        slope = masked if self.backward else unmasked
        return slope + tf.stop_gradient(value - slope)


@pytest.mark.parametrize(
    ("forward", "backward", "return_sequences"), [(False, True, True), (True, False, False)]
)
def test_rnn_that_ignores_the_mask_is_found(forward, backward, return_sequences):
    rnn = HalfBroken(forward=forward, backward=backward, return_sequences=return_sequences)
    check = check_rnn("broken", rnn)
    assert not check.is_right
    assert (check.output_difference < 0.02) == forward


class RarelyBroken(keras.layers.Layer):
    """A GRU that forgets the mask in one pass of seven, as cuDNN did at random."""

    def __init__(self):
        super().__init__()
        self.supports_masking = True
        self.gru = GRU(16)
        self.passes = tf.Variable(0)

    def build(self, shape):
        self.gru.build(shape)

    def call(self, vectors, mask=None):
        if mask is None:
            return self.gru(vectors)
        forgets = self.passes.assign_add(1) % 7 == 0
        return tf.where(forgets, self.gru(vectors), self.gru(vectors, mask=mask))


def test_rnn_that_ignores_the_mask_now_and_then_is_found():
    assert not check_rnn("rarely broken", RarelyBroken()).is_right


def test_rnn_that_minds_the_mask_is_right():
    rnn = HalfBroken(forward=True, backward=True, return_sequences=True)
    assert check_rnn("whole", rnn).is_right


def test_not_a_number_is_not_right():
    assert not RnnCheck("rnn", float("nan"), 0.0).is_right
    assert not RnnCheck("rnn", 0.0, np.inf).is_right
