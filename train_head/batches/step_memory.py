"""Whether a training step, or a new clip, fits in memory, as far as can be told beforehand."""

import math
from pathlib import Path

import numpy as np
from absl import logging

from lrcn.common.cache.contract import Contract
from lrcn.common.files.unreadable import UnreadableClipError
from lrcn.common.programs import machine
from lrcn.common.programs.devices import has_gpu
from train_head.batches.clip_reader import ClipReader
from train_head.run.config import TrainConfig

# A frame is held as its features and as what the layers make of it, in float32. So many copies of
# that are in memory at the peak of a step: batches that wait, normalisation, dropout, and what the
# gradients need. Seven were measured at 25,088 features. Three are there in any case: batches that
# wait, the input of the FC layer, and the gradient of that.
_COPIES, _COPIES_AT_LEAST = 7, 3
# Below the RNN there is no padding. It comes with the vectors that the RNN reads, and with their
# gradient. From there on it takes what frames take.
_COPIES_OF_VECTOR = 2
# Bytes of a feature of a held-out clip: float16 as it is read, float16 again without padding, and
# float32. A new clip takes one float16 more, the list in which its frames were gathered.
_BYTES_OF_HELD_OUT = 2 + 2 + 4
_BYTES_OF_NEW = 2 + _BYTES_OF_HELD_OUT
# The rest is for the weights and for clips that are kept decoded.
_PART_OF_MEMORY = 0.5
# Itself, its gradient, and what an optimizer keeps of each weight at least.
_COPIES_OF_WEIGHTS = 3
# Vectors of --rnn_units that an RNN computes for each frame: one for each gate, and the candidate.
# An RNN that is not in the table counts as one vector, which is the least it can be.
_NUM_VECTORS = {"gru": 3, "lstm": 4, "bigru": 6, "none": 0}


def check_memory(reader: ClipReader, config: TrainConfig) -> None:
    """Checks that a head's weights can be learnt in memory, and its batches, as `check_batch`.

    A GPU's memory has an error of its own.

    Raises:
        MemoryError: If they cannot, before anything is done with the clips. It names the flags that
            decide it.
    """
    if not has_gpu():
        _check_weights(config, reader.feature_shape)
    check_batch(reader, config)


def _check_weights(config: TrainConfig, feature_shape: tuple[int, ...]) -> None:
    """Checks the FC layer and the RNNs, which have nearly all of the weights."""
    size = _count_pooled(config, feature_shape)
    _check_layer(config, "FC layer", size * config.fc_units, ["fc_units"])
    num_vectors, units = _NUM_VECTORS.get(config.rnn, 1), config.rnn_units
    size = config.fc_units or size
    lower, num_weights = ["rnn_units"], num_vectors * units * (size + units)
    if config.fc_units > units:
        lower.append("fc_units")
    if config.rnn_layers > 1:
        lower.append("rnn_layers")
        # Each of the others reads what the one below gives, of both directions together.
        num_read = 2 * units if config.rnn == "bigru" else units
        num_weights += (config.rnn_layers - 1) * num_vectors * units * (num_read + units)
    _check_layer(config, "RNN", num_weights, lower)


def _check_layer(config: TrainConfig, name: str, num_weights: int, lower: list[str]) -> None:
    machine.check_fits(
        _COPIES_OF_WEIGHTS * num_weights * 4,
        f"the {num_weights:,} weights of the {name}, with their gradients and the optimizer,",
        {flag: getattr(config, flag) for flag in lower},
    )


def check_batch(reader: ClipReader, config: TrainConfig) -> None:
    """Warns where a batch of the longest clips may take more memory than there is.

    The system then ends the program without a word, hours after its start. A GPU's memory has an
    error of its own.

    Raises:
        MemoryError: If it does, as `check_memory`.
    """
    lower = ["batch_size"]
    num_rows, num_padding = min(config.batch_size, len(reader)), 0
    num_frames = int(np.sort(reader.num_frames)[-num_rows:].sum())
    if config.sequence == "fixed":
        num_frames = num_rows * config.seq_len
        lower.append("seq_len")
    else:
        num_padding = num_rows * int(reader.num_frames.max()) - num_frames
    num_features = math.prod(reader.feature_shape)
    num_values = {
        "": num_features,
        "fc_units": config.fc_units,
        "rnn_units": _NUM_VECTORS.get(config.rnn, 1) * config.rnn_units * config.rnn_layers,
    }
    frame_bytes = sum(num_values.values()) * 4
    rnn_bytes = num_values["rnn_units"] * 4
    largest = max(num_values, key=num_values.get)
    if largest:
        lower.append(largest)
    memory_bytes = machine.find_memory_bytes()
    what = f"{num_frames:,} frames in one batch"
    if num_padding:
        what += f" and {num_padding:,} of padding"
    least_bytes = _COPIES_AT_LEAST * (num_frames * frame_bytes + num_padding * rnn_bytes)
    if has_gpu():  # this memory holds the features alone
        least_bytes = num_frames * num_features * 4
    machine.check_fits(least_bytes, what, {flag: getattr(config, flag) for flag in lower})
    vector_bytes = (config.fc_units or _count_pooled(config, reader.feature_shape)) * 4
    step_bytes = _COPIES * (num_frames * frame_bytes + num_padding * rnn_bytes)
    step_bytes += _COPIES_OF_VECTOR * num_padding * vector_bytes
    if not has_gpu() and step_bytes > _PART_OF_MEMORY * memory_bytes:
        logging.warning(
            "A step over the longest clips (%s) takes some %.0f GiB, of %.0f that there are. If "
            "the program is ended without a word, lower --batch_size, or read fewer frames "
            "(--sequence=fixed, --seq_len; --fps or --frame_stride at extraction)",
            what,
            step_bytes / machine.GIB,
            memory_bytes / machine.GIB,
        )


def _count_pooled(config: TrainConfig, feature_shape: tuple[int, ...]) -> int:
    """Counts the numbers that the FC layer gets of a frame."""
    return math.prod(feature_shape) if config.frame_pooling == "flatten" else feature_shape[-1]


def check_longest_clip(reader: ClipReader, config: TrainConfig, *, num_windows: int = 1) -> None:
    """Checks that the longest of clips that are held out may go through the head.

    Raises:
        ValueError: If it does not fit in memory.
    """
    if config.sequence == "fixed" or not len(reader) or has_gpu():
        return
    longest = int(reader.num_frames.argmax())
    _check_long(
        f"The clip {reader.clip_ids[longest]}",
        -(-int(reader.num_frames[longest]) // num_windows),
        math.prod(reader.feature_shape) * _BYTES_OF_HELD_OUT,
    )


def check_new_frames(source: Path, num_frames: int, contract: Contract) -> None:
    """Checks that so many frames of a new clip may go through the head together.

    Raises:
        UnreadableClipError: If they do not fit in memory.
    """
    frame_bytes = contract.values_per_frame * _BYTES_OF_NEW
    try:
        _check_long(str(source), num_frames, frame_bytes)
    except ValueError as error:
        raise UnreadableClipError(str(error)) from None


def _check_long(name: str, num_frames: int, frame_bytes: int) -> None:
    memory_bytes = machine.find_memory_bytes()
    if num_frames * frame_bytes > memory_bytes:
        raise ValueError(
            f"{name}: expected at most the {memory_bytes // frame_bytes:,} frames that memory "
            f"holds. Received: {num_frames:,} or more. Divide it into spans, or train a head that "
            "reads fewer frames (--sequence=fixed; --fps or --frame_stride at extraction)."
        )


def check_new_clip(config: TrainConfig, contract: Contract, *, num_windows: int) -> None:
    """Checks that all windows of a new clip, which go through the head together, may fit.

    Raises:
        MemoryError: If they do not.
    """
    seq_len = config.seq_len if config.sequence == "fixed" else 1
    num_frames = num_windows * seq_len * contract.num_views
    taken_bytes = num_frames * _BYTES_OF_NEW * math.prod(contract.feature_shape)
    what = f"{num_frames:,} frames of a clip's windows"
    machine.check_fits(taken_bytes, what, {"windows": num_windows})
