"""Writes features as another tool would, and makes caches and runs of them by the real commands."""

import subprocess
from pathlib import Path

import h5py
import numpy as np
from commands import SMALL_HEAD, run_program
from small_data import make_ramps

from lrcn.common.cache.run_dir import RunDir
from lrcn.common.clips.manifest import write_manifest

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


def import_ramps(folder: Path) -> None:
    """Imports ramps into `folder/cache`, and puts labels of their frames into `labels`, and the
    features of the test clips into `new.h5` and `new`.
    """
    clips = {
        clip: 100 * maps
        for split, number in (("train", 6), ("val", 2), ("test", 4))
        for clip, maps in make_ramps(number, split=split).items()
    }
    write_manifest(folder / "clips.csv", list(clips))
    features = {clip.clip_id: maps for clip, maps in clips.items()}
    run_program(
        "extract_features.import_features",
        f"--features={write_features(folder / 'features.h5', features)}",
        f"--data={folder / 'clips.csv'}",
        f"--cache_dir={folder / 'cache'}",
    )
    for clip_id, maps in features.items():
        path = folder / "labels" / f"{clip_id}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join("early\n" if t < 3 else "late\n" for t in range(len(maps))))
    tests = {clip.clip_id: maps for clip, maps in clips.items() if clip.split == "test"}
    write_features(folder / "new.h5", tests)
    write_features(folder / "new", tests)


def train_imported(imported: Path, run_dir: Path, *flags: str) -> RunDir:
    """Trains on the cache of `import_ramps`."""
    cache, run = f"--cache_dir={imported / 'cache'}", f"--run_dir={run_dir}"
    run_program("train_head", cache, run, *SMALL_HEAD, "--learning_rate=0.01", *flags)
    return RunDir(run_dir)


def predict(run: RunDir, *arguments: object, status: int = 0) -> subprocess.CompletedProcess:
    """Names new clips, which ends with this status and no traceback."""
    done = run_program("train_head.predict", f"--run_dir={run.path}", *arguments, check=False)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done
