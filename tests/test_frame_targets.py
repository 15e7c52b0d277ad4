"""A label for every frame, down to the batch: what counts in loss, weights and accuracy."""

import numpy as np
import pytest
from frame_data import make_walks
from small_data import make_config
from small_heads import make_head, make_maps, make_ragged_inputs

from train_head.batches.clip_reader import ClipReader
from train_head.batches.frame_choice import ChosenFrames
from train_head.batches.frame_targets import FrameTargets, balance_classes, count_labelled
from train_head.batches.input_pipeline import make_eval_dataset, make_train_dataset
from train_head.head.layers import keras, tf
from train_head.head.rnns import RNNS
from train_head.scores.frame_prediction import answer_all_frames
from train_head.training.counted_accuracy import CountedAccuracy


def make_frame_head(**settings):
    head = make_head(labels="frame", **settings)
    head.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return head


def find_gradients(head, inputs, class_ids, weights):
    with tf.GradientTape() as tape:
        logits = head(inputs, training=False)
        loss = head.compute_loss(y=class_ids, y_pred=logits, sample_weight=weights)
    gradients = tape.gradient(loss, head.trainable_variables)
    return [loss, *(tf.convert_to_tensor(gradient) for gradient in gradients)]


@pytest.mark.parametrize("sequence", ["fixed", "ragged"])
@pytest.mark.parametrize("rnn", RNNS)
@pytest.mark.parametrize("rnn_layers", [1, 2])
def test_every_frame_has_logits_that_padding_does_not_change(sequence, rnn, rnn_layers):
    head = make_head(labels="frame", sequence=sequence, rnn=rnn, rnn_layers=rnn_layers)
    maps = make_maps(2, 4)
    inputs = make_ragged_inputs(list(maps), num_frames=4) if sequence == "ragged" else maps
    logits = head(inputs, training=False).numpy()
    assert logits.shape == (2, 4, 3)
    assert np.ptp(logits, axis=1).min() > 1e-3, "each frame its own answer"
    if sequence == "ragged":
        padded = head(make_ragged_inputs(list(maps), num_frames=7), training=False).numpy()
        np.testing.assert_allclose(padded[:, :4], logits, atol=1e-5)


@pytest.mark.parametrize("rnn", RNNS)
def test_padding_and_frames_without_label_change_neither_loss_nor_gradient(rnn):
    head = make_frame_head(sequence="ragged", rnn=rnn)
    clips = [make_maps(1, length, seed=length)[0] for length in (3, 5)]
    class_ids = [np.array([0, -1, 2]), np.array([1, 1, -1, 0, -1])]
    targets = FrameTargets(class_ids, count_epoch=lambda _: (2, 5))
    chosen = [ChosenFrames(0, None), ChosenFrames(1, None)]
    wanted, weights = targets.make_batch(0, chosen)
    inputs = make_ragged_inputs(clips, num_frames=5)
    loss, *gradients = found = find_gradients(head, inputs, wanted, weights)
    # The mean over the five labelled frames, one by one.
    logits = head(inputs, training=False).numpy()
    rows = [(0, 0, 0), (0, 2, 2), (1, 0, 1), (1, 1, 1), (1, 3, 0)]
    expected = -np.mean([tf.nn.log_softmax(logits[i, t])[k] for i, t, k in rows])
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    assert max(np.abs(gradient).max() for gradient in gradients) > 1e-3
    # More padding; another class where there is no label; the clips the other way around.
    longer = np.zeros((2, 9), np.int32), np.zeros((2, 9), np.float32)
    for array, values in zip(longer, (wanted, weights * 9 / 5), strict=True):
        array[:, :5] = values
    others = [
        find_gradients(head, make_ragged_inputs(clips, num_frames=9), *longer),
        find_gradients(head, inputs, np.where(weights > 0, wanted, 1), weights),
        find_gradients(
            head,
            make_ragged_inputs(clips[::-1], num_frames=5),
            *targets.make_batch(0, chosen[::-1]),
        ),
    ]
    for other in others:
        for a, b in zip(found, other, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-6)


def test_accuracy_counts_each_labelled_frame_once():
    accuracy = CountedAccuracy(name="top1")
    logits = np.eye(3)[[[0, 1, 2], [0, 0, 0]]]
    accuracy.update_state(
        np.array([[0, 1, 1], [0, 0, 0]]), logits, np.array([[9, 9, 9], [1, 0, 0]])
    )
    accuracy.update_state(np.array([[1]]), np.eye(3)[[[0]]], np.array([[5]]))
    assert float(accuracy.result()) == pytest.approx(3 / 5)


def test_accuracy_counts_each_clip_once():
    accuracy = CountedAccuracy(name="top1")
    accuracy.update_state(np.array([0, 1, 0]), np.eye(2)[[0, 0, 1]], np.array([0.2, 5, 0]))
    assert float(accuracy.result()) == pytest.approx(1 / 2)
    accuracy.update_state(np.array([1, 1]), np.eye(2)[[1, 1]])
    assert float(accuracy.result()) == pytest.approx(3 / 4)


def test_targets_of_a_batch():
    class_ids = [np.array([0, -1, 2, 2], np.int32), np.array([1, 1], np.int32)]
    targets = FrameTargets(class_ids, count_epoch={7: (4, 8)}.get)
    chosen = [ChosenFrames(0, np.array([3, 1, 0])), ChosenFrames(1, None)]
    wanted, weights = targets.make_batch(7, chosen)
    np.testing.assert_array_equal(wanted, [[2, 0, 0], [1, 1, 0]])
    # T * N / n = 3 * 4 / 8.
    np.testing.assert_array_equal(weights, [[1.5, 0, 1.5], [1.5, 1.5, 0]])
    assert wanted.dtype == np.int32 and weights.dtype == np.float32
    assert count_labelled(class_ids, [*chosen, chosen[1]]) == (3, 2 + 2 + 2)


@pytest.mark.parametrize(
    "settings",
    [
        {"drop_frames": 0.5},
        {"drop_frames": 0.95},
        {"min_span": 0.2},
        {"jitter": False},
        {"sampling": "tail", "seq_len": 3},
        {},
    ],
)
@pytest.mark.parametrize("sequence", ["fixed", "ragged"])
def test_the_weights_of_an_epoch_add_up_to_its_rows(walks, sequence, settings):
    cache, _ = walks
    made = make_walks(9, split="test")
    reader = ClipReader(cache, [clip.clip_id for clip in made], memory_bytes=10**9)
    class_ids = [np.asarray(x, np.int32) for _, x in made.values()]
    config = make_config(labels="frame", sequence=sequence, batch_size=3, **settings)
    dataset, steps = make_train_dataset(reader, class_ids, config, epoch=0)
    # What Keras' mean over the frames of a batch, times its rows, adds up to.
    batches = dataset.take(steps * 3).as_numpy_iterator()
    totals = np.array([weights.sum() / weights.shape[1] for *_, weights in batches])
    assert totals.reshape(3, steps).sum(axis=1) == pytest.approx(len(reader), rel=1e-5)
    batches = make_eval_dataset(reader, class_ids, config).as_numpy_iterator()
    total = sum(weights.sum() / weights.shape[1] for *_, weights in batches)
    assert total == pytest.approx(len(reader), rel=1e-5)


def test_an_epoch_that_reads_no_labelled_frame_has_no_loss():
    targets = FrameTargets([np.array([0, -1, -1])], count_epoch=lambda _: (1, 0))
    _, weights = targets.make_batch(0, [ChosenFrames(0, np.array([1, 2]))])
    assert weights.tolist() == [[0, 0]]


def test_balanced_weights_are_by_frames():
    class_ids = [np.array([0, -1, 2, 2]), np.array([1, 2, 2, 2, -1])]
    weights = balance_classes(class_ids)
    np.testing.assert_allclose(weights, [7 / 3, 7 / 3, 7 / (3 * 5)])
    targets = FrameTargets(class_ids, count_epoch=lambda _: (2, 7), class_weights=weights)
    _, found = targets.make_batch(0, [ChosenFrames(0, None)])
    np.testing.assert_allclose(found[0], np.array([7 / 3, 0, 7 / 15, 7 / 15]) * 4 * 2 / 7)


@pytest.mark.parametrize("class_weights", ["none", "balanced"])
def test_classes_that_are_balanced_weigh_alike_in_an_epoch(walks, class_weights):
    cache, _ = walks
    made = make_walks(9, split="test")
    reader = ClipReader(cache, [clip.clip_id for clip in made], memory_bytes=10**9)
    class_ids = [np.asarray(x, np.int32) for _, x in made.values()]
    config = make_config(labels="frame", sequence="ragged", class_weights=class_weights)
    dataset, steps = make_train_dataset(reader, class_ids, config, epoch=0)
    totals = np.zeros(3)
    for _, wanted, weights in dataset.take(steps).as_numpy_iterator():
        np.add.at(totals, wanted, weights / weights.shape[1])
    totals = totals[totals > 0]
    assert len(totals) > 1
    assert np.allclose(totals, totals[0], rtol=1e-4) == (class_weights == "balanced")


@pytest.mark.parametrize("sequence", ["fixed", "ragged"])
def test_sampled_frames_carry_their_labels(walks, sequence):
    cache, _ = walks
    made = make_walks(9, split="test")
    clip_ids = [clip.clip_id for clip in made]
    reader = ClipReader(cache, clip_ids, memory_bytes=0)
    class_ids = [np.asarray(x, np.int32) for _, x in made.values()]
    config = make_config(labels="frame", sequence=sequence, frame_order="shuffled", batch_size=4)
    # The label of each frame of each clip, found again by its features.
    known = {
        maps[t].astype(np.float16).tobytes(): x[t]
        for maps, x in made.values()
        for t in range(len(x))
    }
    train_dataset, steps = make_train_dataset(reader, class_ids, config, epoch=0)
    eval_dataset = make_eval_dataset(reader, class_ids, config)
    for batches in (train_dataset.take(steps), eval_dataset):
        counted = 0
        for inputs, wanted, weights in batches.as_numpy_iterator():
            maps = inputs["feature_maps"] if sequence == "ragged" else inputs
            mask = inputs["frame_mask"] if sequence == "ragged" else np.ones(maps.shape[:2], bool)
            assert not weights[~mask].any()
            for row, class_id, weight in zip(maps[mask], wanted[mask], weights[mask], strict=True):
                label = known[row.tobytes()]
                assert (label != -1) == (weight > 0)
                assert weight == 0 or label == class_id
                counted += weight > 0
        assert counted > 9


def test_what_the_head_did_not_read_takes_the_answer_of_the_nearest_frame():
    rows = np.arange(4)[:, None]
    config = make_config(seq_len=4)
    # It reads the frames 1, 3, 5 and 7 of 8.
    assert answer_all_frames(rows, 8, config)[:, 0].tolist() == [0, 0, 0, 1, 1, 2, 2, 3]
    assert answer_all_frames(rows, 2, config)[:, 0].tolist() == [0, 2]
    assert answer_all_frames(rows, 3, make_config(sequence="ragged"))[:, 0].tolist() == [0, 1, 2]
    backwards = make_config(sequence="ragged", frame_order="reversed")
    assert answer_all_frames(rows, 3, backwards)[:, 0].tolist() == [2, 1, 0]
