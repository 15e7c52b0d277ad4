"""Threads of a pipeline end together."""

import threading

from refusals import refusal

from lrcn.common.workers import Worker, run_workers


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
