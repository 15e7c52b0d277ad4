"""Memory that batches use one after the other."""

import numpy as np
from small_data import train

from lrcn.common.programs.tensorflow_start import import_tensorflow
from train_head.batches.batch_memory import take_memory
from train_head.batches.padding import allocate_aligned

tf = import_tensorflow()


def test_memory_goes_to_another_batch_once_nobody_holds_the_first():
    first = take_memory(1 << 16)
    address = first.ctypes.data
    part = first.view(np.float16).reshape(2, -1)[1:, ::2]
    del first
    assert take_memory(1 << 16).ctypes.data != address, "a part of it is held"
    del part
    assert take_memory(1 << 16).ctypes.data == address


def test_memory_of_another_size_is_given_back():
    sizes = [take_memory(x).nbytes for x in (1 << 10, 1 << 16, 1 << 10)]
    assert sizes == [1 << 10, 1 << 16, 1 << 10]


def test_batches_that_are_held_keep_what_they_hold():
    places = []

    def load(number):
        batch = take_memory(1 << 16)
        places.append(batch.ctypes.data)
        batch[...] = number
        return batch

    dataset = tf.data.Dataset.range(30).map(
        lambda number: tf.numpy_function(load, [number], tf.uint8), num_parallel_calls=2
    )
    held = []
    for number, batch in enumerate(dataset):
        if number % 5 == 0:
            held.append(batch[: 1 << 10])
        assert (batch.numpy() == number).all()
    assert [int(batch[-1]) for batch in held] == [0, 5, 10, 15, 20, 25]
    assert len(set(places)) < 20


def test_training_is_the_same_as_in_memory_of_each_batch_s_own(ramps, tmp_path, monkeypatch):
    reused = train(ramps, tmp_path / "reused", epochs=2)
    monkeypatch.setattr("train_head.batches.batch_loader.take_memory", allocate_aligned)
    own = train(ramps, tmp_path / "own", epochs=2)
    assert reused.history_path.read_bytes() == own.history_path.read_bytes()
