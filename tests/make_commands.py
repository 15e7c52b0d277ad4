"""Runs make: dry, to see what it would hand to the programs, or in earnest."""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from commands import ROOT
from program_forks import OTHERS_PYTHON, can_fork, serve_others

# What `make test` itself was given is not meant for these.
_OUTER = {"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "FLAGS", "PYTHON"}


def run_make(*arguments, cwd=ROOT, dry=True):
    """Runs `make -n`, which prints commands and runs none; or, where not `dry`, make."""
    return _run(*(["-n"] if dry else []), *arguments, cwd=cwd, timeout_sec=60)


def list_flags(*arguments, cwd=ROOT):
    """Returns the last command's words behind `python -m <program>`, as the shell cuts them."""
    done = run_make(*arguments, cwd=cwd)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.replace("\\\n", "").splitlines()
    return shlex.split([line for line in lines if " -m " in line][-1])[3:]


def prepare_make(folder: Path) -> Callable[..., subprocess.CompletedProcess]:
    """Returns what runs make in earnest, on the environment of these tests and in `folder/work`."""
    python = folder / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    command = [sys.executable]
    if can_fork(os.environ):
        command += ["-ISc", OTHERS_PYTHON, serve_others()]
    python.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
    python.chmod(0o755)
    (folder / "venv" / ".setup-done").touch()

    def run(*arguments, status=0):
        names = (f"VENV={folder}/venv", f"WORK={folder}/work")
        done = _run(*names, *arguments, cwd=ROOT, timeout_sec=120)
        assert done.returncode == status, done.stderr
        return done

    return run


def _run(*arguments, cwd: Path, timeout_sec: float) -> subprocess.CompletedProcess:
    env = {name: value for name, value in os.environ.items() if name not in _OUTER}
    return subprocess.run(
        ["make", *arguments], cwd=cwd, env=env, capture_output=True, text=True, timeout=timeout_sec
    )
