"""What each row of a batch takes by itself, computed of some rows at once."""

from collections.abc import Callable

from lrcn.common.programs.tensorflow_start import import_tensorflow

tf = import_tensorflow()


def map_parts(
    function: Callable,
    rows,
    *,
    shape: tuple[int, ...],
    dtype: str,
    rows_at_once: int,
    parts_at_once: int = 1,
):
    """Applies a function to [N, ...] rows, to some of them at once.

    Args:
        function: From [n, ...] rows to [n, *shape] of the dtype, of each row alone.
        rows: All of them.
        shape: Of what it gives for a row.
        dtype: Of that.
        rows_at_once: At most so many, as much as possible the same number each time.
        parts_at_once: How many parts may be computed side by side.

    Returns:
        [N, *shape].
    """
    num_rows = tf.shape(rows)[0]
    num_parts = tf.maximum((num_rows - 1) // rows_at_once + 1, 1)
    size = (num_rows - 1) // num_parts + 1  # of all alike, as one row alone rounds otherwise
    element_shape = (None, *shape)
    parts = tf.TensorArray(dtype, num_parts, infer_shape=False, element_shape=element_shape)

    def add_part(number, parts):
        part = rows[number * size : (number + 1) * size]
        return number + 1, parts.write(number, function(part))

    _, parts = tf.while_loop(
        lambda number, _: number < num_parts,
        add_part,
        (0, parts),
        parallel_iterations=parts_at_once,
    )
    return tf.ensure_shape(parts.concat(), element_shape)
