"""The frames that a clip's features were made of, as pictures from its source."""

import os
from pathlib import Path

import numpy as np

from lrcn.common.cache.feature_cache import FeatureCache
from lrcn.common.clips.clip import Clip
from lrcn.common.files.unreadable import UnreadableClipError
from lrcn.common.pixels.decode import read_frames
from lrcn.common.pixels.source_stat import read_clip_stat
from lrcn.common.pixels.views import VIEWS

_IF_MOVED = (
    "If the clips are elsewhere now, tell the cache once: extract_features with --data (of a "
    "manifest also --data_root) and this --cache_dir, which computes nothing anew."
)


def read_pictures(
    cache: FeatureCache, clip: Clip, frame_indices: list[int], *, size_px: int
) -> tuple[list[np.ndarray] | None, str]:
    """Reads frames of a clip, by their numbers in `frame_index`, in the first view of each.

    Returns:
        [S, S, 3] uint8 of each, or None and why there are none.
    """
    if cache.contract.is_imported:
        return None, "The features were imported, and which pictures they are of is not known."
    source = Path(cache.data_root) / clip.path
    try:
        if not cache.is_current(clip.clip_id, read_clip_stat(source, clip)):
            return None, f"{source}: has changed since its features were extracted."
        frames = read_frames(
            source,
            frame_indices,
            image_size=size_px,
            views=VIEWS[cache.contract.views],
            span=clip.span,
        )
    except UnreadableClipError as error:
        return None, str(error) if os.path.exists(source) else f"{error} {_IF_MOVED}"
    return [frames[index] for index in frame_indices], ""
