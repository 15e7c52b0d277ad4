"""Tests which clips and frames a batch holds."""

import dataclasses

import numpy as np
import pytest
from small_data import make_config, write_cache

from lrcn.common.clips.clip import Clip
from lrcn.common.pixels.sampling import (
    draw_span,
    drop_frames,
    sample_segment_centres,
    sample_segment_jitter,
    sample_tail,
)
from train_head.batches.clip_reader import ClipReader
from train_head.batches.frame_choice import sample_frames
from train_head.batches.input_pipeline import make_eval_dataset, make_train_dataset

NUM_CLIPS = 11  # no batch size of the tests divides it
LENGTHS = [9, 3, 12, 5, 5, 1, 20, 7, 4, 16, 2]
# The class id of a clip is its number, so that a batch says which clips it holds.
CLASS_IDS = np.arange(NUM_CLIPS, dtype=np.int32)
SEQUENCES = ["fixed", "ragged"]
HALF_BYTES = sum(LENGTHS) * 2  # of two float16 a frame


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Frame t of clip i is [[i, t]]."""
    features = {}
    for i, length in enumerate(LENGTHS):
        maps = np.stack([np.full(length, i), np.arange(length)], axis=1)[:, None]
        features[Clip(f"clip_{i}", f"clip_{i}", f"class_{i}", "train")] = maps
    return write_cache(tmp_path_factory.mktemp("pipeline") / "cache", features)


@pytest.fixture(params=[0, 10**9], ids=["from_disk", "in_memory"])
def reader(cache, request):
    return make_reader(cache, memory_bytes=request.param)


def make_reader(cache, *, memory_bytes=10**9):
    return ClipReader(cache, [f"clip_{i}" for i in range(NUM_CLIPS)], memory_bytes=memory_bytes)


def read_epochs(reader, config, *, first=0, count=1):
    """Returns for each epoch its batches of (inputs, class ids), as numpy."""
    dataset, steps = make_train_dataset(reader, CLASS_IDS, config, epoch=first)
    batches = list(dataset.take(steps * count).as_numpy_iterator())
    return [batches[i * steps : (i + 1) * steps] for i in range(count)]


def find_order(batches):
    return np.concatenate([class_ids for _, class_ids in batches]).tolist()


def flatten_arrays(batches):
    arrays = []
    for inputs, class_ids in batches:
        arrays += [*inputs.values()] if isinstance(inputs, dict) else [inputs]
        arrays.append(class_ids)
    return arrays


def assert_equal_batches(found, wanted):
    found, wanted = flatten_arrays(found), flatten_arrays(wanted)
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("sequence", SEQUENCES)
@pytest.mark.parametrize("batch_size", [1, 3, 4, 100])
def test_every_epoch_has_each_clip_once(reader, sequence, batch_size):
    config = make_config(sequence=sequence, batch_size=batch_size)
    for batches in read_epochs(reader, config, count=2):
        assert len(batches) == -(-NUM_CLIPS // batch_size)
        assert sorted(find_order(batches)) == list(range(NUM_CLIPS))


@pytest.mark.parametrize("sequence", SEQUENCES)
@pytest.mark.parametrize("batch_size", [1, 3, 4, 100])
def test_evaluation_has_each_clip_once_in_order(reader, sequence, batch_size):
    config = make_config(sequence=sequence, batch_size=batch_size)
    dataset = make_eval_dataset(reader, CLASS_IDS, config)
    batches = list(dataset.as_numpy_iterator())
    assert find_order(batches) == list(range(NUM_CLIPS))
    assert dataset.cardinality().numpy() == len(batches)
    assert len(batches) == -(-NUM_CLIPS // batch_size) or sequence == "ragged"
    assert max(len(class_ids) for _, class_ids in batches) <= batch_size


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_order_follows_from_seed_and_epoch(cache, sequence):
    reader = make_reader(cache)
    config = make_config(sequence=sequence, batch_size=3, seed=0)
    epochs = read_epochs(reader, config, count=3)
    orders = [find_order(batches) for batches in epochs]
    assert len({*map(tuple, orders)}) == 3, "each epoch has an order of its own"
    assert list(range(NUM_CLIPS)) not in orders
    assert_equal_batches(read_epochs(reader, config)[0], epochs[0])
    other_seed = read_epochs(reader, make_config(sequence=sequence, batch_size=3, seed=1))
    assert find_order(other_seed[0]) != orders[0]


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_start_at_a_later_epoch_sees_what_an_unbroken_run_sees(cache, sequence):
    reader = make_reader(cache)
    config = make_config(sequence=sequence, batch_size=3)
    epochs = read_epochs(reader, config, count=4)
    later = read_epochs(reader, config, first=2, count=2)
    assert_equal_batches(later[0], epochs[2])
    assert_equal_batches(later[1], epochs[3])


def test_jitter_depends_on_the_epoch_but_not_on_the_batch_size(cache):
    reader = make_reader(cache)

    def read_by_clip(batch_size, first):
        batches = read_epochs(reader, make_config(batch_size=batch_size), first=first)[0]
        return {k: maps for inputs, ids in batches for k, maps in zip(ids, inputs, strict=True)}

    small, large = read_by_clip(2, 0), read_by_clip(5, 0)
    later = read_by_clip(2, 1)
    assert all(np.array_equal(small[k], large[k]) for k in small)
    assert any(not np.array_equal(small[k], later[k]) for k in small)


def test_fixed_training_takes_a_frame_of_each_segment(cache):
    config = make_config(batch_size=3, seq_len=4)
    for inputs, class_ids in read_epochs(make_reader(cache), config)[0]:
        assert inputs.dtype == np.float16
        assert inputs.shape == (len(class_ids), 4, 1, 2)
        for clip_number, maps in zip(class_ids, inputs, strict=True):
            assert (maps[:, 0, 0] == clip_number).all()
            segment_len = LENGTHS[clip_number] / 4
            starts = np.floor(np.arange(4) * segment_len)
            ends = np.ceil(np.arange(1, 5) * segment_len)
            assert (starts <= maps[:, 0, 1]).all()
            assert (maps[:, 0, 1] < ends).all()


@pytest.mark.parametrize(
    ("sampling", "sampler"), [("segments", sample_segment_centres), ("tail", sample_tail)]
)
def test_fixed_evaluation_takes_the_frames_of_the_sampler(reader, sampling, sampler):
    config = make_config(batch_size=4, seq_len=4, sampling=sampling)
    for inputs, class_ids in make_eval_dataset(reader, CLASS_IDS, config).as_numpy_iterator():
        for clip_number, maps in zip(class_ids, inputs, strict=True):
            assert maps[:, 0, 1].tolist() == sampler(LENGTHS[clip_number], 4).tolist()


def test_without_jitter_training_takes_what_evaluation_takes():
    rng = np.random.default_rng(0)
    for settings in ({"jitter": False}, {"sampling": "tail"}, {"sequence": "ragged"}):
        config = make_config(**settings)
        np.testing.assert_array_equal(
            sample_frames(13, config, rng=rng), sample_frames(13, config, rng=None)
        )
    jittered = [sample_frames(100, make_config(), rng=rng).tolist() for _ in range(3)]
    assert sample_frames(100, make_config(), rng=None).tolist() not in jittered


@pytest.mark.parametrize("settings", [{}, {"jitter": False}, {"sequence": "ragged"}], ids=str)
def test_training_samples_from_what_is_left_of_a_span(settings):
    config = make_config(min_span=0.2, drop_frames=0.5, seq_len=8, **settings)
    for seed in range(5):
        found = sample_frames(100, config, rng=np.random.default_rng(seed))
        rng = np.random.default_rng(seed)
        expected = drop_frames(draw_span(100, min_part=0.2, rng=rng), probability=0.5, rng=rng)
        if settings == {}:
            expected = expected[sample_segment_jitter(len(expected), 8, rng=rng)]
        elif settings == {"jitter": False}:
            expected = expected[sample_segment_centres(len(expected), 8)]
        assert found.tolist() == expected.tolist()


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_frame_order_turns_the_frames_around(sequence):
    settings = {"sequence": sequence, "frame_order": "reversed"}
    forward = sample_frames(13, make_config(sequence=sequence), rng=None)
    forward = np.arange(13) if forward is None else forward
    reverse = sample_frames(13, make_config(**settings), rng=None)
    assert reverse.tolist() == forward.tolist()[::-1]
    jittered = sample_frames(13, make_config(**settings), rng=np.random.default_rng(0))
    assert jittered.tolist() == sorted(jittered, reverse=True)


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_shuffled_frames_are_the_same_frames_in_random_order(sequence):
    config = make_config(sequence=sequence, frame_order="shuffled", seq_len=13)
    rng = np.random.default_rng(0)
    in_training = [sample_frames(130, config, rng=rng).tolist() for _ in range(3)]
    assert len({*map(tuple, in_training)}) == 3, "another order every time"
    if sequence == "fixed":
        for frames in in_training:
            segments = sorted(frame // 10 for frame in frames)
            assert segments == list(range(13)), "still one of each segment"
    orders = [
        sample_frames(130, dataclasses.replace(config, seed=seed), rng=None).tolist()
        for seed in (0, 0, 1)
    ]
    assert orders[0] == orders[1] != orders[2], "at test the order follows from the seed"
    forward = sample_frames(130, dataclasses.replace(config, frame_order="forward"), rng=None)
    forward = np.arange(130) if forward is None else forward
    assert orders[0] != forward.tolist()
    assert sorted(orders[0]) == sorted(orders[2]) == forward.tolist()


def test_ragged_batches_hold_clips_of_like_lengths(cache):
    # All clips are in one window here, so the lengths of two batches do not overlap.
    epochs = read_epochs(make_reader(cache), make_config(sequence="ragged", batch_size=3), count=6)
    for batches in epochs:
        lengths = sorted(sorted(LENGTHS[i] for i in class_ids) for _, class_ids in batches)
        assert [length for batch in lengths for length in batch] == sorted(LENGTHS)
    firsts = {max(LENGTHS[i] for i in batches[0][1]) for batches in epochs}
    assert len(firsts) > 1, "short clips must not always come first"


@pytest.mark.parametrize("training", [True, False])
def test_ragged_batches_are_whole_clips_padded_behind_a_mask(reader, training):
    config = make_config(sequence="ragged", batch_size=3)
    if training:
        batches = read_epochs(reader, config)[0]
    else:
        batches = make_eval_dataset(reader, CLASS_IDS, config).as_numpy_iterator()
    for inputs, class_ids in batches:
        maps, mask = inputs["feature_maps"], inputs["frame_mask"]
        lengths = [LENGTHS[i] for i in class_ids]
        assert maps.dtype == np.float16
        assert mask.dtype == np.bool_
        assert maps.shape == (len(class_ids), max(lengths), 1, 2)
        assert mask.shape == (len(class_ids), max(lengths))
        for row, clip_number in enumerate(class_ids):
            length = LENGTHS[clip_number]
            assert mask[row].tolist() == [t < length for t in range(max(lengths))]
            assert (maps[row, :length, 0, 0] == clip_number).all()
            assert maps[row, :length, 0, 1].tolist() == list(range(length))
            assert (maps[row, length:] == 0).all()


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_memory_and_disk_give_equal_batches(cache, sequence):
    config = make_config(sequence=sequence, batch_size=3)
    # The second epoch of the one in memory is read from there.
    from_disk, half_kept, in_memory = (
        read_epochs(make_reader(cache, memory_bytes=n), config, count=2)
        for n in (0, HALF_BYTES, 10**9)
    )
    for a, b, c in zip(in_memory, from_disk, half_kept, strict=True):
        assert_equal_batches(a, b)
        assert_equal_batches(a, c)
