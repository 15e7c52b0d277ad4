"""Tests of the order in which decoded frames go to the backbone."""

import threading

import numpy as np
import pytest

from extract_features.batches import Item
from extract_features.clip_queue import ClipQueue
from extract_features.worklist import Job
from lrcn.common.clips.clip import Clip
from lrcn.common.pixels.frame import FrameBlock
from lrcn.common.programs.workers import StoppedError, Worker

SIZE = 3


def make_items(name, num_frames):
    job = Job(Clip(name, name, "walk"), None, None)
    frames = [FrameBlock([t], [0.0], np.zeros(1, np.uint8)) for t in range(num_frames)]
    return [Item(job, frame) for frame in [*frames, None]]


def put_all(queue, stop, clips):
    """Starts a thread for each clip, and waits until none can put more."""
    threads = []
    for number, items in clips:

        def put(number=number, items=items):
            for item in items:
                queue.put(number, item)

        threads.append(Worker(stop, put))
        threads[-1].start()
        threads[-1].join(0.1)
    return threads


def take(queue, num_items):
    items = [queue.get() for _ in range(num_items)]
    return [(item.job.clip.clip_id, item.frames and item.frames.index[0]) for item in items]


def test_the_earliest_clip_goes_first_whatever_others_have_put():
    stop = threading.Event()
    queue = ClipQueue(SIZE, stop)
    a, b, c = make_items("a", 6), make_items("b", 2), make_items("c", 5)
    threads = put_all(queue, stop, [(2, c), (1, b), (0, a)])
    expected = [(x.job.clip.clip_id, x.frames and x.frames.index[0]) for x in [*a, *b, *c]]
    found = take(queue, 1)
    for _ in expected[1:]:
        threads[0].join(0.02)  # what there is room for now is put
        found += take(queue, 1)
    assert found == expected
    for thread in threads:
        thread.join()
        assert thread.error is None


def test_later_clips_go_on_where_the_first_is_slow_and_no_further_than_there_is_room():
    stop = threading.Event()
    queue = ClipQueue(SIZE, stop)
    threads = put_all(queue, stop, [(1, make_items("b", SIZE)), (2, make_items("c", 0))])
    assert threads[0].is_alive() and threads[1].is_alive()
    found = take(queue, SIZE + 2)
    assert [t for name, t in found if name == "b"] == [0, 1, 2, None]
    assert ("c", None) in found
    queue.put(0, make_items("a", 0)[0])
    assert take(queue, 1) == [("a", None)]
    # All three have ended, so the next is the first.
    clips = [(4, make_items("e", 5)[:SIZE]), (3, make_items("d", 5)[:SIZE])]
    threads = put_all(queue, stop, clips)
    assert not any(thread.is_alive() for thread in threads)
    stop.set()
    for thread in threads:
        thread.join()


def test_room_is_of_frames_however_many_come_at_once():
    stop = threading.Event()
    queue = ClipQueue(SIZE, stop)
    job = make_items("a", 1)[0].job
    blocks = [Item(job, FrameBlock([t] * 2, [0.0] * 2, None)) for t in range(3)]
    (thread,) = put_all(queue, stop, [(0, blocks)])
    assert thread.is_alive()  # two blocks of 2 have filled the room of 3
    assert queue.get().frames.index == [0, 0]
    thread.join(10)
    assert not thread.is_alive() and thread.error is None


def test_the_first_clip_takes_no_room_from_others():
    stop = threading.Event()
    queue = ClipQueue(SIZE, stop)
    threads = put_all(queue, stop, [(0, make_items("a", SIZE)), (1, make_items("b", 5)[:SIZE])])
    assert [thread.is_alive() for thread in threads] == [True, False]
    stop.set()
    threads[0].join(10)


def test_clips_that_are_short_wait_for_room_too():
    """Else all of a large data set would be decoded into memory."""
    stop = threading.Event()
    queue = ClipQueue(SIZE, stop)
    clips = [make_items(f"{number}", 1) for number in range(20)]
    num_put = 0

    def put():
        nonlocal num_put
        for number, items in enumerate(clips):
            for item in items:
                queue.put(number, item)
                num_put += 1

    thread = Worker(stop, put)
    thread.start()
    thread.join(0.1)
    assert num_put <= SIZE
    found = take(queue, 40)
    assert found == [(f"{number}", t) for number in range(20) for t in (0, None)]
    thread.join()
    assert thread.error is None


def test_clips_that_have_ended_while_they_were_late_leave_no_room():
    stop = threading.Event()
    queue = ClipQueue(SIZE, stop)
    for t in range(SIZE):  # a later clip takes all the room of such
        queue.put(1, make_items("b", SIZE - 1)[t])
    for item in make_items("a", SIZE - 1):
        queue.put(0, item)
    # All that is there is of clips that have ended: twice the room of the first.
    threads = put_all(queue, stop, [(2, make_items("c", 0)), (3, make_items("d", 0))])
    assert all(thread.is_alive() for thread in threads)
    found = [name for name, _ in take(queue, 2 * SIZE + 2)]
    assert found[: 2 * SIZE] == [*"aaabbb"] and sorted(found[2 * SIZE :]) == ["c", "d"]
    for thread in threads:
        thread.join()


def test_waits_end_when_the_pipeline_stops():
    stop = threading.Event()
    queue = ClipQueue(SIZE, stop)
    threads = put_all(queue, stop, [(1, make_items("b", 5)), (0, make_items("a", 5))])
    assert all(thread.is_alive() for thread in threads)
    stop.set()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive() and thread.error is None
    with pytest.raises(StoppedError):
        queue.get()
    with pytest.raises(StoppedError):
        ClipQueue(SIZE, stop).put(0, make_items("c", 0)[0])


def test_a_wait_for_what_does_not_come_ends_too():
    stop = threading.Event()
    thread = Worker(stop, ClipQueue(SIZE, stop).get)
    thread.start()
    thread.join(0.05)
    assert thread.is_alive()
    stop.set()
    thread.join(10)
    assert not thread.is_alive() and thread.error is None
