"""Tests the head."""

import functools
import itertools

import numpy as np
import pytest
from small_data import make_config
from small_heads import NUM_CLASSES, make_head, make_maps, make_ragged_inputs, run_head

from lrcn.common.cache.run_dir import RunDir
from train_head.head.layers import keras, tf
from train_head.head.model import build_head
from train_head.head.normalization import FeatureStatistics
from train_head.head.rnns import RNNS
from train_head.head.time_poolings import TIME_POOLINGS
from train_head.training.recorder import RunRecorder

RNNS_AND_OUTPUTS = [
    *itertools.product(RNNS, ["last", "mean"]),
    *itertools.product(["gru", "none"], TIME_POOLINGS),
]


@functools.cache
def make_ragged_head(rnn, output):
    """A head that several tests ask, and none changes."""
    return make_head(sequence="ragged", rnn=rnn, output=output)


@pytest.mark.parametrize(("rnn", "output"), RNNS_AND_OUTPUTS)
def test_padding_and_batch_mates_do_not_change_logits(rnn, output):
    head = make_ragged_head(rnn, output)
    clips = [make_maps(1, length, seed=length)[0] for length in (3, 1, 6)]
    together = run_head(head, make_ragged_inputs(clips, num_frames=9))
    for clip, logits in zip(clips, together, strict=True):
        alone = run_head(head, make_ragged_inputs([clip], num_frames=len(clip)))
        np.testing.assert_allclose(logits, alone[0], atol=1e-5)
    assert np.ptp(together, axis=0).min() > 1e-3, "three clips, three answers"


@pytest.mark.parametrize(("rnn", "output"), RNNS_AND_OUTPUTS)
def test_ragged_equals_fixed_at_equal_length(rnn, output):
    ragged = make_ragged_head(rnn, output)
    fixed = make_head(sequence="fixed", rnn=rnn, output=output)
    for a, b in zip(ragged.get_weights(), fixed.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    maps = make_maps(2, 4)
    logits = run_head(fixed, maps)
    assert logits.shape == (2, NUM_CLASSES)
    np.testing.assert_allclose(
        run_head(ragged, make_ragged_inputs(list(maps), num_frames=4)), logits, atol=1e-5
    )


@pytest.mark.parametrize(("rnn", "output"), [("gru", "last"), ("bigru", "mean")])
def test_stacked_rnns_read_sequences_and_mind_the_mask(rnn, output):
    head = make_head(sequence="ragged", rnn=rnn, rnn_layers=3, output=output, rnn_units=5)
    width = 10 if rnn == "bigru" else 5
    for number in (1, 2):
        assert head.get_layer(f"rnn_{number}").output.shape == (None, None, width)
    last_shape = (None, width) if output == "last" else (None, None, width)
    assert head.get_layer("rnn_dropout_3").output.shape == last_shape
    clips = [make_maps(1, length, seed=length)[0] for length in (2, 3)]
    together = run_head(head, make_ragged_inputs(clips, num_frames=4))
    for clip, logits in zip(clips, together, strict=True):
        alone = run_head(head, make_ragged_inputs([clip], num_frames=len(clip)))
        np.testing.assert_allclose(logits, alone[0], atol=1e-5)


@pytest.mark.parametrize("rnn", ["gru", "bigru"])
def test_recurrent_dropout_follows_from_seed_and_epoch(rnn, tmp_path):
    head = make_head(
        rnn=rnn, rnn_layers=2, recurrent_dropout=0.5, dropout=0.0, input_dropout=0.0, rnn_units=20
    )
    head.compile(optimizer="sgd")
    maps = make_maps(3, 2)

    def draw(seed, epoch):
        recorder = RunRecorder(
            RunDir(tmp_path), make_config(patience=1, seed=seed), checkpoint_sec=60
        )
        recorder.set_model(head)
        recorder.on_epoch_begin(epoch)
        return head(maps, training=True).numpy()

    first = draw(0, 3)
    assert np.abs(first - head(maps, training=True)).max() > 1e-3, "each step draws anew"
    np.testing.assert_array_equal(draw(0, 3), first)
    assert np.abs(first - draw(0, 4)).max() > 1e-3
    assert np.abs(first - draw(1, 3)).max() > 1e-3


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_is_that_of_the_fc_layer_alone(policy):
    head, mixed = make_head(), make_head(dtype_policy=policy)
    encoder = mixed.get_layer("per_frame").model
    assert encoder.get_layer("fc").compute_dtype == policy.removeprefix("mixed_")
    assert encoder.get_layer("fc").variable_dtype == "float32"
    float32_layers = [encoder.get_layer("normalization"), *mixed.layers[1:]]
    assert {layer.compute_dtype for layer in float32_layers} == {"float32"}
    maps = make_maps(3, 4)
    logits = mixed(maps, training=False)
    assert logits.dtype == tf.float32
    np.testing.assert_allclose(logits, run_head(head, maps), atol=0.05)
    assert np.abs(logits - run_head(head, maps)).max() > 0


@pytest.mark.parametrize("rnn", ["gru", "lstm", "bigru"])
def test_rnn_minds_the_order_of_frames(rnn):
    head = make_head(rnn=rnn)
    maps = make_maps(1, 5)
    # The last frame stays where it is: it is what comes before that must have been read.
    turned = np.concatenate([maps[:, :4][:, ::-1], maps[:, 4:]], axis=1)
    assert np.abs(run_head(head, maps) - run_head(head, turned)).max() > 1e-3


def test_without_rnn_the_order_of_frames_is_not_seen():
    head = make_head(rnn="none", output="mean")
    maps = make_maps(1, 5)
    np.testing.assert_allclose(run_head(head, maps), run_head(head, maps[:, ::-1]), atol=1e-5)


def test_mean_output_is_the_mean_of_each_frames_softmax():
    head = make_head(rnn="none", output="mean")
    # Frames of equal length, so that the clip is scaled like each of its frames alone.
    maps = np.sign(make_maps(1, 4))
    frames = [run_head(head, maps[:, t : t + 1]) for t in range(4)]
    mean = np.mean([tf.nn.softmax(logits).numpy() for logits in frames], axis=0)
    np.testing.assert_allclose(np.exp(run_head(head, maps)), mean, atol=1e-5)


@pytest.mark.parametrize("rnn", ["gru", "bigru", "none"])
def test_a_single_frame_is_a_clip_without_a_mask_too(rnn):
    assert np.isfinite(run_head(make_head(rnn=rnn), make_maps(1, 1))).all()


def test_dropout_is_of_training_alone_and_of_every_layer_at_its_rate():
    head = make_head(rnn_layers=2, input_dropout=0.25, dropout=0.75)
    layers = list(head._flatten_layers())
    rates = {x.name: x.rate for x in layers if isinstance(x, keras.layers.Dropout)}
    assert next(x for x in layers if x.name == "fc").input_dropout == 0.25
    assert rates == dict.fromkeys(("fc_dropout", "rnn_dropout_1", "rnn_dropout_2"), 0.75)
    maps = make_maps(1, 4)
    np.testing.assert_array_equal(run_head(head, maps), run_head(head, maps))
    encoder = head.get_layer("per_frame")
    drawn = encoder(maps, training=True).numpy()
    assert not np.array_equal(drawn, encoder(maps, training=True))
    assert np.array_equal(encoder(maps), encoder(maps))


def test_the_fc_layer_gives_no_negative_numbers():
    vectors = make_head().get_layer("per_frame")(make_maps(1, 4)).numpy()
    assert vectors.min() == 0 < vectors.max()


def test_a_head_without_an_fc_layer_drops_features_too():
    head = make_head(fc_units=0, rnn="none", output="mean_pool", input_dropout=0.25)
    rates = [x.rate for x in head._flatten_layers() if isinstance(x, keras.layers.Dropout)]
    assert rates == [0.25]


def test_rnn_units_and_initialisers_are_the_articles():
    head = make_head(rnn_units=5)
    rnn = head.get_layer("rnn_1")
    assert rnn.units == 5
    recurrent = rnn.cell.recurrent_kernel.numpy()
    assert recurrent.shape == (5, 15)
    np.testing.assert_allclose(recurrent @ recurrent.T, np.eye(5), atol=1e-5)
    kernel = rnn.cell.kernel.numpy()
    bound = np.sqrt(6 / sum(kernel.shape))
    assert 0.8 * bound < np.abs(kernel).max() <= bound, "glorot uniform"


def test_untrained_logits_say_a_tenth_of_what_glorots_would():
    head = build_head(
        make_config(rnn="none", fc_units=64),
        feature_shape=(6,),
        num_classes=NUM_CLASSES,
        statistics=FeatureStatistics(scale=1.0, mean=np.zeros(6, np.float32), variance=1.0),
    )
    kernel = head.get_layer("logits").kernel.numpy()
    bound = 0.1 * np.sqrt(6 / sum(kernel.shape))
    assert 0.8 * bound < np.abs(kernel).max() <= bound


@pytest.mark.parametrize("output", ["last", "mean", "max_pool", "attention_pool"])
def test_gradient_reaches_the_fc_layer_and_ignores_padding(output):
    head = make_head(sequence="ragged", output=output)
    clips = [make_maps(1, length, seed=length)[0] for length in (2, 4)]
    loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def find_gradients(num_frames):
        inputs = make_ragged_inputs(clips, num_frames=num_frames)
        with tf.GradientTape() as tape:
            loss = loss_of(tf.constant([0, 2]), head(inputs, training=False))
        return tape.gradient(loss, head.trainable_variables)

    gradients = find_gradients(4)
    for variable, gradient in zip(head.trainable_variables, gradients, strict=True):
        assert np.abs(gradient).max() > 0, variable.path
    assert "fc/kernel" in head.trainable_variables[0].path
    for gradient, padded in zip(gradients, find_gradients(7), strict=True):
        np.testing.assert_allclose(gradient, padded, atol=1e-5)
