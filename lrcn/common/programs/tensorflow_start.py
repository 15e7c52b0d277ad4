"""TensorFlow's start: imported without its noise, and set up before anything is computed."""

import contextlib
import gc
import os
import platform
import sys
import traceback
import warnings

from absl import logging

from lrcn.common.programs.cuda import count_gpus, load_cusolver
from lrcn.common.programs.machine import count_cores

_X86 = ("x86_64", "AMD64")
# Keras' own: floatx, image data format, and epsilon, the least deviation that features are divided
# by.
_KERAS_DEFAULTS = ("float32", "channels_last", 1e-7)
_is_own_process = False


def own_process() -> None:
    """Says that the process is a program of this project, and not somebody else's.

    TensorFlow is then imported faster and without a word, which would disturb a host's own code.
    """
    global _is_own_process
    _is_own_process = True


def import_tensorflow():
    """Imports TensorFlow quietly, and keeps it from taking a GPU's whole memory at once.

    Programs call it after their flags are parsed: the import takes seconds. With
    TF_CPP_MIN_LOG_LEVEL set in the environment, TensorFlow says all that it wants to say. Where it
    was imported before, it stays as it was set up.

    Raises:
        RuntimeError: If Keras was imported before, on another backend.
    """
    if "tensorflow" not in sys.modules:
        _start_tensorflow()
    import keras
    import tensorflow as tf

    if keras.config.backend() != "tensorflow":
        raise RuntimeError(
            f"Expected Keras on TensorFlow. Received: Keras that was imported on "
            f"{keras.config.backend()}. Set KERAS_BACKEND=tensorflow before, or use a process of "
            "its own."
        )
    # Of one frame, or one position, attention is 1 as it should be; Keras calls it a mistake.
    warnings.filterwarnings("ignore", message="You are using a softmax over axis")
    return tf


def _start_tensorflow() -> None:
    is_quiet = "TF_CPP_MIN_LOG_LEVEL" not in os.environ
    _set_environment()
    num_gpus = count_gpus()
    if num_gpus:
        load_cusolver()
    with contextlib.ExitStack() as during_import:
        during_import.enter_context(_pause_garbage_collection())
        if _is_own_process:
            during_import.enter_context(_hide_packages("sklearn", "matplotlib"))
            if is_quiet:
                during_import.enter_context(_hide_native_stderr())
        keras = _import_keras()
        import tensorflow as tf

        tf.config.list_physical_devices()
    # A keras.json in the home folder may say otherwise, against what a cache's contract says.
    _configure(keras.config, *_KERAS_DEFAULTS)
    _set_up_devices(tf.config, num_gpus)
    tf.get_logger().addFilter(_is_no_retracing_warning)
    if is_quiet:
        tf.get_logger().setLevel("WARNING")


def _set_environment() -> None:
    """Sets what TensorFlow and Keras read while they are imported."""
    # What matters of TensorFlow's errors comes as an exception; the rest are slower ways that it
    # takes.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Our layers are TensorFlow's, whatever Keras is to use elsewhere.
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ["KERAS_NNX_ENABLED"] = "false"  # of JAX; without Flax Keras fails at it
    if _is_own_process:
        # For debugging: a training left steps out that a run says it had, without a word.
        for name in ("KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH"):
            os.environ.pop(name, None)
    if platform.machine() in _X86:
        # By itself TensorFlow leaves oneDNN out on processors that have AVX2 alone, as those of
        # most laptops: VGG16 then takes a tenth longer, fine-tuning two fifths.
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


def _set_up_devices(config, num_gpus: int) -> None:
    """Sets `tf.config` up for so many GPUs as the machine has, before anything is computed."""
    # TensorFlow counts the machine's cores, also in a container that may use a few of them.
    if "TF_NUM_INTRAOP_THREADS" not in os.environ:
        config.threading.set_intra_op_parallelism_threads(count_cores())
    # On GPUs TensorFlow would multiply float32 with 10 bits instead of 23. A clip's scores then
    # depend on the clips beside it by a thousandth, and features on where they were computed.
    config.experimental.enable_tensor_float_32_execution(False)
    gpus = config.list_physical_devices("GPU")
    for gpu in gpus:
        config.experimental.set_memory_growth(gpu, True)
    if num_gpus and not gpus:
        logging.warning(
            "TensorFlow cannot use the GPU of this machine, and computes on the CPU, many times "
            'slower. Install what it needs: .venv/bin/pip install -e ".[gpu]". What it misses it '
            "says with TF_CPP_MAX_VLOG_LEVEL=1 TF_CPP_MIN_LOG_LEVEL=0 in the environment"
        )


@contextlib.contextmanager
def set_keras(dtype_policy: str = "float32"):
    """Sets Keras to this dtype policy, and to its other defaults, within the block.

    A host's own program may have set it to what suits its own models.
    """
    import_tensorflow()
    from keras import config

    policy_before = config.dtype_policy()
    before = config.floatx(), config.image_data_format(), config.epsilon()
    try:
        config.set_dtype_policy(dtype_policy)
        _configure(config, *_KERAS_DEFAULTS)
        yield
    finally:
        config.set_dtype_policy(policy_before)
        _configure(config, *before)


def _configure(config, floatx: str, image_data_format: str, epsilon: float) -> None:
    config.set_floatx(floatx)
    config.set_image_data_format(image_data_format)
    config.set_epsilon(epsilon)


def _import_keras():
    try:
        import keras
    except (AttributeError, TypeError, ValueError) as error:
        *_, (innermost, _) = traceback.walk_tb(error.__traceback__)
        path = innermost.f_globals.get("_config_path")  # of Keras' module that reads its settings
        if path is None:
            raise
        # Keras does not say which file it read, and crashes where it is no object.
        raise ValueError(
            f"{path}: expected settings of Keras. Received some that it cannot take ({error}). "
            "Correct the file or remove it; nothing in it is needed here."
        ) from error
    return keras


@contextlib.contextmanager
def _pause_garbage_collection():
    # The import makes objects by the hundred thousand that stay for good. To look through them for
    # garbage, again and again and once more at exit, takes 1.4 of the 3.9 s of a bare process.
    is_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if _is_own_process:  # a host's own objects would stay for good as well
            gc.freeze()
        if is_enabled:
            gc.enable()


@contextlib.contextmanager
def _hide_packages(*names: str):
    # Keras imports them where they are installed, for what is not used here: 0.8 of the 2.7 s.
    # What uses them imports them by itself, before or after; but Keras takes them for missing.
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


def _is_no_retracing_warning(record) -> bool:
    # TensorFlow counts traces by the lines of code, so a program that scores many models, each
    # traced once, would be told that it traces too often.
    return "triggered tf.function retracing" not in record.getMessage()


@contextlib.contextmanager
def _hide_native_stderr():
    # TensorFlow's libraries write to the descriptor itself, before any log level is read, and
    # call a machine without a GPU an error.
    saved = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
