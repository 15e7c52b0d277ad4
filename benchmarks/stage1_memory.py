"""Peak memory of stage 1 on one very long video and on very many clips, and the time of a resume.

Each case runs `python -m extract_features` as a process of its own on data made for it; the first,
a single short clip, shows what Python, TensorFlow and the loaded backbone take alone.

    python -m benchmarks.stage1_memory --frames=30000 --clips=10000
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from absl import flags

from lrcn.common.programs.program import run_program

_FRAMES = flags.DEFINE_integer("frames", 30_000, "Frames of the long video.", lower_bound=1)
_CLIPS = flags.DEFINE_integer("clips", 10_000, "Clips of the large data set.", lower_bound=10)
_FRAME_SIZE_PX = 64
_IMAGE_SIZE_PX = 32


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cases = {
            "one short clip": _make_data(folder / "short", clips=1, frames=8),
            f"one video of {_FRAMES.value} frames": _make_data(
                folder / "long", clips=1, frames=_FRAMES.value
            ),
            f"{_CLIPS.value} clips": _make_data(folder / "many", clips=_CLIPS.value, frames=4),
        }
        print(f"{'':32} {'peak MiB':>10} {'above first':>12} {'seconds':>8}")
        first_mib = None
        for case, data in cases.items():
            peak_mib, seconds = _extract(data)
            first_mib = peak_mib if first_mib is None else first_mib
            print(f"{case:32} {peak_mib:10.0f} {peak_mib - first_mib:12.0f} {seconds:8.1f}")
        peak_mib, seconds = _extract(data)
        print(f"{'  the same again (resume)':32} {peak_mib:10.0f} {'':12} {seconds:8.1f}")


def _make_data(folder: Path, *, clips: int, frames: int) -> Path:
    """Writes videos of one class, all but the first of 4 frames; the small ones are hard links."""
    (folder / "a").mkdir(parents=True)
    small = folder / "small.mp4"
    _write_video(small, min(frames, 4))
    for number in range(1, clips):
        os.link(small, folder / "a" / f"{number}.mp4")
    _write_video(folder / "a" / "0.mp4", frames)
    return folder


def _write_video(path: Path, num_frames: int) -> None:
    import av
    import numpy as np

    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = _FRAME_SIZE_PX
        stream.pix_fmt = "yuv420p"
        for i in range(num_frames):
            pixels = np.full((_FRAME_SIZE_PX, _FRAME_SIZE_PX, 3), i % 256, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))


def _extract(data: Path) -> tuple[float, float]:
    """Runs stage 1. Returns the process's peak resident memory in MiB and its seconds."""
    command = [sys.executable, "-m", "extract_features", f"--data={data}"]
    command += [f"--cache_dir={data}_cache", "--weights=random", f"--image_size={_IMAGE_SIZE_PX}"]
    command += ["--test_fraction=0", "--val_fraction=0"]
    start_sec = time.perf_counter()
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise RuntimeError(f"{' '.join(command)}\nended with status {status}:\n{errors}")
    return usage.ru_maxrss / 1024, time.perf_counter() - start_sec


if __name__ == "__main__":
    run_program(main)
