"""Starts programs as forks of a process that has imported TensorFlow, which takes each seconds.

That process has imported packages of others alone and computed nothing: where TensorFlow has been
used, it hangs in a fork. So a fork imports what is ours by itself, from `__main__` on, and has a
command line, streams and a status of its own.
"""

import functools
import json
import multiprocessing
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

_ROOT = Path(__file__).resolve().parent.parent
_MESSAGE_BYTES = 2**16


class _Server(NamedTuple):
    process: subprocess.Popen
    connection: socket.socket
    environ: dict[str, str]


def can_fork(environ: Mapping[str, str]) -> bool:
    """Whether a fork is what a process in this environment would be.

    TensorFlow reads it when it is imported, and a GPU that it has found is lost to forks.
    """
    return environ["CUDA_VISIBLE_DEVICES"] == "-1" and _clean(environ) == _start_server().environ


def run_fork(command: list[str], *, cwd: Path, timeout_sec: float) -> subprocess.CompletedProcess:
    """Runs a command line to its end, or kills it when the time is over.

    Args:
        command: `[python, "-m", module, *flags]`, or `[python, "-c", program, *arguments]`.
        cwd: The folder to run it in.
        timeout_sec: The time.
    """
    connection = _start_server().connection
    with tempfile.TemporaryFile("w+") as stdout, tempfile.TemporaryFile("w+") as stderr:
        message = json.dumps([timeout_sec, str(cwd), *command[1:]]).encode()
        socket.send_fds(connection, [message], [stdout.fileno(), stderr.fileno()])
        status = connection.recv(_MESSAGE_BYTES)
        texts = []
        for file in (stdout, stderr):
            file.seek(0)
            texts.append(file.read())
    return subprocess.CompletedProcess(command, int(status), *texts)


@functools.cache
def _start_server() -> _Server:
    """Starts the process that forks; it ends when this one does, whose end of the socket closes."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its:
        process = subprocess.Popen(
            [sys.executable, __file__, str(its.fileno())],
            cwd=_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[its.fileno()],
        )
    return _Server(process, ours, _clean(os.environ))


def _clean(environ: Mapping[str, str]) -> dict[str, str]:
    # pytest writes there which test it runs.
    return {name: value for name, value in environ.items() if name != "PYTEST_CURRENT_TEST"}


def _serve(connection: socket.socket) -> None:
    fork = multiprocessing.get_context("fork")
    while True:
        message, streams, _, _ = socket.recv_fds(connection, _MESSAGE_BYTES, 2)
        if not message:
            return
        timeout_sec, *arguments = json.loads(message)
        process = fork.Process(target=_run, args=(arguments, streams, connection))
        process.start()
        process.join(timeout_sec)
        process.kill()
        process.join()
        for descriptor in streams:
            os.close(descriptor)
        connection.send(str(process.exitcode).encode())


def _run(arguments: list[str], streams: list[int], connection: socket.socket) -> None:
    """Is the program, in a fork; whose end, `os._exit`, does not tidy up what it was born with."""
    connection.close()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, descriptor in enumerate(streams, start=1):
        os.dup2(descriptor, number)
        os.close(descriptor)
    cwd, option, program, *flags = arguments
    os.chdir(cwd)
    sys.argv = [program if option == "-m" else option, *flags]
    if option == "-m":
        runpy.run_module(program, run_name="__main__", alter_sys=True)
    else:
        exec(program, {"__name__": "__main__"})


def _import_packages() -> None:
    sys.path[0] = str(_ROOT)  # as `python -m` has it
    from lrcn.common.tensorflow_start import import_tensorflow, own_process

    own_process()
    import_tensorflow()
    # What programs import besides.
    import av  # noqa: F401
    import h5py  # noqa: F401
    import PIL.Image  # noqa: F401
    import scipy.stats  # noqa: F401
    import sklearn.metrics  # noqa: F401

    for name in [name for name in sys.modules if name.split(".")[0] == "lrcn"]:
        del sys.modules[name]


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends with the tests
    _import_packages()
    _serve(socket.socket(fileno=int(sys.argv[1])))
