"""Tests the start of TensorFlow where there is a GPU, with a driver of our own that claims one."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from commands import ROOT

from lrcn.common.programs.cuda import count_gpus

COMPILER = shutil.which("cc")
DRIVER = """
int cuInit(unsigned flags) { return 0; }
int cuDeviceGetCount(int *count) { *count = %d; return 0; }
"""

pytestmark = pytest.mark.skipif(
    not COMPILER or not sys.platform.startswith("linux"), reason="no compiler of libraries"
)


def compile_library(path: Path, code: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        [COMPILER, "-shared", "-fPIC", f"-Wl,-soname,{path.name}", "-xc", "-", "-o", path],
        input=code,
        text=True,
        check=True,
    )


def run_python(code: str, *, libraries: Path, packages: Path) -> subprocess.CompletedProcess:
    env = {**os.environ, "LD_LIBRARY_PATH": str(libraries), "PYTHONPATH": str(packages)}
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120, check=True
    )


def test_a_gpu_that_tensorflow_does_not_use_is_told(tmp_path):
    compile_library(tmp_path / "libcuda.so.1", DRIVER % 1)
    compile_library(tmp_path / "nvidia/cusolver/lib/libcusolver.so.11", "int it_is_ours;")
    (tmp_path / "nvidia/__init__.py").touch()  # found before pip's, where those are installed
    done = run_python(
        """
import ctypes
from lrcn.common.programs.tensorflow_start import import_tensorflow, own_process
own_process()
import_tensorflow()
ctypes.CDLL("libcusolver.so.11").it_is_ours  # by its name alone, as TensorFlow asks for it
""",
        libraries=tmp_path,
        packages=tmp_path,
    )
    assert done.stderr.count("TensorFlow cannot use the GPU of this machine") == 1
    assert '.venv/bin/pip install -e ".[gpu]"' in done.stderr


@pytest.mark.parametrize("num_gpus", [0, 2])
def test_gpus_are_those_of_the_driver(num_gpus, tmp_path):
    compile_library(tmp_path / "libcuda.so.1", DRIVER % num_gpus)
    done = run_python(
        "from lrcn.common.programs.cuda import count_gpus; print(count_gpus())",
        libraries=tmp_path,
        packages=tmp_path,
    )
    assert done.stdout == f"{num_gpus}\n"


def test_without_a_driver_there_is_no_gpu():
    if Path("/dev/nvidiactl").exists():
        pytest.skip("there is a driver")
    assert count_gpus() == 0
