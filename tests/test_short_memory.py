"""Where memory is short, no clip is said to be damaged; one that asks for too much is."""

import os
import subprocess
import sys

import h5py
import pytest
from commands import ROOT, make_command
from media import decode, make_numbered_frames, write_frame_folder, write_gif, write_video

from lrcn.common.pixels.decode import UnreadableClipError

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


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """A folder of small clips, and one of the same clips in large."""
    folders = []
    for name, size in (("small", 64), ("large", 1280)):
        folder = tmp_path_factory.mktemp(name)
        pictures = make_numbered_frames(2, height=size, width=size)
        write_frame_folder(folder / "clip", pictures)
        write_video(folder / "clip.avi", pictures, codec="mpeg4")
        write_video(folder / "clip.mp4", pictures)
        write_gif(folder / "clip.gif", 2, duration=40, height=size, width=size)
        folders.append(folder)
    return folders


@pytest.mark.parametrize("left_bytes", [200_000, 1_000_000, 2_000_000])
@pytest.mark.parametrize("name", ["clip", "clip.avi", "clip.gif", "clip.mp4"])
def test_clips_do_not_fail_where_memory_is_short(clips, name, left_bytes):
    small, large = clips
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


def run_with_memory(limit_bytes, module, *flags):
    command = make_command(module, *flags)
    done = subprocess.run(
        ["bash", "-c", f'ulimit -v {limit_bytes // 1024}; exec "$@"', "bash", *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1, done.stderr
    return done.stderr


def test_what_to_lower_is_a_flag_of_the_program(cache_dir, tmp_path):
    error = run_with_memory(
        2**34,
        "train_head",
        f"--cache_dir={cache_dir}",
        f"--run_dir={tmp_path / 'run'}",
        "--rnn=none",
        "--output=mean",
        "--fc_units=100000000",
    )
    assert "error: out of memory (" in error
    assert "). Lower --fc_units, or use a machine with more of it.\n" in error


def test_without_such_a_flag_none_is_named(tmp_path):
    manifest, features = tmp_path / "clips.csv", tmp_path / "features.h5"
    manifest.write_text("clip_id,path,label,split\na,a,x,train\nb,b,y,test\n")
    with h5py.File(features, "w") as file:
        for clip_id in ("a", "b"):  # as little is written, they take no disk
            file.create_dataset(clip_id, (1, 2**28), "float32", chunks=(1, 2**22))[0, 0] = 1
    error = run_with_memory(
        2**30,
        "extract_features.import_features",
        f"--data={manifest}",
        f"--features={features}",
        f"--cache_dir={tmp_path / 'cache'}",
    )
    assert "error: out of memory (Unable to allocate 1.00 GiB" in error
    assert error.endswith("). Close other programs, or use a machine with more of it.\n")
