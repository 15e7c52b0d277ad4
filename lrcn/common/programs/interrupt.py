"""Ctrl-C that is not lost.

Python raises KeyboardInterrupt wherever the main thread happens to be. In a finalizer, or another
function that C calls and whose errors are dropped, it is lost: a training of hours was seen to go
on as if nothing had been pressed. So Ctrl-C is remembered too, and Python's "Exception ignored"
with its traceback is not shown.
"""

import signal
import sys

_is_asked = False


def watch_interrupts() -> None:
    """Has Ctrl-C remembered as well as raised, unless the shell has the process ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _handle)
        tell = sys.unraisablehook
        sys.unraisablehook = lambda x: None if x.exc_type is KeyboardInterrupt else tell(x)


def is_interrupted() -> bool:
    """Whether Ctrl-C was pressed."""
    return _is_asked


def raise_if_interrupted() -> None:
    """Raises the KeyboardInterrupt that was raised before and lost."""
    if _is_asked:
        raise KeyboardInterrupt


def _handle(_signal_number, _frame) -> None:
    global _is_asked
    _is_asked = True
    raise KeyboardInterrupt
