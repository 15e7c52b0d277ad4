"""Kills an extraction at random moments, again and again, and compares the cache with a whole one.

The test suite kills a few times; this does it as often as asked, on the built-in sample, and starts
a cache anew where all clips are there.

    python -m benchmarks.kill_and_resume --kills=20
"""

import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from absl import flags, logging

from lrcn.common.programs.program import run_program

_KILLS = flags.DEFINE_integer("kills", 20, "How often to kill -9.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Decides the moments.")


def main() -> int:
    from extract_features.sample import render_sample

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        manifest = render_sample(folder / "data", clips_per_class=40)
        start_sec = time.perf_counter()
        subprocess.run(_command(manifest, folder / "whole"), check=True, stderr=subprocess.PIPE)
        whole_sec = time.perf_counter() - start_sec
        whole = _read_cache_files(folder / "whole")
        rng = random.Random(_SEED.value)
        killed = folder / "killed"
        kept: dict[str, int] = {}
        redone = wrong = 0
        for number in range(_KILLS.value):
            if len(kept) == len(whole):  # nothing is left to interrupt
                wrong += _count_differences(whole, killed)
                shutil.rmtree(killed)
                kept = {}
            # The start-up is part of the time at risk.
            process = subprocess.Popen(_command(manifest, killed), stderr=subprocess.DEVNULL)
            time.sleep(rng.uniform(0, whole_sec / 2))
            process.send_signal(signal.SIGKILL)
            process.wait()
            written = _find_modification_times(killed)
            redone += _count_changed(kept, written)
            kept = written
            logging.info("kill %d: %d of %d clips are there", number + 1, len(kept), len(whole))
        subprocess.run(_command(manifest, killed), check=True, stderr=subprocess.PIPE)
        redone += _count_changed(kept, _find_modification_times(killed))
        wrong += _count_differences(whole, killed)
        stray = list(killed.rglob("*.tmp"))
    print(
        f"{_KILLS.value} kills of an extraction of {len(whole)} clips: {wrong} not equal bit by "
        f"bit to those of an unbroken one, {redone} done again or lost, {len(stray)} stray files"
    )
    return int(wrong + redone + len(stray) > 0)


def _command(manifest: Path, cache_dir: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "extract_features"),
        *(f"--data={manifest}", f"--cache_dir={cache_dir}"),
        *("--weights=random", "--image_size=64"),
    ]


def _find_modification_times(cache_dir: Path) -> dict[str, int]:
    files = (cache_dir / "clips").rglob("*.h5")
    return {str(path.relative_to(cache_dir)): path.stat().st_mtime_ns for path in files}


def _count_changed(before: dict[str, int], now: dict[str, int]) -> int:
    """Counts clips that were there and were written anew, or are gone."""
    return sum(now.get(x) != mtime for x, mtime in before.items())


def _count_differences(whole: dict[str, list[bytes]], cache_dir: Path) -> int:
    """Counts clips that differ, are missing, or should not be there."""
    found = _read_cache_files(cache_dir)
    return sum(whole.get(x) != found.get(x) for x in whole.keys() | found.keys())


def _read_cache_files(cache_dir: Path) -> dict[str, list[bytes]]:
    """Returns the bytes of every dataset of every clip."""
    import h5py

    content = {}
    for path in sorted((cache_dir / "clips").rglob("*.h5")):
        with h5py.File(path, "r") as file:
            content[str(path.relative_to(cache_dir))] = [file[x][:].tobytes() for x in sorted(file)]
    return content


if __name__ == "__main__":
    run_program(main)
