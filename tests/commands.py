"""Runs the programs as a user does: as processes of their own, in the root of the repository."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from program_forks import can_fork, run_fork

ROOT = Path(__file__).resolve().parent.parent
# What makes a cache of small float32 features without a download.
SMALL_BACKBONE = ("--weights=random", "--image_size=32", "--compute_dtype=float32")
# What makes a head that trains in no time.
SMALL_HEAD = ("--fc_units=16", "--rnn_units=8", "--seq_len=4", "--epochs=3")
_TIMEOUT_SEC = 120


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


def run_python(program: str, *arguments: object, check: bool = True) -> subprocess.CompletedProcess:
    """Runs `python -c program arguments` to its end, like `run_program`."""
    return _run([sys.executable, "-c", program, *map(str, arguments)], check=check)


def run_with_small_files(
    module: str, *flags: object, max_file_bytes: int
) -> subprocess.CompletedProcess:
    """Runs a program that can write no larger files, as if the disk were full."""
    limits = (max_file_bytes, max_file_bytes)
    program = (
        f"import resource, runpy\nresource.setrlimit(resource.RLIMIT_FSIZE, {limits})\n"
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
    """Runs a command as a fork, where that makes no difference."""
    env = {**os.environ, **(env or {})}
    if can_fork(env):
        done = run_fork(command, cwd=cwd, timeout_sec=_TIMEOUT_SEC)
    else:
        done = subprocess.run(
            command,
            cwd=cwd,
            env={"PYTHONPATH": str(ROOT), **env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_SEC,
        )
    if check and done.returncode != 0:
        raise AssertionError(f"{done.args}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done


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
