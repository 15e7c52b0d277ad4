"""A training step of an RNN alone, on clips of more and more frames, beside that of Keras' layer.

    python -m benchmarks.rnn_length --rnn=gru

On a CPU; cuDNN runs both alike on a GPU. Milliseconds, medians of `--rounds`, and of each as long
as the next may take less than half a minute.
"""

import statistics
import time

from absl import flags

from lrcn.common.programs.program import run_program

_RNN = flags.DEFINE_enum("rnn", "gru", ["gru", "lstm"], "Which.")
_UNITS = flags.DEFINE_integer("units", 256, "Units of the RNN.", lower_bound=1)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 4, "Clips of a step.", lower_bound=1)
_ROUNDS = flags.DEFINE_integer("rounds", 3, "Times that each step is timed.", lower_bound=1)
_NUM_FEATURES = 256
_LENGTHS = (16, 125, 500, 2000, 8000, 30_000)
_MAX_SEC = 30.0


def main() -> None:
    from train_head.head import rnn_layers
    from train_head.head.layers import keras

    name = _RNN.value.upper()
    kinds = {"Keras'": getattr(keras.layers, name), "ours": getattr(rnn_layers, name)}
    steps = {kind: _make_step(layer(_UNITS.value)) for kind, layer in kinds.items()}
    print(f"{'frames of each clip':>20} " + " ".join(f"{kind:>10}" for kind in steps))
    for num_frames in _LENGTHS:
        medians_sec = _time_in_turn(steps, num_frames)
        shown = (f"{1000 * medians_sec[x]:10.1f}" if x in medians_sec else " " * 10 for x in kinds)
        print(f"{num_frames:20} " + " ".join(shown), flush=True)
        # Frames are multiplied by four at most, and time by the square of it.
        steps = {kind: step for kind, step in steps.items() if 16 * medians_sec[kind] < _MAX_SEC}


def _make_step(rnn):
    """Makes the function from clips to the gradients, as in a head: of inputs and weights."""
    from train_head.head.layers import tf

    rnn.build((None, None, _NUM_FEATURES))

    @tf.function(input_signature=[tf.TensorSpec((None, None, _NUM_FEATURES))])
    def step(clips):
        with tf.GradientTape() as tape:
            tape.watch(clips)
            loss = tf.reduce_sum(tf.square(rnn(clips)))
        return tape.gradient(loss, [clips, *rnn.trainable_variables])

    return step


def _time_in_turn(steps: dict, num_frames: int) -> dict[str, float]:
    from train_head.head.layers import tf

    clips = tf.random.stateless_normal((_BATCH_SIZE.value, num_frames, _NUM_FEATURES), (0, 0))
    times_sec = {kind: [] for kind in steps}
    for _ in range(1 + _ROUNDS.value):
        for kind, step in steps.items():
            start_sec = time.perf_counter()
            step(clips)[0].numpy()
            times_sec[kind].append(time.perf_counter() - start_sec)
    return {kind: statistics.median(of_kind[1:]) for kind, of_kind in times_sec.items()}


if __name__ == "__main__":
    run_program(main)
