"""What every command line does alike: logs, errors, exit status."""

import logging as python_logging
import os
import sys
from collections.abc import Callable

from absl import app, logging

# 128 + the signal's number, as shells count.
_INTERRUPTED = 130
_BROKEN_PIPE = 141


def run_program(main: Callable[[list[str]], int | None]) -> None:
    """Parses the flags, runs `main` and exits with its status.

    Logs go to stderr; stdout is for results. An expected error (bad input, a full disk, a
    contract that does not fit) ends with its message and status 1; `--verbosity=1` adds the
    traceback. Ctrl-C ends with status 130.
    """

    def guarded_main(argv: list[str]) -> None:
        try:
            sys.exit(main(argv[1:]))
        except KeyboardInterrupt:
            print("Stopped. The same command goes on from here.", file=sys.stderr)
            sys.exit(_INTERRUPTED)
        except BrokenPipeError:
            # The reader of stdout, such as `head`, has enough. Python would complain once more
            # when it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(_BROKEN_PIPE)
        except (ValueError, OSError, RuntimeError) as error:
            if logging.level_debug():
                raise
            print(f"error: {error}", file=sys.stderr)
            sys.exit(1)

    logging.set_verbosity(logging.INFO)
    logging.use_absl_handler()
    handler = logging.get_absl_handler()
    handler.use_absl_log_file = False
    handler.setFormatter(python_logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    app.run(guarded_main)
