"""Tests which clips make the batches of an epoch, and how classes are brought level."""

import numpy as np
import pytest
from small_data import make_config, write_cache

from lrcn.common.clips.clip import Clip
from train_head.batches.batch_plan import count_batches, plan_epoch, plan_evaluation
from train_head.batches.clip_reader import ClipReader
from train_head.batches.input_pipeline import make_eval_dataset, make_train_dataset

# Three classes of 20, 8 and 2 clips.
CLASS_IDS = np.repeat([0, 1, 2], [20, 8, 2]).astype(np.int32)
NUM_CLIPS = len(CLASS_IDS)
NUM_FRAMES = np.arange(NUM_CLIPS) % 7 + 3


def draw_epoch(epoch, **settings):
    config = make_config(**{"balanced_sampling": True, **settings})
    batches = plan_epoch(NUM_FRAMES, CLASS_IDS, config, epoch=epoch)
    assert len(batches) == count_batches(NUM_CLIPS, config)
    return np.concatenate(batches)


@pytest.mark.parametrize("sequence", ["fixed", "ragged"])
def test_balanced_sampling_draws_classes_and_their_clips_equally_often(sequence):
    for epoch in range(5):
        draws = draw_epoch(epoch, sequence=sequence)
        clips = draws % NUM_CLIPS
        assert np.bincount(CLASS_IDS[clips]).tolist() == [10, 10, 10]
        assert np.bincount(clips)[-2:].tolist() == [5, 5]
        assert len(set(clips[CLASS_IDS[clips] == 0])) == 10, "no clip twice where there are more"
        assert len(set(draws)) == NUM_CLIPS, "each turn of a clip is told apart"
        assert np.count_nonzero(np.diff(CLASS_IDS[clips])) > 10, "classes share batches"


def test_classes_that_share_unequally_take_turns():
    extras = set()
    for epoch in range(20):
        batches = plan_epoch(
            NUM_FRAMES[:-1], CLASS_IDS[:-1], make_config(balanced_sampling=True), epoch=epoch
        )
        counts = np.bincount(CLASS_IDS[np.concatenate(batches) % (NUM_CLIPS - 1)])
        assert sorted(counts) == [9, 10, 10]
        extras.add(int(counts.argmin()))
    assert extras == {0, 1, 2}


def test_balanced_sampling_follows_from_seed_and_epoch():
    first = draw_epoch(0).tolist()
    assert draw_epoch(0).tolist() == first
    assert draw_epoch(0, batch_size=7).tolist() == first
    assert draw_epoch(1).tolist() != first
    assert draw_epoch(0, seed=1).tolist() != first
    seen = {clip for epoch in range(10) for clip in draw_epoch(epoch) % NUM_CLIPS}
    assert len(seen) == NUM_CLIPS, "clips of a frequent class come in another epoch"


def test_clips_of_like_lengths_share_batches_with_others_in_each_epoch():
    config = make_config(sequence="ragged", batch_size=2)
    first, second = (
        {frozenset(batch.tolist()) for batch in plan_epoch(np.arange(64), [], config, epoch=epoch)}
        for epoch in range(2)
    )
    assert len(first) == len(second) == 32 and len(first & second) < 16
    assert np.mean([max(batch) - min(batch) for batch in first]) < 8


def test_clips_of_one_length_stay_in_the_order_that_was_drawn():
    # A sort that is not stable, of which NumPy has several, makes other batches on another CPU.
    num_frames = np.arange(64) % 3
    fixed, ragged = (
        plan_epoch(num_frames, [], make_config(sequence=sequence, batch_size=16), epoch=0)
        for sequence in ("fixed", "ragged")
    )
    in_order = sorted(np.concatenate(fixed).tolist(), key=lambda clip: num_frames[clip])
    expected = [in_order[i : i + 16] for i in range(0, 64, 16)]
    assert sorted(batch.tolist() for batch in ragged) == sorted(expected)


def test_both_ways_of_balance_are_refused():
    with pytest.raises(ValueError, match=r"--class_weights=balanced and --balanced_sampling\. L"):
        make_config(class_weights="balanced", balanced_sampling=True)


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """Frame t of clip i is [i, t]; clips have 40 frames."""
    features = {}
    for i, class_id in enumerate(CLASS_IDS):
        maps = np.stack([np.full(40, i), np.arange(40)], axis=1)
        features[Clip(f"clip_{i}", f"clip_{i}", f"class_{class_id}", "train")] = maps
    cache = write_cache(tmp_path_factory.mktemp("plan") / "cache", features)
    return ClipReader(cache, [clip.clip_id for clip in features], memory_bytes=10**9)


def read_epoch(reader, **settings):
    """Returns the epoch's clips [N, T, 2], class ids [N], and weights [N] where there are."""
    num_devices = settings.pop("num_devices", 1)
    config = make_config(batch_size=4, **settings)
    dataset, steps = make_train_dataset(reader, CLASS_IDS, config, epoch=0, num_devices=num_devices)
    batches = dataset.take(steps).as_numpy_iterator()
    return [np.concatenate(column) for column in zip(*batches, strict=True)]


def test_turns_of_a_clip_see_other_frames(reader):
    maps, class_ids = read_epoch(reader, balanced_sampling=True)
    assert (CLASS_IDS[maps[:, 0, 0].astype(int)] == class_ids).all()
    turns = [clip[:, 1].tolist() for clip in maps if clip[0, 0] == NUM_CLIPS - 1]
    assert len(turns) == 5
    assert len({*map(tuple, turns)}) == 5


def test_balanced_class_weights_are_inverse_to_the_clips_of_a_class(reader):
    assert len(read_epoch(reader)) == 2, "no weights unless asked for"
    _, class_ids, weights = read_epoch(reader, class_weights="balanced")
    expected = NUM_CLIPS / (3 * np.array([20, 8, 2]))
    np.testing.assert_allclose(weights, expected[class_ids], rtol=1e-6)
    assert weights.mean() == pytest.approx(1), "the loss keeps its size"


def test_batches_for_devices_are_filled_up(reader):
    config = make_config(batch_size=4)
    dataset, steps = make_train_dataset(reader, CLASS_IDS, config, epoch=0, num_devices=4)
    *batches, (maps, class_ids, weights) = dataset.take(steps).as_numpy_iterator()
    for batch in batches:
        np.testing.assert_array_equal(batch[2], np.ones(4))
    assert len(batches) == 7, "of 30 clips"
    # The mean over four rows is that over the two that count.
    np.testing.assert_array_equal(weights, [2, 2, 0, 0])
    for values in (maps, class_ids):
        np.testing.assert_array_equal(values[:2], values[2:])
    *_, last = make_eval_dataset(reader, CLASS_IDS, config, num_devices=4).as_numpy_iterator()
    np.testing.assert_allclose(last[2], np.array([1, 1, 0, 0]) * 32 / 30)


@pytest.mark.parametrize(
    ("lengths", "sizes"),
    [
        ([20] * 10, [4, 4, 2]),
        ([20, 20, 20, 3000, 20, 20, 20], [3, 2, 2]),  # the long one with one beside it
        ([3000, 1, 1, 3000, 3000], [2, 3]),
        ([5, 10, 15, 20], [4]),
        ([30, 10, 5], [3]),  # as much padding as frames
        ([31, 10, 5], [2, 1]),
    ],
)
def test_a_batch_of_evaluation_is_never_more_padding_than_frames(lengths, sizes):
    # A clip of 3,000 frames of block5_pool among 15 of 20 took 16 GB.
    config = make_config(sequence="ragged", batch_size=4)
    batches = plan_evaluation(np.array(lengths), config)
    assert np.concatenate(batches).tolist() == list(range(len(lengths)))
    assert [len(rows) for rows in batches] == sizes


@pytest.mark.parametrize("sequence", ["fixed", "ragged"])
@pytest.mark.parametrize("augmentation", [{"min_span": 0.25}, {"drop_frames": 0.5}])
def test_augmentation_is_of_training_alone(reader, sequence, augmentation):
    settings = {"sequence": sequence, "seq_len": 40, "jitter": False, "batch_size": 1}
    config = make_config(**settings, **augmentation)
    train, steps = make_train_dataset(reader, CLASS_IDS, config, epoch=0)
    for dataset, augments in ((train.take(steps), True), (train.take(steps), True), (None, False)):
        if dataset is None:
            dataset = make_eval_dataset(reader, CLASS_IDS, config)
        seen = []
        for inputs, _ in dataset.as_numpy_iterator():
            maps = inputs["feature_maps"] if sequence == "ragged" else inputs
            frames = np.unique(maps[0, :, 1])
            seen.append(len(frames))
            if augments and "min_span" in augmentation:
                assert len(frames) >= 10
                assert (np.diff(frames) == 1).all()
            elif augments:
                assert 5 < len(frames) < 35
        assert (min(seen) < 30) == augments
        assert augments or set(seen) == {40}
