"""VGG16, split at the cut: the frozen bottom of stage 1 and the top that stage 2 may train."""

import contextlib
import hashlib
import os
import sys
import warnings
from pathlib import Path

import h5py
import numpy as np

from lrcn.common.tensorflow_start import import_tensorflow

tf = import_tensorflow()

import keras  # noqa: E402  it imports TensorFlow, whose start-up noise is dealt with above

CUTS = ("block4_pool", "block5_pool", "fc1", "fc2")  # in the network's order
PREPROCESSING = "keras_vgg16_caffe"  # RGB to BGR, minus ImageNet's mean, no scaling
_IMAGENET_MEAN_BGR = (103.939, 116.779, 123.68)  # of keras.applications.vgg16
_CLASSIFIER_CUTS = ("fc1", "fc2")
_MIN_IMAGE_SIZE_PX = 32
_RANDOM_WEIGHTS_SEED = 0


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
    arguments = {
        "include_top": needs_classifier,
        "input_shape": (image_size, image_size, 3),
    }
    if compute_dtype == "float32":
        # On GPUs TensorFlow would multiply with 10 bits instead of 23, and caches of CPU and GPU
        # would differ under one contract.
        tf.config.experimental.enable_tensor_float_32_execution(False)
    # All weights are loaded, so Keras need not draw any: of fc1 and fc2 that takes seconds.
    undrawn = keras.saving.custom_object_scope({"glorot_uniform": keras.initializers.Zeros})
    with _dtype_policy(compute_dtype), undrawn:
        if weights == "imagenet":
            vgg16 = _build_with_imagenet_weights(arguments)
        else:
            vgg16 = keras.applications.VGG16(weights=None, **arguments)
        # Class scores are not used, and a file without them is complete.
        last_layer = vgg16.get_layer(cut if needs_classifier else "block5_pool")
        vgg16 = keras.Model(vgg16.input, last_layer.output, name="vgg16")
    if weights == "random":
        _set_random_weights(vgg16)
    elif weights != "imagenet":
        _load_weights_file(vgg16, Path(weights))
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


def fingerprint_weights(vgg16) -> str:
    """Hex sha256 over layer names, shapes and float32 values, in layer order.

    It does not depend on the file format that the weights came in. Block 5 counts also below
    a cut at `block4_pool`, so that bottom and top are known to come from one network.
    """
    digest = hashlib.sha256()
    for layer in vgg16.layers:
        for array in layer.get_weights():
            digest.update(f"{layer.name}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array, np.float32).tobytes())
    return digest.hexdigest()


def make_forward(part, *, batch_size: int):
    """Compiles bottom or top for one static batch, so that nothing is ever traced twice.

    Returns:
        A function from [batch_size, S, S, 3] uint8, for a top [batch_size, ...] float32, to a
        float16 tensor [batch_size, ...]. Call `.numpy()` on it where the values are needed; on a
        GPU it is not yet computed.
    """
    signature = tf.TensorSpec((batch_size, *part.input.shape[1:]), part.input.dtype)

    @tf.function(input_signature=[signature], autograph=False, jit_compile=False)
    def forward(inputs):
        return tf.cast(part(inputs, training=False), tf.float16)

    return forward.get_concrete_function()


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


@contextlib.contextmanager
def _dtype_policy(compute_dtype: str):
    previous = keras.config.dtype_policy()
    mixed = compute_dtype != "float32"
    keras.config.set_dtype_policy(f"mixed_{compute_dtype}" if mixed else "float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(previous)


def _set_random_weights(vgg16) -> None:
    # He et al. 2015: a standard deviation of sqrt(2 / fan-in) keeps the scale of activations
    # through ReLU layers. RandomState's stream is frozen, so the weights are the same with
    # every version of NumPy and TensorFlow.
    random = np.random.RandomState(_RANDOM_WEIGHTS_SEED)
    for layer in vgg16.layers:
        if not layer.weights:
            continue
        kernel, bias = layer.get_weights()
        fan_in = np.prod(kernel.shape[:-1])
        kernel = random.standard_normal(kernel.shape) * np.sqrt(2.0 / fan_in)
        layer.set_weights([kernel.astype(np.float32), np.zeros_like(bias)])


def _build_with_imagenet_weights(arguments: dict):
    try:
        with contextlib.redirect_stdout(sys.stderr):  # Keras prints of the download
            return keras.applications.VGG16(weights="imagenet", **arguments)
    except Exception as error:  # Keras raises bare Exception where the download fails
        suffix = "" if arguments["include_top"] else "_notop"
        name = f"vgg16_weights_tf_dim_ordering_tf_kernels{suffix}.h5"
        # As Keras has it: a user without a home, or with one that cannot be written to, has /tmp.
        home = os.path.expanduser("~")
        base = home if os.access(home, os.W_OK) else "/tmp"
        folder = Path(os.environ.get("KERAS_HOME", f"{base}/.keras")) / "models"
        raise FileNotFoundError(
            f"Could not get the ImageNet weights of VGG16 ({error}). Put {name} into {folder}, "
            "where Keras looks for it, or pass any VGG16 file as --weights=FILE (with make: "
            "WEIGHTS=FILE). --weights=random needs no file, but its features have learnt nothing."
        ) from error


def _load_weights_file(vgg16, path: Path) -> None:
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: expected a VGG16 weights file. Received: no file there. Give "
            "--weights=imagenet, --weights=random, or the path of a Keras .h5 or .weights.h5 file."
        )
    try:
        _check_layers_of_file(vgg16, path)
        with warnings.catch_warnings():
            # Keras warns of containers of a functional model that hold no weights.
            warnings.simplefilter("ignore", UserWarning)
            if path.name.endswith(".weights.h5"):
                vgg16.load_weights(path)
            else:
                # By name, so that a file with the classifier also serves a cut below it.
                vgg16.load_weights(path, by_name=True)
        for layer in vgg16.layers:
            # The features of such weights may be zeros, which look like any others.
            if not all(np.isfinite(x).all() for x in layer.get_weights()):
                raise ValueError(f"{layer.name} has weights that are not finite")
    # h5py raises the last two where it finds numbers in place of a group.
    except (ValueError, OSError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path}: does not hold the weights of VGG16 up to {vgg16.layers[-1].name} "
            f"({_first_line(error)}). Expected a file that Keras' VGG16 saved: .h5 or .weights.h5."
        ) from error


def _check_layers_of_file(vgg16, path: Path) -> None:
    # Keras skips, without a word, layers that the file has too many and, by name, those it
    # has too few: VGG19 would load as a VGG16.
    with h5py.File(path, "r") as file:
        group = file["layers"] if "layers" in file else file.get("model_weights", file)
        found = {name for name in group if len(group[name])}
    num_convolutions = sum("conv" in name for name in found)
    if num_convolutions != 13:
        raise ValueError(f"13 convolutions expected, {num_convolutions} found")
    if not path.name.endswith(".weights.h5"):
        missing = [x.name for x in vgg16.layers if x.weights and x.name not in found]
        if missing:
            raise ValueError(f"no layer of the name {', '.join(missing)}")


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", maxsplit=1)[0]
