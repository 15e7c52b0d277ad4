"""Checks that an RNN reads padded clips behind a mask as it reads each of them alone.

On a GPU, Keras gives the mask to cuDNN as lengths, for a kernel of its own. Versions of it before
8.9.2 computed wrong numbers without an error, of the same batch in some passes and in others not
(tensorflow issue 60192). So a batch is computed many times, one pass close behind the other.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from lrcn.common.programs.devices import has_gpu
from train_head.head.layers import keras, tf
from train_head.head.rnns import RNNS

# The longest clip has no padding, the shortest is a single frame.
_LENGTHS = (12, 7, 3, 1)
_NUM_FEATURES = 32
_UNITS = 16
_NUM_PASSES = 50
# In a process that lets a GPU multiply in TensorFloat-32, which has 10 bits, rounding takes some of
# it. A mask that is not minded moves results by about their own size.
_TOLERANCE = 0.02


class RnnCheck(NamedTuple):
    """How far the padded batch is from the clips alone, in the worst of many passes.

    As a part of the largest value.

    Attributes:
        name: What was checked.
        output_difference: Of the outputs.
        gradient_difference: Of the gradients of inputs and weights.
    """

    name: str
    output_difference: float
    gradient_difference: float

    @property
    def is_right(self) -> bool:
        """Whether rounding explains both differences; NaN is not right."""
        return self.output_difference <= _TOLERANCE and self.gradient_difference <= _TOLERANCE


def iter_checks() -> Iterator[RnnCheck]:
    """Checks every RNN that a head may have, on the device that TensorFlow computes on."""
    for name, build in RNNS.items():
        if build is not None:
            for frames, every in (("last frame", False), ("every frame", True)):
                rnn = build(_UNITS, return_sequences=every, name=name)
                yield check_rnn(f"{name}, {frames}", rnn)


def check_rnn(name: str, rnn) -> RnnCheck:
    """Compares a batch of padded clips with each clip alone, forward and backward.

    Args:
        name: For the result.
        rnn: A Keras layer that takes vectors [B, T, D] and a mask [B, T] bool (true frames first),
            or vectors alone, and gives [B, units] or [B, T, units].
    """
    keras.utils.set_random_seed(0)
    mask = np.arange(max(_LENGTHS)) < np.array(_LENGTHS)[:, None]
    # The padding is as large as the frames: read by mistake, it shows.
    vectors = np.random.RandomState(0).normal(size=(*mask.shape, _NUM_FEATURES))
    vectors = vectors.astype(np.float32)
    rnn.build(vectors.shape)  # else the first step makes the weights, and is traced twice
    run = _make_run(rnn)
    passes = run(vectors, mask, num_passes=_NUM_PASSES)
    wanted = [np.zeros_like(x) for x in passes[0]]
    for i, length in enumerate(_LENGTHS):
        ((output, of_inputs, *of_weights),) = run(vectors[i : i + 1, :length], None, num_passes=1)
        wanted[0][i][: len(output[0])] = output[0]
        wanted[1][i, :length] = of_inputs[0]
        for total, gradient in zip(wanted[2:], of_weights, strict=True):
            total += gradient
    differences = np.array([list(map(_find_difference, found, wanted)) for found in passes])
    return RnnCheck(name, float(differences[:, 0].max()), float(differences[:, 1:].max()))


def _make_run(rnn):
    """Makes the function to the outputs, zero at padding, and the gradients of inputs, weights, of
    each of many passes.
    """

    @tf.function(autograph=False)
    def run(vectors, mask):
        with tf.GradientTape() as tape:
            tape.watch(vectors)
            outputs = rnn(vectors) if mask is None else rnn(vectors, mask=mask)
            if mask is not None and len(outputs.shape) == 3:
                outputs *= tf.cast(mask, tf.float32)[..., None]  # nobody reads the others
            loss = tf.reduce_sum(tf.square(outputs))
        return outputs, *tape.gradient(loss, [vectors, *rnn.trainable_variables])

    # Clips differ in length, as in training: one trace serves all that are alone.
    run.get_concrete_function(tf.TensorSpec((1, None, _NUM_FEATURES)), None)

    def run_arrays(vectors, mask, *, num_passes):
        vectors, mask = tf.constant(vectors), None if mask is None else tf.constant(mask)
        # All are begun before the first is waited for, as in training.
        passes = [run(vectors, mask) for _ in range(num_passes)]
        return [[array.numpy() for array in arrays] for arrays in passes]

    return run_arrays


def _find_difference(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())


def describe_versions() -> str:
    """Names what computes the RNNs: TensorFlow and Keras, with a GPU also CUDA and cuDNN."""
    versions = {"TensorFlow": tf.__version__, "Keras": keras.__version__}
    if has_gpu():
        build = tf.sysconfig.get_build_info()
        versions |= {"CUDA": build.get("cuda_version"), "cuDNN": build.get("cudnn_version")}
    return ", ".join(f"{name} {version}" for name, version in versions.items())
