"""A batch that memory may be too small for is told of before the first step."""

import numpy as np
import pytest
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
        step_memory.warn_of_large_batches(reader, config)
        assert (f" {num_frames} frames in one batch" in caplog.text) == is_told
