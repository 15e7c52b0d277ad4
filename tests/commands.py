"""Runs the programs as a user does: as processes of their own, in the root of the repository."""

import contextlib
import csv
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from program_forks import Fork, can_fork

ROOT = Path(__file__).resolve().parent.parent
# What makes a cache of small float32 features without a download.
SMALL_BACKBONE = ("--weights=random", "--image_size=32", "--compute_dtype=float32")
# What makes a head that trains in no time.
SMALL_HEAD = ("--fc_units=16", "--rnn_units=8", "--seq_len=4", "--epochs=3")
# Nothing that ends by itself takes so long, not on a machine that much else keeps busy either.
_TIMEOUT_SEC = 300


def run_program(
    module: str,
    *flags: object,
    env: dict[str, str] | None = None,
    cwd: Path = ROOT,
    check: bool = True,
) -> subprocess.CompletedProcess:
    """Runs `python -m module flags` to its end.

    Args:
        module: Such as `train_head.evaluate`.
        flags: The command line; each is turned into text.
        env: Environment variables to set beside those that there are.
        cwd: The folder to run it in.
        check: Fail with all that was printed if the status is not 0.

    Returns:
        `returncode`, `stdout` and `stderr`, as text.
    """
    return _run(make_command(module, *flags), env=env, cwd=cwd, check=check)


def run_and_list_imports(
    module: str, *flags: object, check: bool = True
) -> tuple[subprocess.CompletedProcess, set[str]]:
    """Runs a program; returns it, and the modules that it imported."""
    done = run_program(module, *flags, env={"PYTHONPROFILEIMPORTTIME": "1"}, check=check)
    lines = done.stderr.splitlines(keepends=True)
    imported = {x.rsplit("|", 1)[1].strip() for x in lines if x.startswith("import time:")}
    if "absl.flags" not in imported:
        raise AssertionError(f"{module}: lists no imports\n{done.stderr}")
    done.stderr = "".join(x for x in lines if not x.startswith("import time:"))
    return done, imported


def run_python(program: str, *arguments: object, check: bool = True) -> subprocess.CompletedProcess:
    """Runs `python -c program arguments` to its end, like `run_program`."""
    return _run([sys.executable, "-c", program, *map(str, arguments)], check=check)


def read_rows(path: Path) -> list[dict[str, str]]:
    """Reads a CSV file that a program wrote, a dictionary for each row."""
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read_clip_rows(path: Path) -> dict[str, dict[str, str]]:
    """Reads a CSV file with a row for each clip."""
    return {row["clip_id"]: row for row in read_rows(path)}


def read_failures(cache_dir: Path) -> dict[str, str]:
    """Reads the clips that a cache lists as failed: {clip_id: reason}."""
    return {row["clip_id"]: row["reason"] for row in read_rows(cache_dir / "failures.csv")}


def run_with_small_files(
    module: str, *flags: object, max_file_bytes: int
) -> subprocess.CompletedProcess:
    """Runs a program that can write no larger files, as if the disk were full."""
    limits = (max_file_bytes, max_file_bytes)
    # Without bytecode: Python keeps half a file of it, which every later fork would import.
    program = (
        "import resource, runpy, sys\nsys.dont_write_bytecode = True\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, {limits})\n"
        f"runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"
    )
    return run_python(program, *flags, check=False)


def _run(
    command: list[str],
    *,
    env: dict[str, str] | None = None,
    cwd: Path = ROOT,
    check: bool,
) -> subprocess.CompletedProcess:
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        with _start(command, env=env, cwd=cwd, stdout=stdout, stderr=stderr) as process:
            status = process.wait(timeout=_TIMEOUT_SEC)
        texts = [_read(file) for file in (stdout, stderr)]
    done = subprocess.CompletedProcess(command, status, *texts)
    if check and done.returncode != 0:
        raise AssertionError(f"{done.args}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done


@contextlib.contextmanager
def _start(
    command: list[str],
    *,
    env: dict[str, str] | None = None,
    cwd: Path = ROOT,
    stdout: IO,
    stderr: IO,
) -> Iterator[Fork | subprocess.Popen]:
    """Starts a command, as a fork where that makes no difference; kills it at the end."""
    env = {**os.environ, **(env or {})}
    if can_fork(env):
        process = Fork(command, cwd=cwd, stdout=stdout, stderr=stderr)
    else:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env={"PYTHONPATH": str(ROOT), **env},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            # A shell that runs the tests in the background has them ignore Ctrl-C.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait(timeout=_TIMEOUT_SEC)


def _read(file: IO) -> str:
    # Not by its position in the file, since that is where a program at work writes on.
    content = os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0)
    return content.decode().replace("\r\n", "\n").replace("\r", "\n")


class Program:
    """A program at work, which a test may stop or kill. Use `start_program`."""

    def __init__(self, process: Fork | subprocess.Popen, output: IO):
        self._process, self._output = process, output
        self.send_signal, self.kill = process.send_signal, process.kill

    def read_output(self) -> str:
        """All that it has printed, to stdout or stderr."""
        return _read(self._output)

    def count_threads(self) -> int:
        return len(os.listdir(f"/proc/{self._process.pid}/task"))

    def wait(self) -> int:
        """Returns its status, when it has ended."""
        return self._process.wait(timeout=_TIMEOUT_SEC)

    def wait_until(self, is_true: Callable[[], bool]) -> None:
        """Waits for what it does; fails if it ends before."""
        deadline_sec = time.monotonic() + _TIMEOUT_SEC
        while self._process.poll() is None and time.monotonic() < deadline_sec:
            for _ in range(20):
                if is_true():
                    return
                time.sleep(0.0005)  # what a test waits for may not last
        raise AssertionError(f"What is waited for did not come:\n{self.read_output()}")

    def wait_for_text(self, text: str) -> None:
        """Waits until it has printed this."""
        self.wait_until(lambda: text in self.read_output())


def start_program(module: str, *flags: object) -> contextlib.AbstractContextManager[Program]:
    """Starts what `run_program` runs; kills it at the end, if it is still at work."""
    return _start_program(make_command(module, *flags))


def start_python(program: str, *arguments: object) -> contextlib.AbstractContextManager[Program]:
    """Starts what `run_python` runs, like `start_program`."""
    return _start_program([sys.executable, "-c", program, *map(str, arguments)])


@contextlib.contextmanager
def _start_program(command: list[str]) -> Iterator[Program]:
    with (
        tempfile.TemporaryFile() as output,
        _start(command, stdout=output, stderr=output) as process,
    ):
        yield Program(process, output)


def make_command(module: str, *flags: object) -> list[str]:
    """The command line that `run_program` runs."""
    return [sys.executable, "-m", module, *map(str, flags)]


def find_readme_program(call: str) -> str:
    """The Python of the README in which this stands, which users copy."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (program,) = [x for x in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if call in x]
    return program


def kill_at_first_manifest(module: str, *flags: object) -> None:
    """Runs a program until one .csv file has its name, and nothing was done since."""
    program = (
        "import os, runpy, sys\n"
        "renamed = []\n"
        "def kill_at_the_first(event, names):\n"
        "    if renamed and event == 'open':\n"
        "        os.kill(os.getpid(), 9)\n"
        "    if event == 'os.rename' and str(names[1]).endswith('.csv'):\n"
        "        renamed.append(names)\n"
        "sys.addaudithook(kill_at_the_first)\n"
        f"runpy.run_module({module!r}, run_name='__main__')\n"
    )
    done = run_python(program, *flags, check=False)
    if done.returncode != -signal.SIGKILL:
        raise AssertionError(f"{module}: status {done.returncode}\n{done.stderr}")


def read_state(folder: Path) -> dict:
    """Content and time of every file of a folder."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}
