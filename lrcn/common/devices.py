"""The devices that TensorFlow sees, and the dtype that they compute fast."""

import contextlib
import functools
import gc
import math
import os
import sys
import time
import warnings
from pathlib import Path

from absl import logging

COMPUTE_DTYPES = ("float32", "bfloat16", "float16")
# What /proc/cpuinfo calls the instructions that multiply bfloat16 natively.
_NATIVE_BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}
# Half the bits must gain something: what is as fast in float32 stays there.
_MIN_BFLOAT16_SPEEDUP = 1.2
_CGROUP = Path("/sys/fs/cgroup")

_is_own_process = False


def own_process() -> None:
    """Says that the process is a program of this project, and not somebody else's.

    TensorFlow is then imported faster and without a word, by means that others would feel.
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
        is_quiet = "TF_CPP_MIN_LOG_LEVEL" not in os.environ
        # What matters of its errors comes as an exception; the rest are slower ways that it takes.
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        # Our layers are TensorFlow's, whatever Keras is to use elsewhere.
        os.environ["KERAS_BACKEND"] = "tensorflow"
        with contextlib.ExitStack() as during_import:
            during_import.enter_context(_pause_garbage_collection())
            if _is_own_process:
                during_import.enter_context(_hide_packages("sklearn", "matplotlib"))
                if is_quiet:
                    during_import.enter_context(_hide_native_stderr())
            import keras
            import tensorflow as tf

            tf.config.list_physical_devices()
        # By a keras.json in the home folder, features would be others than their contract says.
        keras.config.set_floatx("float32")
        keras.config.set_image_data_format("channels_last")
        # TensorFlow counts the machine's cores, also in a container that may use a few of them.
        if "TF_NUM_INTRAOP_THREADS" not in os.environ:
            tf.config.threading.set_intra_op_parallelism_threads(count_cores())
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)
        tf.get_logger().addFilter(_is_no_retracing_warning)
        if is_quiet:
            tf.get_logger().setLevel("WARNING")
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


def describe_device() -> str:
    """Names what TensorFlow computes on: the GPUs, or the CPU where it uses none."""
    tf = import_tensorflow()
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return f"a CPU of {count_cores()} cores"
    names = [tf.config.experimental.get_device_details(x).get("device_name", "GPU") for x in gpus]
    return ", ".join(names)


def count_cores(cgroup: Path = _CGROUP) -> int:
    """Returns how many cores this process may use: those it is bound to, or a container's quota.

    Args:
        cgroup: As `find_memory_bytes`.
    """
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        num_cores = len(os.sched_getaffinity(0))
    else:
        num_cores = os.cpu_count() or 1
    for names in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        with contextlib.suppress(OSError, ValueError):  # no such version; the word "max"
            quota_us, period_us = map(
                int, " ".join((cgroup / name).read_text() for name in names).split()
            )
            if quota_us > 0:
                num_cores = min(num_cores, math.ceil(quota_us / period_us))
    return num_cores


def find_memory_bytes(cgroup: Path = _CGROUP) -> int:
    """Returns how much memory this process may use: the machine's, or a container's limit.

    Args:
        cgroup: Where Linux tells the limits of control groups, of version 2 or 1.
    """
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):  # no such version; the word "max"
            memory_bytes = min(memory_bytes, int((cgroup / name).read_text()))
    return memory_bytes


def choose_compute_dtype(requested: str) -> str:
    """Resolves `auto`: bfloat16 where this machine multiplies it natively and faster, else float32.

    On a CPU that has the instructions a convolution is timed, for a quarter of a second: on a Xeon
    whose AMX the virtual machine hides, VGG16 takes twice as long in bfloat16 as in float32, on an
    EPYC half as long.

    Raises:
        ValueError: If `requested` is neither `auto` nor a dtype of `COMPUTE_DTYPES`.
    """
    if requested in COMPUTE_DTYPES:
        return requested
    if requested != "auto":
        raise ValueError(
            f"Expected a compute dtype of {('auto', *COMPUTE_DTYPES)}. Received: {requested}."
        )
    tf = import_tensorflow()
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        # Tensor cores take bfloat16 from compute capability 8.0 (Ampere) on.
        details = tf.config.experimental.get_device_details(gpus[0])
        is_faster = details.get("compute_capability", (0, 0)) >= (8, 0)
    else:
        is_native = bool(_read_cpu_flags() & _NATIVE_BFLOAT16_FLAGS)
        is_faster = is_native and _measure_bfloat16_speedup() >= _MIN_BFLOAT16_SPEEDUP
    return "bfloat16" if is_faster else "float32"


def choose_training_policy() -> str:
    """Names Keras' dtype policy that trains fastest on this machine, with variables in float32.

    Returns:
        mixed_bfloat16 where bfloat16 is the faster, mixed_float16 (whose loss must be scaled) on
        GPUs before that, and float32 on other CPUs, which are slower with either.
    """
    if choose_compute_dtype("auto") == "bfloat16":
        return "mixed_bfloat16"
    tf = import_tensorflow()
    return "mixed_float16" if tf.config.list_physical_devices("GPU") else "float32"


def make_strategy(num_devices: str):
    """Makes the strategy that divides every batch over devices of this machine.

    Devices are the GPUs, or the CPUs where TensorFlow uses no GPU (one, unless configured).

    Args:
        num_devices: How many devices to use, or `all`.

    Returns:
        A `tf.distribute.Strategy`: Keras' usual one for one device, else a mirrored one.

    Raises:
        ValueError: If there are fewer devices.
    """
    tf = import_tensorflow()
    kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
    devices = [device.name for device in tf.config.list_logical_devices(kind)]
    wanted = len(devices) if num_devices == "all" else int(num_devices)
    if not 1 <= wanted <= len(devices):
        raise ValueError(
            f"--devices={num_devices}: expected from 1 to the {len(devices)} that TensorFlow sees "
            f"({', '.join(devices)}). Lower it, or check the GPUs with nvidia-smi."
        )
    return tf.distribute.get_strategy() if wanted == 1 else _mirror(tuple(devices[:wanted]))


@functools.cache
def _mirror(devices: tuple[str, ...]):
    # One for the process: each strategy numbers what its devices exchange from the same number on,
    # and models of different sizes would wait for one another's.
    return import_tensorflow().distribute.MirroredStrategy(devices)


@functools.cache
def _measure_bfloat16_speedup() -> float:
    """Returns how many times as fast as in float32 a convolution of VGG16's block 5 is here."""
    tf = import_tensorflow()

    def time_sec(dtype: str) -> float:
        maps, kernel = tf.zeros([4, 14, 14, 512], dtype), tf.zeros([3, 3, 512, 512], dtype)
        start_sec = time.perf_counter()
        tf.nn.conv2d(maps, kernel, strides=1, padding="SAME").numpy()
        return time.perf_counter() - start_sec

    # In turn, so that a machine whose speed drifts slows both alike. The first sets things up.
    rounds = [(time_sec("float32"), time_sec("bfloat16")) for _ in range(5)]
    float32_sec, bfloat16_sec = (min(times) for times in zip(*rounds, strict=True))
    speedup = float32_sec / bfloat16_sec
    logging.info(
        "bfloat16 is %.2f times as fast as float32 here; it is taken from %.1f on",
        speedup,
        _MIN_BFLOAT16_SPEEDUP,
    )
    return speedup


def _read_cpu_flags() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return set()
    return {flag for line in lines if line.startswith("flags") for flag in line.split()}
