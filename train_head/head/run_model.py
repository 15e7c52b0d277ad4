"""The model of a run."""

import contextlib
import os
import weakref
import zipfile
from collections.abc import Iterable, Iterator

from lrcn.common.cache.run_dir import RunDir
from lrcn.common.files.atomic_file import name_zip_file
from lrcn.common.programs.interrupt import raise_if_interrupted


def load_model(run: RunDir):
    """Loads `model.keras`, from feature maps to logits; nothing in it is unpickled.

    Raises:
        OSError: If it cannot be read now, as for lack of permission.
        ValueError: If it is no model, or one of other classes than the run names.
    """
    import keras

    # They register the layers that the file names.
    from train_head.head import fully_connected, layers, rnn_layers  # noqa: F401

    # Keras takes one that it may not open for one that is not there, and says of some that are
    # damaged which layer it misses.
    with _open_model(run) as archive:
        damaged = archive.testzip()
        if damaged is not None:
            raise zipfile.BadZipFile(f"damaged: {damaged}")
        num_names = len(run.read_class_names())
        model = keras.models.load_model(run.model_path, compile=False, safe_mode=True)
    # While it reads the weights, Keras drops a Ctrl-C and reads them in another way.
    raise_if_interrupted()
    num_classes = model.output.shape[-1]
    if num_classes != num_names:
        raise ValueError(
            f"{run.classes_path}: expected the names of the {num_classes} classes of "
            f"{run.model_path.name}. Received: {num_names}. Copy the run again, whole."
        )
    return model


def check_model_file(run: RunDir) -> None:
    """Checks that `model.keras` is not cut off, without reading it all. Errors as `load_model`."""
    with _open_model(run):
        pass


@contextlib.contextmanager
def _open_model(run: RunDir) -> Iterator[zipfile.ZipFile]:
    try:
        with name_zip_file(run.model_path), zipfile.ZipFile(run.model_path) as archive:
            yield archive
    except zipfile.BadZipFile as error:
        raise ValueError(
            f"{run.model_path}: expected a model. Received: a file that is damaged, cut off or "
            f"another ({error}). Copy the run again, or remove the file and train again."
        ) from error


def release_variables(variables: Iterable) -> None:
    """Gives the memory of Keras variables back, which can be used no more.

    TensorFlow keeps the functions that a model was traced as, of a training step and of a dataset,
    for as long as the process lives, and with them the variables: those of several runs would add
    up. Call it under the strategy that the variables were made under.
    """
    from train_head.head.layers import tf

    for variable in variables:
        for part in tf.distribute.get_strategy().experimental_local_results(variable.value):
            _empty(part.handle, part.dtype)


def release_with_owner(variables: Iterable) -> None:
    """Gives the memory of each variable back, once nobody has the variable any more; of one device.

    A traced function may keep the memory for good.
    """
    for variable in variables:
        value = variable.value
        weakref.finalize(value, _empty, value.handle, value.dtype).atexit = False


def _empty(handle, dtype) -> None:
    from train_head.head.layers import tf

    with tf.init_scope():  # garbage may be collected while something else is traced
        tf.raw_ops.AssignVariableOp(resource=handle, value=tf.zeros(0, dtype), validate_shape=False)


def read_model_version(run: RunDir) -> tuple[int, ...] | None:
    """Returns what tells a run's model from a later one; None where there is none."""
    try:
        stat = os.stat(run.model_path)
    except FileNotFoundError:
        return None
    # Without the file's number, which some network file systems give anew.
    return stat.st_mtime_ns, stat.st_size


def check_model_version(run: RunDir, version: tuple[int, ...] | None) -> None:
    """Checks that a run has the model still that it had before its other files were read.

    Raises:
        RuntimeError: If it has another, whose classes and clips may be others.
    """
    if read_model_version(run) != version:
        raise RuntimeError(
            f"{run.model_path}: expected the model that this program found first. Received: "
            "another, or none yet, as where the run was trained anew or replaced meanwhile. Run "
            "the same command again once the run is whole."
        )
