"""Times audit and training of a large data set, and the report of a run with many test clips.

Each runs as the command that users run, on data made for it: block5_pool maps of 20 frames a clip
for audit and training, vectors for the report, whose cost does not depend on the features. It takes
about seven minutes, most of them to make the data.

    python -m benchmarks.large_data --clips=13000 --report_clips=20000
"""

import csv
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from absl import flags

from benchmarks.synthetic_cache import make_contract, make_maps
from lrcn.common.programs.program import run_program

_CLIPS = flags.DEFINE_integer("clips", 13_000, "Clips to audit and train on.", lower_bound=10)
_REPORT_CLIPS = flags.DEFINE_integer(
    "report_clips", 20_000, "Clips of the test split.", lower_bound=1
)
_CLASSES = flags.DEFINE_integer("classes", 101, "Classes.", lower_bound=2)
_FRAMES = 20


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cache_dir = _write_maps(folder / "maps")
        seconds = _run("train_head.audit", cache_dir=cache_dir, output_dir=folder / "audit")
        print(f"audit of {_CLIPS.value} clips of {_FRAMES} frames: {seconds:.0f} s")
        settings = {"epochs": 1, "fc_units": 64}  # so small that the head is none of the time
        seconds = _run("train_head", cache_dir=cache_dir, run_dir=folder / "maps_run", **settings)
        print(f"training on four fifths of them for an epoch, and the score: {seconds:.0f} s")
        cache_dir, run_dir = _write_vectors(folder), folder / "run"
        _run("train_head", cache_dir=cache_dir, run_dir=run_dir, seq_len=2, **settings)
        seconds = _run("train_head.report", cache_dir=cache_dir, run_dir=run_dir)
        size_mb = (run_dir / "report.html").stat().st_size / 1e6
        print(
            f"report on {_REPORT_CLIPS.value} test clips of {_CLASSES.value} classes: "
            f"{seconds:.0f} s, {size_mb:.1f} MB"
        )


def _write_maps(cache_dir: Path) -> Path:
    """Writes a cache of clips that differ, a fifth of them in the test split."""
    from lrcn.common.cache.open_cache import create_cache
    from lrcn.common.clips.clip import Clip, SourceStat
    from lrcn.common.clips.manifest import write_class_names, write_manifest

    maps = make_maps(64, (7, 7, 512))
    cache = create_cache(cache_dir, contract=make_contract(maps.shape[1:]), data_root=cache_dir)
    random = np.random.RandomState(0)
    clips = []
    for number in range(_CLIPS.value):
        chosen = maps[random.choice(len(maps), _FRAMES)]
        writer = cache.open_writer(str(number))
        writer.append(
            np.ascontiguousarray(chosen[..., random.permutation(512)]),
            frame_index=list(range(_FRAMES)),
            timestamp_sec=[i / 25 for i in range(_FRAMES)],
        )
        writer.commit(SourceStat(0, 0))
        split = "train" if number % 5 else "test"
        label = f"class_{number // 5 % _CLASSES.value}"
        clips.append(Clip(clip_id=str(number), path=str(number), label=label, split=split))
    write_manifest(cache.manifest_path, clips)
    write_class_names(cache.classes_path, [f"class_{k}" for k in range(_CLASSES.value)])
    return cache_dir


def _write_vectors(folder: Path) -> Path:
    """Imports vectors, two frames a clip, with two train clips of each class."""
    import h5py

    random = np.random.RandomState(0)
    centres = random.normal(size=(_CLASSES.value, 16))
    rows = [("train", number) for number in range(2 * _CLASSES.value)]
    rows += [("test", number) for number in range(_REPORT_CLIPS.value)]
    with (
        h5py.File(folder / "vectors.h5", "w") as file,
        open(folder / "vectors.csv", "w", newline="", encoding="utf-8") as manifest,
    ):
        writer = csv.writer(manifest)
        writer.writerow(["clip_id", "path", "label", "split"])
        for split, number in rows:
            clip_id, label = f"{split}_{number}", number % _CLASSES.value
            writer.writerow([clip_id, clip_id, f"class_{label}", split])
            file[clip_id] = (centres[label] + random.normal(size=(2, 16))).astype(np.float16)
    cache_dir = folder / "vectors"
    _run(
        "extract_features.import_features",
        features=folder / "vectors.h5",
        data=folder / "vectors.csv",
        cache_dir=cache_dir,
    )
    return cache_dir


def _run(program: str, **settings) -> float:
    """Runs a program of this project. Returns its seconds, start-up among them."""
    command = [sys.executable, "-m", program]
    command += [f"--{name}={value}" for name, value in settings.items()]
    start_sec = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}\nended with {done.returncode}:\n{done.stderr}")
    return time.perf_counter() - start_sec


if __name__ == "__main__":
    run_program(main)
