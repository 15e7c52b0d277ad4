"""Rows of a batch, computed of some at once."""

import numpy as np

from lrcn.common.vgg16.parts import map_parts, tf


def test_parts_have_alike_many_rows():
    lengths, rows = [], tf.reshape(tf.range(8 * 12, dtype="float32"), (8, 3, 4))

    def sum_rows(part):
        lengths.append(len(part))
        return tf.reduce_sum(part, axis=2)

    def find(rows):
        return map_parts(sum_rows, rows, shape=(3,), dtype="float32", rows_at_once=3)

    np.testing.assert_array_equal(find(rows), rows.numpy().sum(axis=2))
    assert lengths == [3, 3, 2]
    np.testing.assert_array_equal(find(rows[:4]), rows[:4].numpy().sum(axis=2))
    assert lengths[3:] == [2, 2]
    assert find(rows[:0]).shape == (0, 3)
