"""Extracts small clips in this process, and reads what came of it."""

import numpy as np

from extract_features.backbone_settings import BackboneSettings
from extract_features.extract import extract_features
from extract_features.given_data import DataSettings
from extract_features.pipeline import PipelineSettings
from lrcn.common.cache.cache_lock import ALL_CLIPS
from lrcn.common.cache.open_cache import read_cache
from lrcn.common.clips.manifest import read_manifest

SMALL_SETTINGS = BackboneSettings(weights="random", image_size=32, compute_dtype="float32")
SMALL_PIPELINE = PipelineSettings(num_decode_threads=2, batch_size=16)
NUM_CLIPS = 16


def extract(
    data,
    cache_dir,
    settings=SMALL_SETTINGS,
    pipeline_settings=SMALL_PIPELINE,
    *,
    shard=ALL_CLIPS,
    **data_settings,
):
    """Extracts in this process."""
    return extract_features(
        DataSettings(data=data, **data_settings),
        settings,
        pipeline_settings,
        cache_dir=cache_dir,
        shard=shard,
    )


def read_all(cache_dir):
    cache = read_cache(cache_dir)
    return {x.clip_id: cache.read_clip(x.clip_id) for x in read_manifest(cache.manifest_path)}


def assert_same_features(cache_dir, expected_dir):
    found, expected = read_all(cache_dir), read_all(expected_dir)
    assert found.keys() == expected.keys()
    for clip_id, features in expected.items():
        for array, expected_array in zip(found[clip_id], features, strict=True):
            np.testing.assert_array_equal(array, expected_array, err_msg=clip_id)


def snapshot_clips(cache_dir):
    """What a clip that is written again would change."""
    paths = (cache_dir / "clips").rglob("*.h5")
    return {
        str(path.relative_to(cache_dir / "clips")): (path.stat().st_mtime_ns, path.stat().st_ino)
        for path in paths
    }
