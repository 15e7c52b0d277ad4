"""Threads of a pipeline end together."""

import threading

import pytest
from refusals import refusal

from lrcn.common.programs import interrupt
from lrcn.common.programs.workers import BoundedQueue, Worker, run_workers


def test_those_that_have_started_end_where_one_cannot_start():
    stop = threading.Event()
    started, cannot_start = Worker(stop, stop.wait), Worker(stop, lambda: None)
    cannot_start.start()  # no thread starts twice
    with (
        refusal("can only be started once", RuntimeError),
        run_workers([started, cannot_start], stop),
    ):
        pass
    assert not started.is_alive()


def test_a_wait_ends_at_an_interrupt_that_was_lost(monkeypatch):
    monkeypatch.setattr(interrupt, "_is_asked", True)
    stop = threading.Event()
    stop.set()  # or it would wait for ever where it does not see it
    with pytest.raises(KeyboardInterrupt):
        BoundedQueue(1, stop).get()
