"""Clips of unlike lengths in one array."""

from pathlib import Path

import numpy as np

from train_head.batches.padding import allocate_padded, pad_clips


def test_clips_are_padded_with_zeros_behind_a_mask():
    clips = [np.full((2, 1), 7, np.float16), np.full((3, 1), 8, np.float16)]
    maps, mask = pad_clips(clips)
    assert maps[..., 0].tolist() == [[7, 7, 0], [8, 8, 8]]
    assert mask.tolist() == [[True, True, False], [True, True, True]]
    assert maps.dtype == np.float16


def test_padded_clips_lie_where_tensorflow_needs_no_copy():
    kept = [allocate_padded([i + 1, 2], (3,))[0] for i in range(20)]
    assert {maps.ctypes.data % 64 for maps in kept} == {0}


def test_padding_takes_no_memory():
    pages_before = int(Path("/proc/self/statm").read_text().split()[1])
    maps, _ = allocate_padded([100_000, 1, 1], (1024,))
    maps[1:, 0] = 1
    num_pages = int(Path("/proc/self/statm").read_text().split()[1]) - pages_before
    assert maps.nbytes > 600e6 and num_pages < 5000, "of 4 KiB"
    assert (maps[1:, 1::1000] == 0).all()
