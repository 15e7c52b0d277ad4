"""The weights of VGG16: drawn, downloaded or read from a file, and what they are known by."""

import contextlib
import hashlib
import os
import sys
import warnings
from pathlib import Path

import h5py
import numpy as np

from lrcn.common.files.unreadable import check_is_file

_RANDOM_WEIGHTS_SEED = 0


def set_random_weights(vgg16) -> None:
    """Draws what `--weights=random` means, always the same; biases are zero."""
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


def build_with_imagenet_weights(arguments: dict):
    """Builds VGG16 with the weights that Keras downloads, once.

    Args:
        arguments: Of `keras.applications.VGG16`; `include_top` decides which file it is.

    Raises:
        FileNotFoundError: If the download fails.
    """
    import keras  # as `backbone` has it, without its noise

    try:
        with contextlib.redirect_stdout(sys.stderr):  # Keras prints of the download
            return keras.applications.VGG16(weights="imagenet", **arguments)
    except Exception as error:  # Keras raises bare Exception where the download fails
        suffix = "" if arguments["include_top"] else "_notop"
        name = f"vgg16_weights_tf_dim_ordering_tf_kernels{suffix}.h5"
        folder = _find_keras_folder() / "models"
        raise FileNotFoundError(
            f"Could not get the ImageNet weights of VGG16 ({error}). Put {name} into {folder}, "
            "where Keras looks for it, or pass any VGG16 file as --weights=FILE (with make: "
            "WEIGHTS=FILE). For a new cache, --weights=random needs no file, but its features have "
            "learnt nothing."
        ) from error


def _find_keras_folder() -> Path:
    """Where Keras looks: in /tmp without a home, or where it may not write to the folder in it."""
    home = os.path.expanduser("~")
    base = home if os.access(home, os.W_OK) else "/tmp"
    folder = os.path.expanduser(os.environ.get("KERAS_HOME", f"{base}/.keras"))
    return Path(folder if os.access(folder, os.W_OK) else "/tmp/.keras")


def check_weights_file(path: Path) -> None:
    """Checks that there is a file that can be read, whatever it holds.

    Raises:
        FileNotFoundError: If it is missing.
        OSError: If it is a folder, or cannot be read.
        ValueError: If it is a pipe, which would keep its reader waiting.
    """
    if not path.exists():
        raise FileNotFoundError(
            f"{path}: expected a VGG16 weights file. Received: no file there. Give "
            "--weights=imagenet, --weights=random, or the path of a Keras .h5 or .weights.h5 file."
        )
    check_is_file(path, path.stat().st_mode)
    path.open("rb").close()


def load_weights_file(vgg16, path: Path) -> None:
    """Loads a file that Keras' VGG16 saved, with or without layers above those of `vgg16`.

    Raises:
        OSError: As `check_weights_file`.
        ValueError: If it does not hold all weights of VGG16 up to the last layer, all finite.
    """
    check_weights_file(path)
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
    # h5py raises the last two where it finds numbers in place of a group, and nearly anything where
    # the file is damaged.
    except (ValueError, OSError, RuntimeError, KeyError, TypeError, AttributeError) as error:
        reason = str(error).strip().split("\n", maxsplit=1)[0]
        raise ValueError(
            f"{path}: does not hold the weights of VGG16 up to {vgg16.layers[-1].name} "
            f"({reason}). Expected a file that Keras' VGG16 saved: .h5 or .weights.h5."
        ) from error


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
