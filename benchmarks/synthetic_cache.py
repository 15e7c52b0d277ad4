"""Caches of features that no network gave, but which cost what real ones cost."""

from pathlib import Path

import numpy as np

from lrcn.common.cache.contract import Contract
from lrcn.common.cache.feature_cache import FeatureCache
from lrcn.common.clips.clip import SourceStat

# Of a real block5_pool map (VGG16 on ImageNet weights, a photograph of a cat) this part is zero.
ZERO_PART = 0.9


def make_contract(feature_shape: tuple[int, ...], *, image_size: int = 224) -> Contract:
    """Returns a contract of whatever features, for files that only a benchmark reads."""
    return Contract(
        backbone="vgg16",
        cut="block5_pool",
        weights_sha256="",
        preprocessing="",
        resize="",
        image_size_px=image_size,
        frame_selection="all",
        views="one",
        compute_dtype="",
        storage_dtype="float16",
        feature_shape=feature_shape,
        weights="random",
    )


def make_maps(num_maps: int, feature_shape: tuple[int, ...]) -> np.ndarray:
    """Makes feature maps [N, ...] float16 that have as many zeros and bytes as real ones."""
    random = np.random.RandomState(0)
    maps = np.maximum(random.standard_normal((num_maps, *feature_shape)), 0) * 20
    return (maps * (random.random_sample(maps.shape) < 2 * (1 - ZERO_PART))).astype(np.float16)


def write_clips(
    cache_dir: Path,
    num_frames: np.ndarray,
    feature_shape: tuple[int, ...],
    *,
    compression: str = "gzip",
) -> tuple[FeatureCache, list[str]]:
    """Writes a clip for each number of frames. Returns the cache and the clips' names."""
    cache = FeatureCache(cache_dir, contract=make_contract(feature_shape), data_root="")
    maps = make_maps(64, feature_shape)
    clip_ids = [f"clip_{number}" for number in range(len(num_frames))]
    for clip_id, count in zip(clip_ids, num_frames, strict=True):
        writer = cache.open_writer(clip_id, compression=compression)
        for start in range(0, count, len(maps)):
            index = list(range(start, min(start + len(maps), count)))
            writer.append(
                maps[: len(index)], frame_index=index, timestamp_sec=[i / 25 for i in index]
            )
        writer.commit(SourceStat(0, 0))
    return cache, clip_ids
