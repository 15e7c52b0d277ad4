"""Keras' GRU and LSTM, faster on a CPU: what does not depend on the state is done for all frames.

An RNN multiplies every frame by the input kernel and every state by the recurrent one. Only the
second has to wait for the frame before. Keras does both frame by frame, and in training it adds up
a gradient of the input kernel, 1.6 million numbers by default, for each frame. Here that is one
product for the batch. Weights, results (but for rounding) and cuDNN's kernels on a GPU are Keras'.
"""

from train_head.layers import keras

ops = keras.ops


class _ProjectFirst(keras.layers.RNN):
    # Stands behind Keras' layer in the order of classes, so this is what that layer calls where
    # cuDNN does not run it.
    def inner_loop(self, sequences, initial_state, mask, training=False):
        if self.recurrent_dropout:  # Keras has a mask for each gate
            return super().inner_loop(sequences, initial_state, mask, training=training)
        loop = keras.layers.RNN(
            _StateCell(self._step, self.cell.state_size),
            return_sequences=self.return_sequences,
            go_backwards=self.go_backwards,
            zero_output_for_mask=self.zero_output_for_mask,
        )
        projected = ops.matmul(sequences, self.cell.kernel) + self._input_bias()
        return loop.inner_loop(projected, initial_state, mask)


class _StateCell:
    """What `keras.layers.RNN` takes for a cell."""

    def __init__(self, step, state_size):
        self.call = step
        self.state_size = state_size

    def __call__(self, projected, states):
        return self.call(projected, states)


@keras.saving.register_keras_serializable("lrcn")
class GRU(keras.layers.GRU, _ProjectFirst):
    """Keras' GRU with its default settings, of units, sequences and dropout as given."""

    def _input_bias(self):
        return self.cell.bias[0]

    def _step(self, projected, states):
        state = states[0]
        recurrent = ops.matmul(state, self.cell.recurrent_kernel) + self.cell.bias[1]
        update, reset, candidate = ops.split(projected, 3, axis=-1)
        recurrent_update, recurrent_reset, recurrent_candidate = ops.split(recurrent, 3, axis=-1)
        update = ops.sigmoid(update + recurrent_update)
        reset = ops.sigmoid(reset + recurrent_reset)
        candidate = ops.tanh(candidate + reset * recurrent_candidate)
        state = update * state + (1 - update) * candidate
        return state, [state]


@keras.saving.register_keras_serializable("lrcn")
class LSTM(keras.layers.LSTM, _ProjectFirst):
    """Keras' LSTM with its default settings, of units, sequences and dropout as given."""

    def _input_bias(self):
        return self.cell.bias

    def _step(self, projected, states):
        state, carry = states
        gates = projected + ops.matmul(state, self.cell.recurrent_kernel)
        input_gate, forget, candidate, output_gate = ops.split(gates, 4, axis=-1)
        carry = ops.sigmoid(forget) * carry + ops.sigmoid(input_gate) * ops.tanh(candidate)
        state = ops.sigmoid(output_gate) * ops.tanh(carry)
        return state, [state, carry]
