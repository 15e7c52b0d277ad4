"""Writes features as another tool would."""

import h5py
import numpy as np

CLIP_IDS = [f"{label}/v_{i}" for label in ("walk", "run") for i in range(3)]
SPLITS = ["train", "val", "test"]


def make_features(shape=(5,), dtype=np.float32):
    """A clip of 3, 4, ... frames for each clip_id."""
    rng = np.random.default_rng(0)
    return {
        clip_id: (100 * rng.standard_normal((3 + i, *shape))).astype(dtype)
        for i, clip_id in enumerate(CLIP_IDS)
    }


def write_features(path, features):
    """Writes an HDF5 file, or, without a suffix, a folder of `.npy`."""
    if path.suffix:
        with h5py.File(path, "w") as file:
            for clip_id, array in features.items():
                file[clip_id] = array
    else:
        for clip_id, array in features.items():
            (path / clip_id).parent.mkdir(parents=True, exist_ok=True)
            np.save(path / f"{clip_id}.npy", array)
    return path
