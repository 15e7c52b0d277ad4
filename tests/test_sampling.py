"""Which frames make a sequence: tables, and bounds over many clip and sequence lengths."""

import numpy as np
import pytest

from lrcn.common.pixels.sampling import (
    draw_span,
    drop_frames,
    find_nearest,
    place_windows,
    sample_segment_centres,
    sample_segment_jitter,
    sample_tail,
)

ALL_SAMPLERS = {
    "centres": sample_segment_centres,
    "jitter": lambda n, t: sample_segment_jitter(n, t, rng=np.random.default_rng(0)),
    "tail": sample_tail,
}


@pytest.mark.parametrize(
    ("num_frames", "seq_len", "expected"),
    [
        (10, 1, [5]),
        (10, 2, [2, 7]),
        (10, 5, [1, 3, 5, 7, 9]),
        (9, 3, [1, 4, 7]),
        (7, 3, [1, 3, 5]),
        (4, 4, [0, 1, 2, 3]),
        (5, 4, [0, 1, 3, 4]),
        # Shorter than the sequence: frames are repeated, in order and evenly.
        (3, 6, [0, 0, 1, 1, 2, 2]),
        (2, 5, [0, 0, 1, 1, 1]),
        (1, 4, [0, 0, 0, 0]),
        (1_000_000_007, 2, [250_000_001, 750_000_005]),
    ],
)
def test_segment_centres_are_the_middles_of_equal_parts(num_frames, seq_len, expected):
    assert sample_segment_centres(num_frames, seq_len).tolist() == expected


@pytest.mark.parametrize(
    ("num_frames", "seq_len", "expected"),
    [
        (10, 1, [9]),
        (10, 5, [1, 3, 5, 7, 9]),
        (7, 3, [2, 4, 6]),  # n / T = 2.33 is rounded down: the first frames are left out
        (8, 3, [1, 4, 7]),  # 2.67 is rounded up
        (8, 5, [0, 1, 3, 5, 7]),  # 1.6 is rounded up, and would begin at -1
        (6, 4, [0, 1, 3, 5]),  # 1.5 is rounded to 2
        (10, 4, [3, 5, 7, 9]),  # 2.5 is rounded to 2, as Python rounds
        (4, 4, [0, 1, 2, 3]),
        # Shorter than the sequence: the step is 1, and the first frame is repeated.
        (3, 5, [0, 0, 0, 1, 2]),
        (2, 5, [0, 0, 0, 0, 1]),
        (1, 3, [0, 0, 0]),
    ],
)
def test_tail_goes_back_from_the_last_frame(num_frames, seq_len, expected):
    assert sample_tail(num_frames, seq_len).tolist() == expected


@pytest.mark.parametrize("sampler", ALL_SAMPLERS.values(), ids=ALL_SAMPLERS)
def test_any_lengths_give_frames_of_the_clip_in_order(sampler):
    for num_frames in range(1, 40):
        for seq_len in range(1, 20):
            frames = sampler(num_frames, seq_len)
            assert frames.dtype == np.int64 and frames.shape == (seq_len,)
            assert frames.min() >= 0 and frames.max() < num_frames
            assert (np.diff(frames) >= 0).all()


@pytest.mark.parametrize(("num_frames", "seq_len"), [(40, 8), (11, 4), (8, 8), (3, 7)])
def test_jitter_stays_in_its_segment_and_reaches_all_of_it(num_frames, seq_len):
    rng = np.random.default_rng(0)
    drawn = np.stack([sample_segment_jitter(num_frames, seq_len, rng=rng) for _ in range(1000)])
    edges = np.arange(seq_len + 1) * num_frames / seq_len
    for i in range(seq_len):
        touched = range(int(edges[i]), int(np.ceil(edges[i + 1])))
        assert set(drawn[:, i]) == set(touched)


class AlmostOneGenerator:
    """Draws the largest float64 below 1, which numpy may but hardly ever does."""

    def random(self, size):
        return np.full(size, np.nextafter(1.0, 0.0))


def test_jitter_never_rounds_up_to_behind_the_last_frame():
    for num_frames in range(1, 200):
        frames = sample_segment_jitter(num_frames, 7, rng=AlmostOneGenerator())
        assert frames[-1] == num_frames - 1


def test_jitter_follows_its_generator():
    first, again, other = (
        sample_segment_jitter(1000, 16, rng=np.random.default_rng(seed)) for seed in (0, 0, 1)
    )
    assert first.tolist() == again.tolist() != other.tolist()


@pytest.mark.parametrize("sampler", ALL_SAMPLERS.values(), ids=ALL_SAMPLERS)
@pytest.mark.parametrize(("num_frames", "seq_len"), [(0, 4), (4, 0), (-1, 4)])
def test_lengths_below_1_are_refused(sampler, num_frames, seq_len):
    text = f"Received: num_frames={num_frames}, seq_len={seq_len}"
    with pytest.raises(ValueError, match=f"Expected at least one frame.*{text}"):
        sampler(num_frames, seq_len)


@pytest.mark.parametrize(
    ("num_frames", "num_windows", "starts", "window_len"),
    [
        (10, 1, [0], 10),
        (10, 2, [0, 5], 5),
        (12, 3, [0, 4, 8], 4),
        # Not divisible: neighbours share frames, and none is left out.
        (10, 3, [0, 3, 6], 4),
        (11, 2, [0, 5], 6),
        (7, 4, [0, 2, 3, 5], 2),
        (100, 8, [0, 12, 25, 37, 50, 62, 75, 87], 13),
        # Fewer frames than windows: each frame is a window, some are repeated.
        (2, 4, [0, 0, 1, 1], 1),
        (1, 3, [0, 0, 0], 1),
    ],
)
def test_windows_are_equally_long_and_evenly_spaced(num_frames, num_windows, starts, window_len):
    found, found_len = place_windows(num_frames, num_windows)
    assert (found.tolist(), found_len) == (starts, window_len)


def test_windows_cover_the_clip_evenly():
    for num_frames in range(1, 60):
        for num_windows in range(1, 20):
            starts, window_len = place_windows(num_frames, num_windows)
            assert starts.dtype == np.int64 and len(starts) == num_windows
            covered = {int(x) + i for x in starts for i in range(window_len)}
            assert covered == set(range(num_frames))
            gaps = np.diff(starts)
            assert num_windows == 1 or gaps.max() - gaps.min() <= 1


@pytest.mark.parametrize(("num_frames", "num_windows"), [(0, 1), (5, 0)])
def test_windows_of_nothing_are_refused(num_frames, num_windows):
    text = f"Received: num_frames={num_frames}, num_windows={num_windows}"
    with pytest.raises(ValueError, match=f"at least one window. {text}"):
        place_windows(num_frames, num_windows)


@pytest.mark.parametrize(
    ("num_frames", "min_part", "lengths"),
    [
        (10, 1.0, [10]),
        (10, 0.7, [7, 8, 9, 10]),
        (7, 0.5, [4, 5, 6, 7]),  # a part of 3.5 frames is rounded up
        (3, 0.0, [1, 2, 3]),
        (2, 0.01, [1, 2]),
        (1, 0.6, [1]),
    ],
)
def test_span_is_unbroken_and_has_every_length_and_place(num_frames, min_part, lengths):
    rng = np.random.default_rng(0)
    spans = [draw_span(num_frames, min_part=min_part, rng=rng) for _ in range(500)]
    found = {(len(span), int(span[0])) for span in spans}
    assert found == {(n, start) for n in lengths for start in range(num_frames - n + 1)}
    assert all(span.dtype == np.int64 and (np.diff(span) == 1).all() for span in spans)


@pytest.mark.parametrize(("num_frames", "min_part", "least"), [(25, 0.28, 7), (100, 0.55, 55)])
def test_a_whole_number_of_frames_is_not_rounded_up(num_frames, min_part, least):
    rng = np.random.default_rng(0)  # as floats, 100 * 0.55 is 55.00000000000001
    spans = [draw_span(num_frames, min_part=min_part, rng=rng) for _ in range(500)]
    assert min(map(len, spans)) == least


@pytest.mark.parametrize(
    ("probability", "least", "most", "mean"),
    [(0.0, 40, 40, 40), (0.25, 15, 39, 30), (0.9, 1, 15, 4.05), (1.0, 1, 1, 1)],
)
def test_dropped_frames_leave_the_others_in_order(probability, least, most, mean):
    rng = np.random.default_rng(0)
    frames = np.arange(100, 140)
    left = [drop_frames(frames, probability=probability, rng=rng) for _ in range(500)]
    counts = [len(x) for x in left]
    assert least <= min(counts) and max(counts) <= most
    assert np.mean(counts) == pytest.approx(mean, rel=0.05)
    assert all(np.isin(x, frames).all() and (np.diff(x) > 0).all() for x in left)
    assert set(np.concatenate(left)) == set(frames), "each frame is left at times"


def test_a_span_of_no_frames_is_refused():
    with pytest.raises(ValueError, match=r"Expected at least one frame.*num_frames=0"):
        draw_span(0, min_part=0.5, rng=np.random.default_rng(0))


@pytest.mark.parametrize(
    ("chosen", "num_frames", "expected"),
    [
        ([0, 1, 2], 3, [0, 1, 2]),
        ([2, 1, 0], 3, [2, 1, 0]),  # the head reads backwards
        ([1, 4], 6, [0, 0, 0, 1, 1, 1]),
        ([1, 3], 5, [0, 0, 0, 1, 1]),  # of two as near, the earlier
        ([0, 0, 1, 1], 2, [0, 2]),  # of repeats, the first
        ([5], 8, [0] * 8),
        ([6, 1], 8, [1, 1, 1, 1, 0, 0, 0, 0]),
    ],
)
def test_nearest_chosen_frame(chosen, num_frames, expected):
    assert find_nearest(np.array(chosen), num_frames).tolist() == expected


@pytest.mark.parametrize("num_frames", [1, 7, 100])
def test_nearest_chosen_frame_is_nearest(num_frames):
    chosen = np.random.RandomState(0).randint(num_frames, size=9)
    gaps = np.abs(chosen - np.arange(num_frames)[:, None])
    nearest = find_nearest(chosen, num_frames)
    np.testing.assert_array_equal(gaps[np.arange(num_frames), nearest], gaps.min(axis=1))
