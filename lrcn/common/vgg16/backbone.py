"""VGG16, split at the cut: the frozen bottom of stage 1 and the top that stage 2 may train."""

from pathlib import Path

import numpy as np

from lrcn.common.cache.contract import CUTS
from lrcn.common.programs.tensorflow_start import import_tensorflow, set_keras
from lrcn.common.vgg16.backbone_weights import (
    build_with_imagenet_weights,
    load_weights_file,
    set_random_weights,
)
from lrcn.common.vgg16.frozen_convolutions import use_frozen_convolutions

tf = import_tensorflow()

import keras  # noqa: E402  it imports TensorFlow, whose start-up noise is dealt with above

PREPROCESSING = "keras_vgg16_caffe"  # RGB to BGR, minus ImageNet's mean, no scaling
_IMAGENET_MEAN_BGR = (103.939, 116.779, 123.68)  # of keras.applications.vgg16
_CLASSIFIER_CUTS = ("fc1", "fc2")
_MIN_IMAGE_SIZE_PX = 32


def build_vgg16(*, weights: str, cut: str, image_size: int, compute_dtype: str = "float32"):
    """Builds Keras' VGG16 with the layers that `cut` needs, and loads its weights.

    Args:
        weights: `imagenet` (Keras' own download), `random` (He-normal from a fixed seed), or a
            Keras `.h5` or `.weights.h5` file.
        cut: One of `CUTS`. The fully connected layers are there only for `fc1` and `fc2`.
        image_size: Side of the square input in pixels.
        compute_dtype: `float32`, `bfloat16` or `float16`; weights stay float32.

    Returns:
        A Keras model on preprocessed [B, S, S, 3] float32 pixels.

    Raises:
        ValueError: If cut and image size do not fit, or the file does not hold VGG16's weights.
        FileNotFoundError: If the weights file is missing, or the download fails.
    """
    _check_cut(cut, image_size)
    needs_classifier = cut in _CLASSIFIER_CUTS
    arguments = {"include_top": needs_classifier, "input_shape": (image_size, image_size, 3)}
    dtype_policy = f"mixed_{compute_dtype}"
    if compute_dtype == "float32":
        dtype_policy = "float32"
        # In a process of somebody else's too: caches of CPU and GPU may have one contract.
        tf.config.experimental.enable_tensor_float_32_execution(False)
    # All weights are loaded, so Keras need not draw any: of fc1 and fc2 that takes seconds.
    undrawn = keras.saving.custom_object_scope({"glorot_uniform": keras.initializers.Zeros})
    with set_keras(dtype_policy), undrawn:
        if weights == "imagenet":
            vgg16 = build_with_imagenet_weights(arguments)
        else:
            vgg16 = keras.applications.VGG16(weights=None, **arguments)
        # Class scores are not used, and a file without them is complete.
        last_layer = vgg16.get_layer(cut if needs_classifier else "block5_pool")
        vgg16 = keras.Model(vgg16.input, last_layer.output, name="vgg16")
    if weights == "random":
        set_random_weights(vgg16)
    elif weights != "imagenet":
        load_weights_file(vgg16, Path(weights))
    vgg16.trainable = False
    return vgg16


def build_bottom(vgg16, cut: str):
    """The frozen part, with Keras' own preprocessing in front.

    Returns:
        A Keras model from [B, S, S, 3] uint8 RGB frames to [B, ...] float32 feature maps.
    """
    layers = keras.Model(vgg16.input, vgg16.get_layer(cut).output, name="below_cut")
    frames = keras.Input(vgg16.input.shape[1:], dtype="uint8", name="frames")
    # What Keras' preprocess_input does, with the channels turned around as bytes: half its time.
    pixels = keras.ops.cast(keras.ops.flip(frames, axis=-1), "float32") - np.array(
        _IMAGENET_MEAN_BGR, np.float32
    )
    feature_maps = keras.ops.cast(layers(pixels), "float32")
    return keras.Model(frames, feature_maps, name="bottom")


def has_top(cut: str) -> bool:
    """Whether convolutions lie above the cut."""
    return CUTS.index(cut) < CUTS.index("block5_pool")


def build_top(vgg16, cut: str):
    """The convolutions above the cut, up to `block5_pool`.

    Returns:
        A Keras model from [B, ...] feature maps at the cut to [B, h, w, 512], or None where
        nothing lies above the cut.
    """
    names = [layer.name for layer in vgg16.layers]
    above = vgg16.layers[names.index(cut) + 1 :]
    if not above:
        return None
    outputs = inputs = keras.Input(vgg16.get_layer(cut).output.shape[1:], name="feature_maps")
    for layer in above:
        outputs = layer(outputs)
    return keras.Model(inputs, outputs, name="top")


def make_forward(part, *, batch_size: int | None, many_batches: bool = False):
    """Compiles bottom or top for one static batch, or any (None); nothing is ever traced twice.

    The weights are those that the part has now.

    Args:
        part: Bottom or top.
        batch_size: How many rows a batch has.
        many_batches: Whether a second and half a gigabyte at the start are worth it, see
            `frozen_convolutions`.

    Returns:
        A function from [batch_size, S, S, 3] uint8, for a top [batch_size, ...] float32, to a
        float16 tensor [batch_size, ...]. Call `.numpy()` on it where the values are needed; on a
        GPU it is not yet computed.
    """
    signature = tf.TensorSpec((batch_size, *part.input.shape[1:]), part.input.dtype)

    @tf.function(input_signature=[signature], autograph=False, jit_compile=False)
    def forward(inputs):
        return tf.cast(part(inputs, training=False), tf.float16)

    with use_frozen_convolutions(part, many_batches=many_batches) as has_constants:
        concrete = forward.get_concrete_function()
    if has_constants:
        # Where two threads come first, each copies all constants and optimises the graph.
        concrete(tf.zeros(signature.shape, signature.dtype))
    return concrete


def make_padded_forward(part, *, max_batch_size: int):
    """Compiles bottom or top for clips by themselves, whose last batch may have few rows.

    A batch of few rows is padded to a power of two. Padded to a whole batch, a clip of one frame
    would take the time of 16; left as it is, each new number of rows has a GPU try its kernels.

    Returns:
        A function from an array of [N, S, S, 3] uint8, for a top [N, ...] float32, N at most
        `max_batch_size`, to one of [N, ...] float16.
    """
    forward = make_forward(part, batch_size=None)

    def forward_padded(rows: np.ndarray) -> np.ndarray:
        # One row alone takes another way through oneDNN, which rounds otherwise than stage 1 did.
        num_rows = min(max(2, 1 << (len(rows) - 1).bit_length()), max_batch_size)
        padded = np.zeros((num_rows, *rows.shape[1:]), part.input.dtype)
        padded[: len(rows)] = rows
        return forward(padded).numpy()[: len(rows)]

    return forward_padded


def _check_cut(cut: str, image_size: int) -> None:
    if cut not in CUTS:
        raise ValueError(f"Expected a cut of {CUTS}. Received: cut={cut}.")
    if cut in _CLASSIFIER_CUTS and image_size != 224:
        raise ValueError(
            f"The cut {cut} lies behind VGG16's fully connected layers, which take 224 px "
            f"frames only. Received: image_size={image_size}. Use --image_size=224, or cut at "
            "block5_pool."
        )
    if image_size < _MIN_IMAGE_SIZE_PX:
        raise ValueError(
            f"VGG16 halves the frame five times, so it needs at least {_MIN_IMAGE_SIZE_PX} px. "
            f"Received: image_size={image_size}."
        )
