"""Our Keras layers on clips [B, T, ...]: of each frame alone, and of all frames of a clip.

A mask [B, T] bool says which frames are the clip's own and which padding.
"""

import functools
import math

from lrcn.common.programs.tensorflow_start import import_tensorflow
from lrcn.common.vgg16.parts import map_parts

tf = import_tensorflow()

import keras  # noqa: E402  it imports TensorFlow, whose start-up noise is dealt with above

# Values of frames that are computed at once where nothing is learnt. What a video of an hour takes
# is its frames, and not a dozen copies of them.
_VALUES_AT_ONCE = 1 << 25


@keras.saving.register_keras_serializable("lrcn")
class PerFrame(keras.layers.Layer):
    """Applies a model to every frame of [B, T, ...]; padding costs nothing and gives zeros.

    With a mask, the frames may also be those that it lets through alone, [N, ...].
    """

    def __init__(self, model, **kwargs):
        # Keras would make float32 of the padding too, which may be most of a batch.
        super().__init__(autocast=False, **kwargs)
        self.model = model

    def call(self, frames, frame_mask=None, training=None):
        chosen = self.select_frames(frames, frame_mask)
        if training:
            outputs = self.model(chosen, training=True)
        else:
            outputs = map_parts(
                lambda part: self.model(part, training=False),
                chosen,
                shape=self.model.output.shape[1:],
                dtype=self.model.output.dtype,
                rows_at_once=_count_at_once(chosen),
            )
        rows = frames if frame_mask is None else frame_mask
        shape = tf.concat([tf.shape(rows)[:2], tf.shape(outputs)[1:]], axis=0)
        if frame_mask is None:
            outputs = tf.reshape(outputs, shape)
        else:
            outputs = tf.scatter_nd(tf.where(frame_mask), outputs, tf.cast(shape, tf.int64))
        return tf.ensure_shape(outputs, self._output_shape(rows))

    def select_frames(self, frames, frame_mask=None):
        """Returns the frames of all clips that are not padding, [N, ...]."""
        if frame_mask is None:
            return tf.reshape(frames, tf.concat([[-1], tf.shape(frames)[2:]], axis=0))
        if len(frames.shape) == len(self.model.input.shape):
            return frames
        return tf.boolean_mask(frames, frame_mask)

    def _output_shape(self, rows):
        return (*rows.shape[:2], *self.model.output.shape[1:])

    def compute_output_spec(self, frames, frame_mask=None, training=None):
        shape = self._output_shape(frames if frame_mask is None else frame_mask)
        return keras.KerasTensor(shape, dtype=self.model.output.dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "model": keras.saving.serialize_keras_object(self.model),
        }

    @classmethod
    def from_config(cls, config):
        config["model"] = keras.saving.deserialize_keras_object(config["model"])
        return cls(**config)


class _WithoutMask(keras.layers.Layer):
    """Base of layers whose result carries no mask on."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True  # else Keras warns that the RNN's mask ends here

    def compute_mask(self, inputs, previous_mask):
        return None


@keras.saving.register_keras_serializable("lrcn")
class MeanOfFrames(_WithoutMask):
    """The logarithm of the mean, over a clip's frames, of each frame's softmax.

    Donahue et al. 2015 (LRCN, section 4) average the predictions of all frames so.
    """

    def call(self, logits, frame_mask=None):
        log_probabilities = keras.ops.log_softmax(logits, axis=-1)
        if frame_mask is None:
            counted = keras.ops.ones_like(logits[..., :1])
        else:
            counted = keras.ops.cast(frame_mask, logits.dtype)[..., None]
        # In logarithms throughout, so that a class that all frames rule out keeps its gradient.
        padding = (counted - 1) * 1e9
        total = keras.ops.logsumexp(log_probabilities + padding, axis=1)
        return total - keras.ops.log(keras.ops.sum(counted, axis=1))

    def compute_output_spec(self, logits, frame_mask=None):
        return keras.KerasTensor((logits.shape[0], logits.shape[2]), dtype=logits.dtype)


@keras.saving.register_keras_serializable("lrcn")
class EveryFrame(_WithoutMask):
    """The same logits without the RNN's mask, of which Keras would make weights of its own.

    Which frames count, and how much, the weights of the targets say.
    """

    def call(self, logits):
        return tf.identity(logits)

    def compute_output_spec(self, logits):
        return keras.KerasTensor(logits.shape, dtype=logits.dtype)


@keras.saving.register_keras_serializable("lrcn")
class LastFrame(_WithoutMask):
    """The vector of each clip's last frame that is not padding."""

    def call(self, vectors, frame_mask=None):
        if frame_mask is None:
            return vectors[:, -1]
        last = tf.reduce_sum(tf.cast(frame_mask, tf.int32), axis=1) - 1
        return tf.gather(vectors, last, axis=1, batch_dims=1)

    def compute_output_spec(self, vectors, frame_mask=None):
        return keras.KerasTensor((vectors.shape[0], vectors.shape[2]), dtype=vectors.dtype)


@keras.saving.register_keras_serializable("lrcn")
class ScaleClip(keras.layers.Layer):
    """Divides a clip's features by the mean length of its frames' feature vectors.

    How strong a clip's features are all together, as its contrast makes them, says little of its
    class. How the strength changes from frame to frame says a lot, such as of what grows, so
    one number scales the whole clip. Padding does not count, and zeros stay zeros.

    With a mask it gives the frames alone, [N, ...]: beside one long clip, the padding of a batch
    in float32 may be many times as large.
    """

    def __init__(self, **kwargs):
        # Keras would make float32 of the padding too, which may be most of a batch.
        super().__init__(autocast=False, **kwargs)

    def call(self, maps, frame_mask=None, training=None):
        if frame_mask is None:
            maps = keras.ops.cast(maps, self.compute_dtype)
            length = keras.ops.mean(self._measure_frames(maps, first_axis=2), axis=1, keepdims=True)
            return keras.ops.divide_no_nan(maps, length)
        places = tf.where(frame_mask)
        frames = keras.ops.cast(tf.gather_nd(maps, places), self.compute_dtype)
        measure = functools.partial(self._measure_frames, first_axis=1)
        if training:
            lengths = measure(frames)
        else:
            shape = (1,) * (len(frames.shape) - 1)
            lengths = map_parts(
                measure,
                frames,
                shape=shape,
                dtype=self.compute_dtype,
                rows_at_once=_count_at_once(frames),
            )
        clips = places[:, 0]
        length = tf.math.unsorted_segment_mean(lengths, clips, tf.shape(maps)[0])
        return keras.ops.divide_no_nan(frames, tf.gather(length, clips))

    def _measure_frames(self, frames, *, first_axis: int):
        axes = tuple(range(first_axis, len(frames.shape)))
        squares = keras.ops.sum(keras.ops.square(frames), axis=axes, keepdims=True)
        # A root is infinitely steep at 0: the gradient of a frame without features would be NaN.
        positive = keras.ops.where(squares > 0, squares, 1)
        return keras.ops.where(squares > 0, keras.ops.sqrt(positive), 0)

    def compute_output_spec(self, maps, frame_mask=None, training=None):
        shape = maps.shape if frame_mask is None else (None, *maps.shape[2:])
        return keras.KerasTensor(shape, dtype=self.compute_dtype)


@keras.saving.register_keras_serializable("lrcn")
class ScaledAsinh(keras.layers.Layer):
    """asinh(x / scale), element by element.

    Written out, since TensorFlow's asinh takes five times as long on a CPU: a sixth of a training
    step. In this form small numbers keep their precision. What is made on the way is made one after
    the other, or it would all be in memory at once.
    """

    def __init__(self, scale: float, **kwargs):
        super().__init__(**kwargs)
        self.scale = scale

    def call(self, maps):
        x = maps / self.scale
        square = keras.ops.square(x)
        ratio = square / (1 + keras.ops.sqrt(square + 1))
        with tf.control_dependencies([ratio]):
            size = keras.ops.abs(x)
        logarithm = keras.ops.log1p(size + ratio)
        with tf.control_dependencies([logarithm]):
            return keras.ops.sign(x) * logarithm

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "scale": self.scale}


def _count_at_once(frames) -> int:
    return max(1, _VALUES_AT_ONCE // math.prod(frames.shape[1:]))
