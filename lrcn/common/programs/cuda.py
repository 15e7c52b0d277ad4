"""NVIDIA's GPUs and libraries, where TensorFlow's own search for them falls short."""

import contextlib
import ctypes
import importlib.util
from pathlib import Path


def count_gpus() -> int:
    """Returns how many GPUs NVIDIA's driver offers to this process, 0 where there is no driver."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return 0
    return count.value


def load_cusolver() -> None:
    """Loads cuSOLVER from its pip package, as a library that is loaded is found by its name.

    TensorFlow 2.21 searches all of NVIDIA's packages but this one (the search path of
    libtensorflow_framework.so.2), and where one library is missing it uses no GPU at all.
    """
    package = importlib.util.find_spec("nvidia")
    for folder in package.submodule_search_locations if package else ():
        for path in Path(folder).glob("cusolver/lib/libcusolver.so.*"):
            with contextlib.suppress(OSError):  # TensorFlow says what it misses
                ctypes.CDLL(str(path))
