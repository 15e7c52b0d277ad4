"""Keras' GRU and LSTM, faster on a CPU: what does not depend on the state is done for all frames.

An RNN multiplies every frame by the input kernel and every state by the recurrent one. Only the
second has to wait for the frame before. Keras does both frame by frame, and TensorFlow's gradients
of that add up a list of all frames at each frame, so time grows with the square of their number.
Here one product serves all frames, forward and backward, and the gradients are written out: by the
gates of all frames at once, and frame by frame only what has to wait for the frame behind
(`benchmarks.rnn_length`). Weights, results (but for rounding) and cuDNN's kernels on a GPU are
Keras'.
"""

from train_head.head.layers import keras, tf


class _ProjectFirst(keras.layers.RNN):
    # Stands behind Keras' layer in the order of classes, so this is what that layer calls where
    # cuDNN does not run it.
    def inner_loop(self, sequences, initial_state, mask, training=False):
        if self.recurrent_dropout:  # Keras has a mask for each gate
            return super().inner_loop(sequences, initial_state, mask, training=training)
        projected = keras.ops.matmul(sequences, self.cell.kernel) + self._input_bias()
        if mask is None:
            mask = tf.ones(tf.shape(sequences)[:2], "bool")
        # Frames first, in the order in which they are read.
        projected, mask = tf.transpose(projected, [1, 0, 2]), tf.transpose(mask)[..., None]
        if self.go_backwards:
            projected, mask = projected[::-1], mask[::-1]
        states = self._read_frames(projected, mask, tf.nest.flatten(initial_state))
        outputs = tf.where(mask, states[0], 0) if self.zero_output_for_mask else states[0]
        outputs = tf.ensure_shape(
            tf.transpose(outputs, [1, 0, 2]), (*sequences.shape[:2], self.units)
        )
        return outputs[:, -1], outputs, [state[-1] for state in states]


@keras.saving.register_keras_serializable("lrcn")
class GRU(keras.layers.GRU, _ProjectFirst):
    """Keras' GRU with its default settings, of units, sequences and dropout as given."""

    def _input_bias(self):
        return self.cell.bias[0]

    def _read_frames(self, projected, mask, initial):
        kernel, bias = tf.convert_to_tensor(self.cell.recurrent_kernel), self.cell.bias[1]
        return [_read_by_gru(projected, *initial, kernel, bias, mask)]


@keras.saving.register_keras_serializable("lrcn")
class LSTM(keras.layers.LSTM, _ProjectFirst):
    """Keras' LSTM with its default settings, of units, sequences and dropout as given."""

    def _input_bias(self):
        return self.cell.bias

    def _read_frames(self, projected, mask, initial):
        kernel = tf.convert_to_tensor(self.cell.recurrent_kernel)
        return _read_by_lstm(projected, *initial, kernel, mask)


@tf.custom_gradient
def _read_by_gru(projected, initial, kernel, bias, mask):
    """Returns the state after each frame, [T, B, U].

    Args:
        projected: [T, B, 3 U], the frames' part of the gates.
        initial: [B, U].
        kernel: [U, 3 U].
        bias: [3 U].
        mask: [T, B, 1] bool; a frame that is not let through leaves the state as it is.
    """

    def find_gates(projected, recurrent, mask):
        update, reset, candidate = tf.split(projected, 3, axis=-1)
        recurrent_update, recurrent_reset, recurrent_candidate = tf.split(recurrent, 3, axis=-1)
        update = tf.where(mask, tf.sigmoid(update + recurrent_update), 1)
        reset = tf.sigmoid(reset + recurrent_reset)
        return update, reset, tf.tanh(candidate + reset * recurrent_candidate), recurrent_candidate

    def step(state, frame):
        projected, mask = frame
        update, _, candidate, _ = find_gates(projected, tf.matmul(state, kernel) + bias, mask)
        return update * state + (1 - update) * candidate

    states = tf.scan(step, (projected, mask), initial)

    def find_gradients(of_states):
        before = tf.concat([initial[None], states[:-1]], axis=0)
        recurrent = keras.ops.matmul(before, kernel) + bias
        update, reset, candidate, recurrent_candidate = find_gates(projected, recurrent, mask)
        # By how much what goes into a gate moves the state, and by how much the reset gate's input
        # moves the candidate's.
        by_update = (before - candidate) * update * (1 - update)
        by_candidate = (1 - update) * (1 - tf.square(candidate))
        by_reset = recurrent_candidate * reset * (1 - reset)

        def step_back(after, frame):
            of_state, update, by_update, by_candidate, by_reset, reset = frame
            of_state += after[0]
            of_candidate = of_state * by_candidate
            of_both = [of_state * by_update, of_candidate * by_reset]
            of_recurrent = tf.concat([*of_both, of_candidate * reset], axis=-1)
            of_before = of_state * update + tf.matmul(of_recurrent, kernel, transpose_b=True)
            return of_before, tf.concat([*of_both, of_candidate], axis=-1), of_recurrent

        last = (tf.zeros_like(initial), tf.zeros_like(projected[0]), tf.zeros_like(projected[0]))
        frames = (of_states, update, by_update, by_candidate, by_reset, reset)
        of_before, of_projected, of_recurrent = tf.scan(step_back, frames, last, reverse=True)
        of_kernel = tf.einsum("tbi,tbo->io", before, of_recurrent)
        of_bias = tf.reduce_sum(of_recurrent, axis=[0, 1])
        return of_projected, of_before[0], of_kernel, of_bias, None

    return states, find_gradients


@tf.custom_gradient
def _read_by_lstm(projected, initial, initial_carry, kernel, mask):
    """Returns the state and the carry after each frame, both [T, B, U].

    Args:
        projected: [T, B, 4 U], the frames' part of the gates.
        initial: [B, U].
        initial_carry: [B, U].
        kernel: [U, 4 U].
        mask: As `_read_by_gru`.
    """

    def find_gates(gates, mask):
        input_gate, forget, candidate, output_gate = tf.split(gates, 4, axis=-1)
        input_gate = tf.where(mask, tf.sigmoid(input_gate), 0)
        forget = tf.where(mask, tf.sigmoid(forget), 1)
        return input_gate, forget, tf.tanh(candidate), tf.sigmoid(output_gate)

    def step(before, frame):
        state, carry = before
        projected, mask = frame
        gates = find_gates(projected + tf.matmul(state, kernel), mask)
        input_gate, forget, candidate, output_gate = gates
        carry = forget * carry + input_gate * candidate
        return tf.where(mask, output_gate * tf.tanh(carry), state), carry

    states, carries = tf.scan(step, (projected, mask), (initial, initial_carry))

    def find_gradients(of_states, of_carries):
        before = tf.concat([initial[None], states[:-1]], axis=0)
        carry_before = tf.concat([initial_carry[None], carries[:-1]], axis=0)
        gates = find_gates(projected + keras.ops.matmul(before, kernel), mask)
        input_gate, forget, candidate, output_gate = gates
        squashed = tf.tanh(carries)
        # By how much the carry, and what goes into the output gate, moves the state; then by how
        # much what goes into the other gates moves the carry.
        by_carry = tf.where(mask, output_gate * (1 - tf.square(squashed)), 0)
        by_output = tf.where(mask, squashed * output_gate * (1 - output_gate), 0)
        by_input = candidate * input_gate * (1 - input_gate)
        by_forget = carry_before * forget * (1 - forget)
        by_candidate = input_gate * (1 - tf.square(candidate))

        def step_back(after, frame):
            of_state, of_carry, mask, forget, by_carry, by_output, *by_others = frame
            of_state += after[0]
            of_carry += after[1] + of_state * by_carry
            of_gates = [*(of_carry * by for by in by_others), of_state * by_output]
            of_gates = tf.concat(of_gates, axis=-1)
            of_before = tf.where(mask, 0.0, of_state) + tf.matmul(
                of_gates, kernel, transpose_b=True
            )
            return of_before, of_carry * forget, of_gates

        last = (tf.zeros_like(initial), tf.zeros_like(initial), tf.zeros_like(projected[0]))
        frames = (of_states, of_carries, mask, forget, by_carry, by_output)
        frames = (*frames, by_input, by_forget, by_candidate)
        of_before, of_carry_before, of_gates = tf.scan(step_back, frames, last, reverse=True)
        of_kernel = tf.einsum("tbi,tbo->io", before, of_gates)
        return of_gates, of_before[0], of_carry_before[0], of_kernel, None

    return (states, carries), find_gradients
