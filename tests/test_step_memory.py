"""What memory may be, or is, too small for is told of before the first step."""

import numpy as np
import pytest
from commands import SMALL_HEAD, run_program
from small_data import make_config, write_cache

from lrcn.common.clip import Clip
from train_head import step_memory
from train_head.clip_reader import ClipReader


@pytest.mark.parametrize(
    ("settings", "num_frames"),
    [
        ({"sequence": "ragged", "batch_size": 2}, 12),  # of the longest clips
        ({"sequence": "ragged", "batch_size": 9}, 15),
        ({"sequence": "fixed", "batch_size": 2, "seq_len": 100}, 200),
    ],
)
def test_a_step_that_takes_half_of_the_memory(tmp_path, monkeypatch, caplog, settings, num_frames):
    features = {
        Clip(str(length), str(length), "walk", "train"): np.zeros((length, 2, 5))
        for length in (3, 8, 4)
    }
    cache = write_cache(tmp_path / "cache", features)
    reader, config = ClipReader(cache, ["3", "8", "4"], memory_bytes=0), make_config(**settings)
    step_bytes = 7 * 4 * num_frames * 10
    for memory_bytes, is_told in ((2 * step_bytes, False), (2 * step_bytes - 1, True)):
        monkeypatch.setattr(step_memory, "find_memory_bytes", lambda size=memory_bytes: size)
        step_memory.check_batches(reader, config)
        assert (f" {num_frames} frames in one batch" in caplog.text) == is_told


@pytest.mark.parametrize(
    ("flag", "told"),
    [
        ("--seq_len=1000000000000", "16000000000000 frames in one batch take 357628 GiB, of "),
        ("--fc_units=1000000000000", "the 6000000000000 weights of the FC layer, with "),
    ],
)
def test_what_is_larger_than_the_memory_is_refused(ramps, tmp_path, flag, told):
    flags = (f"--cache_dir={ramps.cache_dir}", f"--run_dir={tmp_path / 'run'}", *SMALL_HEAD)
    done = run_program("train_head", *flags, flag, check=False)
    assert done.returncode == 1
    assert f"error: out of memory ({told}" in done.stderr
    assert "Lower one of --batch_size, --seq_len, --fc_units, --rnn_units, or" in done.stderr
