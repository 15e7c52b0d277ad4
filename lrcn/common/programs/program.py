"""What every command line does alike: logs, errors, exit status."""

import contextlib
import logging as python_logging
import math
import os
import sys
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from types import ModuleType

from absl import app, flags, logging

from lrcn.common.files.atomic_file import check_can_write
from lrcn.common.files.escaped_text import escape_direction
from lrcn.common.files.expected_errors import describe_expected
from lrcn.common.programs.interrupt import is_interrupted, watch_interrupts
from lrcn.common.programs.tensorflow_start import own_process

# Text flags that are no paths. An empty value has a meaning of its own.
_NO_PATHS = ("group_regex",)
# What is counted, or a product with it, has 64 bits, and what is computed float32.
_LARGEST = {int: 2**53, float: 3.4e38}
# 128 + the signal's number, as shells count.
_INTERRUPTED = 130
_BROKEN_PIPE = 141

flags.disclaim_key_flags()  # so `adopt_flags` is of the module that calls it


def adopt_flags(*modules: ModuleType, but: Collection[str] = ()) -> None:
    """Lets `--help` of the calling program list the flags of other modules too, save some."""
    for module in modules:
        for flag in flags.FLAGS.get_key_flags_for_module(module):
            if flag.name not in but:
                flags.declare_key_flag(flag.name)


def run_program(
    main: Callable[..., int | None],
    *,
    takes_arguments: bool = False,
    check_flags: Callable[[], object] | None = None,
) -> None:
    """Parses the flags, runs `main` and exits with its status.

    Words that are no flags are refused, unless the program `takes_arguments`: `main` is given
    their list then, and nothing otherwise. `--only_check_args` ends here, with status 1 if the
    command line is refused, also by `check_flags`, which raises ValueError for flags that do not
    go together.

    Logs go to stderr; stdout is for results. An expected error (bad input, a full disk, a
    contract that does not fit) ends with its message and status 1; `--verbosity=1` adds the
    traceback. Ctrl-C ends with status 130.
    """

    def parse_flags(argv: list[str]) -> list[str]:
        try:
            parsed = app.parse_flags_with_usage(_read_flagfiles(argv))
            _check_values()
            if parsed[1:] and not takes_arguments:
                raise ValueError(
                    f"Expected flags only. Received: {parsed[1:]}. A value follows the name of its "
                    "flag and `=`, without a blank, and several are separated by commas: "
                    "--name=value, --names=a,b."
                )
            if check_flags is not None:
                check_flags()
        except ValueError as error:
            reason = str(error)
            if isinstance(error, UnicodeDecodeError):  # no other file is read so early
                byte = error.object[error.start]
                reason = f"--flagfile: expected UTF-8 text, received byte 0x{byte:02x}. Save it so."
            _print_error(reason)
            sys.exit(1)
        return parsed

    def run_main(argv: list[str]) -> None:
        _exit_with_status_of(lambda: main(argv[1:]) if takes_arguments else main())

    own_process()
    _open_closed_streams()
    # The name of a file need not be UTF-8: its bytes are printed as they are.
    sys.stdout.reconfigure(errors="surrogateescape")
    watch_interrupts()
    logging.set_verbosity(logging.INFO)
    logging.use_absl_handler()
    handler = logging.get_absl_handler()
    handler.use_absl_log_file = False
    handler.setFormatter(_LogFormatter("%(asctime)s %(message)s", "%H:%M:%S"))
    # Pictures go to files. A notebook hands down what shows them in its own pages, without which
    # matplotlib, here of another environment, cannot be imported.
    os.environ["MPLBACKEND"] = "agg"
    # It tells of the list of fonts that it makes when it draws for the first time.
    python_logging.getLogger("matplotlib").setLevel(python_logging.WARNING)
    _wrap_description()
    _mark_required_flags()
    with _end_with_reader():
        app.run(run_main, flags_parser=parse_flags)


def check_output(path: str) -> Path:
    """Checks that `--output` names a new file in a folder, before there is anything to write.

    Raises:
        ValueError: If something is there.
        NotADirectoryError: If its folder is not there.
        PermissionError: If files cannot be made in it.
    """
    output = Path(path)
    if output.exists():
        raise ValueError(f"{output}: exists already. Name another --output, or remove it.")
    if not output.parent.is_dir():
        raise NotADirectoryError(
            f"{output}: expected --output in a folder that exists. Make the folder, or name "
            "another."
        )
    check_can_write(output.parent)
    return output


@contextlib.contextmanager
def _end_with_reader() -> Iterator[None]:
    """Ends without a word where the reader of stdout, such as `head`, has enough.

    A disk that has no room for `--help` is told as `main`'s errors are, which do not come here.
    """
    try:
        try:
            yield
        finally:
            sys.stdout.flush()  # at exit it is too late
    except BrokenPipeError:
        # Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(_BROKEN_PIPE)
    except OSError as error:
        _exit_with_error(error)


def _exit_with_status_of(main: Callable[[], int | None]) -> None:
    try:
        _check_encoding()
        status = main()
        # At exit it is too late to tell of a full disk.
        sys.stdout.flush()
        sys.exit(status)
    except KeyboardInterrupt:
        _exit_interrupted()
    except BrokenPipeError:
        raise  # to `_end_with_reader`
    except Exception as error:
        # An import that Ctrl-C interrupts was seen to end with an error of its own.
        if is_interrupted():
            _exit_interrupted()
        _exit_with_error(error)


def _exit_with_error(error: Exception) -> None:
    message = describe_expected(error, flag_names=flags.FLAGS)
    if message is None or logging.level_debug():
        raise error
    _print_error(message)
    _exit_at_once(1)


class _LogFormatter(python_logging.Formatter):
    """As Python's, for a terminal that would turn around what follows some names."""

    def format(self, record: python_logging.LogRecord) -> str:
        return escape_direction(super().format(record))


def _print_error(reason: str) -> None:
    print(f"error: {escape_direction(reason)}", file=sys.stderr)


def _exit_interrupted() -> None:
    print(
        "Stopped. What was finished is kept. Extraction and training go on from there if the same "
        "command is run again.",
        file=sys.stderr,
    )
    _exit_at_once(_INTERRUPTED)


def _open_closed_streams() -> None:
    # Some start programs without. The next files would get their numbers, and TensorFlow, which
    # logs to number 2, would write into one.
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
            setattr(sys, name, os.fdopen(descriptor, "w" if descriptor else "r"))


def _exit_at_once(status: int) -> None:
    # Threads of TensorFlow that still read clips call Python, which may crash as it winds up: a
    # Ctrl-C in training was seen to end in a segmentation fault. Every `with` has been left by now.
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(status)


def _wrap_description() -> None:
    """Lets `--help` break the program's docstring, but for commands, where it breaks all else."""
    program = sys.modules["__main__"]
    if program.__doc__:
        paragraphs = program.__doc__.strip().split("\n\n")
        wrapped = [
            x if x.startswith(" ") else flags.text_wrap(" ".join(x.split())) for x in paragraphs
        ]
        program.__doc__ = "\n\n".join(wrapped) + "\n"


def _mark_required_flags() -> None:
    """Lets `--help` say which flags are required, which absl does not, and words the refusal."""
    for name in flags.FLAGS:
        flag = flags.FLAGS[name]
        # Of a flag that is required, absl knows no more than that None is refused so.
        refusal = f"Flag --{name} must have a value other than None."
        for validator in flag.validators:
            if validator.message == refusal:
                flag.help = f"Required. {flag.help}"
                validator.message = f"required. Received: none. Name one: --{name}=..."


def _read_flagfiles(argv: list[str]) -> list[str]:
    """Puts their flags in the place of `--flagfile`; absl reads a pipe, as of a shell, but once."""
    try:
        words = flags.FLAGS.read_flags_from_files(argv[1:], force_gnu=False)
    except flags.Error:  # of one that is missing, parsing tells
        return argv
    if any(word.startswith("\ufeff") and word not in argv for word in words):
        raise ValueError(
            "--flagfile: expected flags from its first letter on. Received: a byte order mark, as "
            "some editors of Windows write it. Save it as UTF-8 without BOM."
        )
    return [argv[0], *words]


def _check_encoding() -> None:
    encoding = sys.getfilesystemencoding()
    if encoding != "utf-8":
        raise ValueError(
            f"Expected a locale whose names of files are UTF-8, as those of clips in a cache are. "
            f"Received: {encoding}. Set another, as with LC_ALL=C.UTF-8, or set PYTHONUTF8=1."
        )


def _check_values() -> None:
    for name, value in flags.FLAGS.flag_values_dict().items():
        # The bounds of absl's flags let `nan` through.
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"--{name}={value}: expected a finite number. Correct it.")
        largest = _LARGEST.get(type(value))
        if largest is not None and value > largest:
            raise ValueError(f"--{name}={value}: expected {largest} at most. Lower it.")
        # An empty path would be the current folder. absl's own flags may be empty by default.
        if not isinstance(value, str) or name in _NO_PATHS:
            continue
        if not value.strip() and flags.FLAGS[name].present:
            raise ValueError(f"--{name}={value}: expected a value. Received: none. Name one.")
        # Whoever removes a folder of this name, which would be made here, may remove their home.
        if os.path.expanduser(value) != value:
            raise ValueError(
                f"--{name}={value}: expected a path. Received: one with a ~ that the shell has "
                "left as it is. Write $HOME in its place."
            )
