"""The devices that TensorFlow sees, and the dtype that they compute fast."""

import functools
import time
from pathlib import Path

from absl import logging

from lrcn.common.programs.machine import count_cores
from lrcn.common.programs.tensorflow_start import import_tensorflow

COMPUTE_DTYPES = ("float32", "bfloat16", "float16")
# What /proc/cpuinfo calls the instructions that multiply bfloat16 natively.
_NATIVE_BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}
# Half the bits must gain a tenth. TensorFlow's convolution is timed; with fewer multiplications
# (`winograd`) VGG16 is 1.6 times as fast in float32, and 1.1 times in bfloat16.
_MIN_BFLOAT16_SPEEDUP = 1.6


def has_gpu() -> bool:
    """Whether TensorFlow computes on a GPU here."""
    return bool(import_tensorflow().config.list_physical_devices("GPU"))


def describe_device() -> str:
    """Names what TensorFlow computes on: the GPUs, or the CPU where it uses none."""
    tf = import_tensorflow()
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return f"a CPU of {count_cores()} cores"
    names = [tf.config.experimental.get_device_details(x).get("device_name", "GPU") for x in gpus]
    return ", ".join(names)


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
    return "mixed_float16" if has_gpu() else "float32"


def has_avx2() -> bool:
    """Whether TensorFlow computes on an x86 processor here that is no older than AVX2 (2013)."""
    return not has_gpu() and "avx2" in _read_cpu_flags()


def is_without_avx512() -> bool:
    """Whether TensorFlow computes on an x86 processor here that has AVX2, and no AVX-512."""
    return has_avx2() and "avx512f" not in _read_cpu_flags()


def has_amx() -> bool:
    """Whether TensorFlow computes on an x86 processor here that multiplies bfloat16 in tiles."""
    return not has_gpu() and "amx_bf16" in _read_cpu_flags()


def has_bfloat16_vectors() -> bool:
    """Whether TensorFlow computes on an x86 processor here that multiplies bfloat16 in vectors
    alone, and not in tiles.
    """
    return not has_gpu() and not has_amx() and "avx512_bf16" in _read_cpu_flags()


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
        # Of the processor: beside programs that keep all cores busy, either may have to wait.
        start_sec = time.process_time()
        tf.nn.conv2d(maps, kernel, strides=1, padding="SAME").numpy()
        return time.process_time() - start_sec

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
