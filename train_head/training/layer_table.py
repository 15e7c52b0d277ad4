"""What every layer gives for a real batch: shapes and numbers of weights."""

import math

from train_head.head.layers import PerFrame, keras


def format_layers(model, inputs) -> str:
    """Renders a table with a line for each layer, in the order of the computation.

    Layers inside a `PerFrame` follow it indented, with shapes for all frames of the batch that are
    not padding.

    Args:
        model: A functional Keras model, such as `build_head` gives.
        inputs: A batch of its inputs.

    Returns:
        Lines of name, output shape and number of weights, and a line with the sums.
    """
    rows = [("layer", "output shape", "weights"), *_iter_rows(model, inputs, indent="")]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [f"{a:{widths[0]}}  {b:{widths[1]}}  {c:>{widths[2]}}" for a, b, c in rows]
    trained = _count_weights(model.trainable_weights)
    lines.append(f"{_count_weights(model.weights):,} weights, of which {trained:,} are trained")
    return "\n".join(lines)


def _iter_rows(model, inputs, *, indent):
    # Operations are layers and plain functions, such as a mean over positions.
    operations = model.operations
    tensors = [operation.output for operation in operations]
    outputs = keras.Model(model.input, tensors)(inputs, training=False)
    values = {id(tensor): value for tensor, value in zip(tensors, outputs, strict=True)}
    for operation, output in zip(operations, outputs, strict=True):
        count = _count_weights(operation.weights) if isinstance(operation, keras.Layer) else 0
        name = f"{indent}{operation.name} ({type(operation).__name__})"
        yield name, str(tuple(output.shape)), f"{count:,}"
        if isinstance(operation, PerFrame):
            arguments = keras.tree.flatten(operation.input)
            frames = operation.select_frames(*(values[id(tensor)] for tensor in arguments))
            yield from _iter_rows(operation.model, frames, indent=f"{indent}  ")


def _count_weights(weights) -> int:
    return sum(math.prod(weight.shape) for weight in weights)
