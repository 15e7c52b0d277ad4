"""Writes clips into a cache of small features."""

import dataclasses
from pathlib import Path

import h5py
import numpy as np

from lrcn.common.cache.contract import Contract
from lrcn.common.clips.clip import SourceStat

CONTRACT = Contract(
    backbone="vgg16",
    cut="block5_pool",
    weights_sha256="a" * 64,
    preprocessing="keras_vgg16_caffe",
    resize="stretch_bilinear",
    image_size_px=224,
    frame_selection="all",
    views="one",
    compute_dtype="float32",
    storage_dtype="float16",
    feature_shape=(7, 7, 512),
    weights="imagenet",
)
SMALL = dataclasses.replace(CONTRACT, feature_shape=(2, 3))
SOURCE = SourceStat(size_bytes=1234, mtime_ns=1_700_000_000_123_456_789)


def make_maps(num_frames):
    rng = np.random.default_rng(0)
    return rng.standard_normal((num_frames, *SMALL.feature_shape)).astype(np.float16)


def write_clip(cache, clip_id="walk/clip_1", num_frames=10, source=SOURCE, compression="gzip"):
    maps = make_maps(num_frames)
    writer = cache.open_writer(clip_id, compression=compression)
    for start in range(0, num_frames, 4):
        numbers = list(range(start, min(start + 4, num_frames)))
        writer.append(maps[numbers], frame_index=numbers, timestamp_sec=[0.04 * i for i in numbers])
    assert writer.commit(source) == cache.clip_path(clip_id).stat().st_size
    return maps


def list_files(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def damage_frame(path: Path, number: int, dataset: str = "feature_maps") -> None:
    """Flips a bit in the compressed features of a frame, or in a chunk of another dataset."""
    with h5py.File(path) as file:
        chunk = file[dataset].id.get_chunk_info(number)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset + chunk.size // 2] ^= 1
    path.write_bytes(content)
