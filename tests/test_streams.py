"""What programs do where stdout is full, closed or no longer read, and with what others raise."""

import os
import signal
import subprocess

import pytest
from commands import ROOT, make_command, run_python


def run(command, *, shell='exec "$@"', **env):
    """Runs a command from within a line of bash, as a user's shell would."""
    # Unbuffered, Python writes at once, and what is left to the end is not seen.
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run(
        ["bash", "-c", shell, "bash", *command],
        cwd=ROOT,
        env={**kept, **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        # A shell that runs the tests in the background has them ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def make_rendering(folder):
    flags = (f"--output_dir={folder}", "--clips_per_class=3")
    return make_command("extract_features.render_sample", *flags)


@pytest.mark.parametrize("flags", [[], ["--help"]])
def test_results_that_cannot_be_written_are_an_error(tmp_path, flags):
    command = [*make_rendering(tmp_path / "sample"), *flags]
    done = run(command, shell='"$@" >/dev/full')
    assert done.returncode == 1
    assert done.stderr.endswith(
        "error: [Errno 28] No space left on device. Make room there, and run the same command "
        "again.\n"
    )
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("flags", [[], ["--help"]])
def test_a_reader_that_has_enough_ends_a_program_quietly(tmp_path, flags):
    # Nobody reads from the moment that the program starts.
    shell = 'set -o pipefail; "$@" | exec true'
    done = run([*make_rendering(tmp_path / "sample"), *flags], shell=shell)
    assert (done.returncode, done.stderr) == (141, "")


def test_programs_do_without_streams(tmp_path):
    done = run(make_rendering(tmp_path / "sample"), shell='"$@" <&- >&- 2>&-')
    assert done.returncode == 0
    assert (tmp_path / "sample" / "manifest.csv").exists()
    done = run(make_command("extract_features.verify", "--cache_dir=gone"), shell='"$@" >&-')
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and "Traceback" not in done.stderr


def test_a_locale_that_garbles_names_is_refused(tmp_path):
    env = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = run(make_rendering(tmp_path / "sample"), **env)
    assert done.returncode == 1
    assert "error: Expected a locale whose names of files are UTF-8" in done.stderr
    assert not (tmp_path / "sample").exists()


def run_main(body):
    """Runs a program whose `main` consists of these lines."""
    lines = [
        "import os, signal",
        "from lrcn.common.programs.program import run_program",
        "def main():",
    ]
    lines += [f"    {line}" for line in body.strip().splitlines()]
    return run_python("\n".join([*lines, "run_program(main)"]), check=False)


def test_an_interrupt_that_comes_out_as_another_error_is_an_interrupt():
    done = run_main(
        """
try:
    os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt:
    raise ImportError("half imported")
"""
    )
    assert done.returncode == 130
    assert done.stderr.startswith("Stopped. What was finished is kept.")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "error",
    [
        'RuntimeError("can\'t start new thread")',
        'ImportError("libtensorflow_cc.so.2: failed to map segment from shared object")',
    ],
)
def test_limits_that_are_too_low_for_the_program_have_their_remedy(error):
    done = run_main(f"raise {error}")
    assert done.returncode == 1 and done.stderr.startswith("error: ")
    assert done.stderr.endswith(
        ". Raise the limits of memory (`ulimit -v`) and of threads (`ulimit -u`).\n"
    )


def test_errors_of_the_system_that_tensorflow_meets_have_their_remedy(tmp_path):
    (tmp_path / "logs").touch()
    done = run_main(
        f"""
import tensorflow as tf
tf.summary.create_file_writer("{tmp_path}/logs/train")
"""
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith(
        "is not a directory. Expected a folder where there is a file. Correct the path, or name "
        "another."
    )
