"""The shape of one frame's features, which another tool wrote, and whether its axes seem right."""

import collections
from collections.abc import Callable
from pathlib import Path

from absl import logging

from extract_features.feature_source import list_contents
from lrcn.common.cache.feature_array import check_array
from lrcn.common.clips.clip import Clip
from lrcn.common.files.escaped_text import escape_control
from lrcn.common.programs.wording import name_some


def find_feature_shape(features: Path, clips: list[Clip], read_array: Callable) -> tuple[int, ...]:
    """Finds the shape of one frame that most clips have: an odd one does not decide for the others.

    Args:
        features: The file or folder, for messages.
        clips: The clips.
        read_array: From `feature_array.open_features`.

    Raises:
        ValueError: If no clip has features that can be taken, or their axes seem to be transposed.
    """
    missing = unfit = None
    shapes, lengths = collections.Counter(), set()
    for clip in clips:
        try:
            array = read_array(clip.clip_id)
            check_array(array, clip.clip_id)
            shapes[array.shape[1:]] += 1
            lengths.add(array.shape[0])
        except FileNotFoundError as error:
            missing = missing or error
        except (ValueError, OSError) as error:
            unfit = unfit or error
    if not shapes and unfit is not None:
        raise ValueError(
            f"{features}: expected features that can be taken. Received such of none of the "
            f"{len(clips):,} clips in --data: {unfit}"
        )
    if not shapes:
        names = [*map(escape_control, list_contents(features))]
        raise ValueError(
            f"{features}: holds features of none of the {len(clips):,} clips in --data "
            f"({missing}). In it: {name_some(names, limit=3) or 'nothing'}. Its names must be the "
            "manifest's clip_ids, each that of a dataset or, in a folder, of an .npy file."
        )
    feature_shape, num_alike = shapes.most_common(1)[0]
    # Of arrays that are right, lengths differ, and most clips are alike in the rest.
    if len(lengths) == 1 and len(feature_shape) == 1 and 2 * num_alike < shapes.total():
        raise ValueError(
            f"{features}: expected arrays [T, ...], a row for each frame. Received: "
            f"{lengths.pop()} rows in each of {shapes.total()} clips, and {len(shapes)} numbers of "
            "columns, as of arrays whose columns are the frames. Save them transposed."
        )
    _warn_of_axes(features, feature_shape, lengths)
    return feature_shape


def _warn_of_axes(features: Path, feature_shape: tuple[int, ...], lengths: set[int]) -> None:
    """Warns of arrays that can be taken, and whose axes are rather those of PyTorch."""
    shown = f"[{', '.join(map(str, feature_shape))}]"
    # A frame is a vector or a map; one with an axis more is a clip behind an axis of batches.
    if lengths == {1} and len(feature_shape) in (2, 4):
        logging.warning(
            "%s: every clip has one frame, of shape %s: if that is the clip, in a batch of one, "
            "save it without the axis of the batch",
            features,
            shown,
        )
    elif len(feature_shape) == 3 and feature_shape[0] > feature_shape[1] == feature_shape[2]:
        logging.warning(
            "%s: frames of shape %s look like [c, h, w], and are read as [h, w, c]. If so, save "
            "them transposed: pooling over positions would pool over channels",
            features,
            shown,
        )
