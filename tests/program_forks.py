"""Starts programs as forks of a process that has imported TensorFlow, which takes each seconds.

That process has imported packages of others alone and computed nothing: where TensorFlow has been
used, it hangs in a fork. So a fork imports what is ours by itself, from `__main__` on, and has a
command line, streams and a status of its own.
"""

import atexit
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
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import IO, NamedTuple

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


class Fork:
    """A program at work, with what `subprocess.Popen` has of these names."""

    def __init__(self, command: list[str], *, cwd: Path, stdout: IO, stderr: IO):
        """Starts a command line: `[python, "-m", module, *flags]`, or `-c` with a program."""
        message = ["start", str(cwd), *command[1:]]
        self.args = command
        self.returncode: int | None = None
        self.pid = _ask(message, [stdout.fileno(), stderr.fileno()])

    def poll(self) -> int | None:
        return self._wait(0)

    def wait(self, timeout: float) -> int:
        if self._wait(timeout) is None:
            raise subprocess.TimeoutExpired(self.args, timeout)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _wait(self, timeout_sec: float) -> int | None:
        if self.returncode is None:
            self.returncode = _ask(["wait", self.pid, timeout_sec])
        return self.returncode


# What is `python` to others: the address, and then the command line.
OTHERS_PYTHON = r"""
import json, os, socket, sys
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
    server.connect("\0" + sys.argv[1])
    message = json.dumps(["start", os.getcwd(), *sys.argv[2:]])
    socket.send_fds(server, [message.encode()], [1, 2])
    server.send(b'["wait", %s, null]' % server.recv(99))
    sys.exit(int(server.recv(99)))
"""


@functools.cache
def serve_others() -> str:
    """Lets programs that are none of ours, such as make, start forks; returns the address."""
    address = f"lrcn-tests-{uuid.uuid4()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(f"\0{address}")  # of no file, which would have to go again
        listener.listen()
        _ask(["serve"], [listener.fileno()])
    return address


def _ask(message: list, descriptors: list[int] = ()):
    connection = _start_server().connection
    socket.send_fds(connection, [json.dumps(message).encode()], descriptors)
    return json.loads(connection.recv(_MESSAGE_BYTES))


@functools.cache
def _start_server() -> _Server:
    """Starts the process that forks; it ends when this one does, also where that is killed."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its:
        process = subprocess.Popen(
            [sys.executable, __file__, str(its.fileno())],
            cwd=_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[its.fileno()],
        )
    atexit.register(_end_server, process, ours)
    return _Server(process, ours, _clean(os.environ))


def _end_server(process: subprocess.Popen, connection: socket.socket) -> None:
    # Here, as Python complains of what is still open when it has ended.
    connection.close()
    process.wait()


def _clean(environ: Mapping[str, str]) -> dict[str, str]:
    # pytest writes there which test it runs.
    return {name: value for name, value in environ.items() if name != "PYTEST_CURRENT_TEST"}


def _serve(connection: socket.socket) -> None:
    fork = multiprocessing.get_context("fork")
    processes = {}
    while True:
        message, streams, _, _ = socket.recv_fds(connection, _MESSAGE_BYTES, 2)
        if not message:
            for process in processes.values():
                process.kill()
            return
        request, *arguments = json.loads(message)
        if request in ("start", "serve"):
            target = functools.partial(_run, arguments) if arguments else _serve_others
            process = fork.Process(target=target, args=(streams, connection))
            process.start()
            processes[process.pid] = process
            answer = process.pid
            for descriptor in streams:
                os.close(descriptor)
        else:
            pid, timeout_sec = arguments
            processes[pid].join(timeout_sec)
            answer = processes[pid].exitcode
            if answer is not None:
                del processes[pid]
        connection.send(json.dumps(answer).encode())


def _serve_others(streams: list[int], connection: socket.socket) -> None:
    connection.close()
    with socket.socket(fileno=streams[0]) as listener:
        while True:
            _serve(listener.accept()[0])


def _run(arguments: list[str], streams: list[int], connection: socket.socket) -> None:
    """Is the program, in a fork; whose end, `os._exit`, does not tidy up what it was born with."""
    connection.close()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, descriptor in enumerate(streams, start=1):
        os.dup2(descriptor, number)
        os.close(descriptor)
    # The one that it was born with takes a pipe for a file in which it can go back.
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", errors=sys.stdout.errors, closefd=False)
    cwd, option, program, *flags = arguments
    os.chdir(cwd)
    sys.argv = [program if option == "-m" else option, *flags]
    if option == "-m":
        runpy.run_module(program, run_name="__main__", alter_sys=True)
    else:
        exec(program, {"__name__": "__main__"})


def _import_packages() -> None:
    sys.path[0] = str(_ROOT)  # as `python -m` has it
    from lrcn.common.programs.tensorflow_start import import_tensorflow, own_process

    own_process()
    import_tensorflow()
    # What programs import besides, and what is imported by that when it is first used.
    import av  # noqa: F401
    import deflate  # noqa: F401
    import h5py  # noqa: F401
    import PIL.Image
    import PIL.ImageOps
    import scipy.stats  # noqa: F401
    import sklearn.metrics  # noqa: F401
    import tensorboard.summary._tf.summary  # noqa: F401

    PIL.Image.init()

    for name in [name for name in sys.modules if name.split(".")[0] == "lrcn"]:
        del sys.modules[name]


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends with the tests
    _import_packages()
    with tempfile.TemporaryDirectory() as folder:
        # What is ours is compiled for the first fork that imports it, also where Python is told to
        # leave no bytecode beside the sources.
        sys.dont_write_bytecode, sys.pycache_prefix = False, folder
        _serve(socket.socket(fileno=int(sys.argv[1])))
