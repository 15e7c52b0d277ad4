"""Tests that sources are read side by side, and not further ahead than they may be."""

import itertools
import subprocess
import sys
import threading

import pytest
from commands import ROOT

from lrcn.common.programs import interrupt
from lrcn.common.programs.workers import StoppedError
from train_head.predictions.read_ahead import read_ahead

WAIT_SEC = 60
# Nobody takes all of what the main thread asks for, and another thread goes on when that has ended,
# as far as Python lets it: from 3.12 on, no more threads are started then.
FORGETFUL_PROGRAM = """
import itertools, sys, threading
from train_head.predictions.read_ahead import read_ahead

def iter_clips(sources):
    return read_ahead(
        sources, lambda source, on_decoded: itertools.repeat(source), num_sources=2, num_items=1
    )

def take():
    threading.main_thread().join()
    if sys.version_info < (3, 12):
        print(*[next(items) for items in iter_clips("bcde")])

threading.Thread(target=take).start()
forgotten = iter_clips("abc")
print(next(next(forgotten)))
"""


def test_items_come_in_the_order_of_sources_and_errors_in_their_place():
    def read(source, on_decoded):
        yield from range(source)
        if source == 2:
            raise ValueError("damaged")

    found = []
    for items in read_ahead([3, 2, 0, 5], read, num_sources=2, num_items=1):
        try:
            found += [list(items)]
        except ValueError as error:
            found += [str(error)]
    assert found == [[0, 1, 2], "damaged", [], [0, 1, 2, 3, 4]]


def test_items_before_an_error_are_given():
    def read(source, on_decoded):
        yield source
        raise ValueError("damaged")

    iterators = read_ahead(["a"], read, num_sources=1, num_items=3)
    items = next(iterators)
    assert next(items) == "a"
    with pytest.raises(ValueError, match="damaged"):
        next(items)


def test_the_next_source_is_read_meanwhile():
    is_second_read = threading.Event()

    def read(source, on_decoded):
        if source == "second":
            is_second_read.set()
        assert is_second_read.wait(WAIT_SEC)
        yield source

    iterators = read_ahead(["first", "second"], read, num_sources=2, num_items=1)
    assert [list(items) for items in iterators] == [["first"], ["second"]]


def test_no_more_sources_and_items_are_read_than_are_to_be_ahead():
    num_read, is_full = dict.fromkeys("abcd", 0), threading.Event()

    def read(source, on_decoded):
        for item in range(10):
            num_read[source] += 1
            # Two wait, and the third is in hand until there is room.
            if num_read["a"] == num_read["b"] == 3:
                is_full.set()
            yield item

    iterators = read_ahead("abcd", read, num_sources=2, num_items=2)
    first = next(iterators)
    assert is_full.wait(WAIT_SEC)
    assert num_read == {"a": 3, "b": 3, "c": 0, "d": 0}
    assert list(first) == list(range(10))
    assert [list(items) for items in iterators] == 3 * [list(range(10))]


@pytest.mark.parametrize("num_taken", [0, 1])
def test_what_is_not_taken_keeps_nobody_waiting(num_taken):
    def read(source, on_decoded):
        yield from itertools.repeat(source)

    found = [
        list(itertools.islice(items, num_taken))
        for items in read_ahead("abcdefgh", read, num_sources=2, num_items=1)
    ]
    assert found == [num_taken * [source] for source in "abcdefgh"]


def test_what_is_left_of_a_source_is_read_no_more():
    num_threads = threading.active_count()

    def read(source, on_decoded):
        yield from itertools.repeat(source)

    for _ in read_ahead("abcdefgh", read, num_sources=2, num_items=1):
        assert threading.active_count() <= num_threads + 2


def test_a_stop_is_no_error_of_the_thread_that_reads(monkeypatch):
    errors = []
    monkeypatch.setattr(threading, "excepthook", errors.append)
    is_read = threading.Event()

    def read(source, on_decoded):
        yield source
        is_read.wait(WAIT_SEC)

    iterators = read_ahead("a", read, num_sources=1, num_items=1)
    next(iterators)
    monkeypatch.setattr(interrupt, "_is_asked", True)  # by Ctrl-C, while the source is read
    is_read.set()
    iterators.close()
    assert not errors


def test_leaving_early_ends_what_is_read():
    ended, num_threads = [], threading.active_count()

    def read(source, on_decoded):
        try:
            while True:
                on_decoded()
        except StoppedError:
            ended.append(source)
            raise
        yield

    iterators = read_ahead("abc", read, num_sources=2, num_items=1)
    next(iterators)
    iterators.close()
    # The thread of a source that was not asked for may have begun with none.
    assert set(ended) <= {"a", "b"} and threading.active_count() == num_threads


def test_an_iterator_that_is_forgotten_lets_the_process_end():
    command = [sys.executable, "-c", FORGETFUL_PROGRAM]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=WAIT_SEC)
    expected = "a\nb c d e\n" if sys.version_info < (3, 12) else "a\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, expected, "")
