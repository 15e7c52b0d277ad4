"""Where memory is short, no clip is said to be damaged; one that asks for too much is."""

import os
import subprocess
import sys

import numpy as np
import pytest
from commands import ROOT
from media import decode, make_numbered_frames, write_frame_folder, write_video
from PIL import Image

from lrcn.common.decode import UnreadableClipError

# What decodes is loaded by clips that are small; to others little memory is left.
_PROGRAM = """
import resource, sys
from pathlib import Path
from media import decode
*small, clip, left_bytes = sys.argv[1:]
for path in small:
    decode(Path(path))
with open("/proc/self/statm") as file:
    taken_bytes = int(file.read().split()[0]) * resource.getpagesize()
_, most_bytes = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (taken_bytes + int(left_bytes), most_bytes))
try:
    decode(Path(clip))
except Exception as error:
    raised = error
resource.setrlimit(resource.RLIMIT_AS, (most_bytes, most_bytes))
print(isinstance(raised, MemoryError), repr(raised))
print(len(decode(Path(clip))))
"""


@pytest.mark.parametrize("left_bytes", [200_000, 1_000_000, 2_000_000])
@pytest.mark.parametrize("name", ["clip", "clip.avi", "clip.gif", "clip.mp4"])
def test_clips_do_not_fail_where_memory_is_short(tmp_path, name, left_bytes):
    small, large = tmp_path / "small", tmp_path / "large"
    for folder, size in ((small, 64), (large, 1280)):
        pictures = make_numbered_frames(2, height=size, width=size)
        write_frame_folder(folder / "clip", pictures)
        write_video(folder / "clip.avi", pictures, codec="mpeg4")
        write_video(folder / "clip.mp4", pictures)
        first, second = map(Image.fromarray, np.asarray(pictures))
        first.save(folder / "clip.gif", save_all=True, append_images=[second])
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, small / name, large / name, str(left_bytes)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    told, num_frames = done.stdout.splitlines()
    assert told.startswith("True MemoryError("), told
    assert num_frames == "2"


def test_a_video_that_states_more_than_any_memory_is_damaged(tmp_path):
    video = write_video(tmp_path / "clip.mp4", make_numbered_frames(2))
    content = bytearray(video.read_bytes())
    # ISO/IEC 14496-12, section 8.6.1.2: behind version and flags, how many durations there are.
    content[content.index(b"stts") + 8] = 0x7F
    video.write_bytes(content)
    with pytest.raises(UnreadableClipError, match="ended before the first frame: Cannot allocate"):
        decode(video)
