"""Tests what makes one vector of many: of a frame's positions, and of a clip's frames."""

import warnings

import numpy as np
import pytest
from small_heads import NUM_CLASSES, make_head, make_maps, make_ragged_inputs, run_head

from lrcn.common.programs.tensorflow_start import import_tensorflow
from train_head.head.frame_poolings import FRAME_POOLINGS
from train_head.head.layers import keras, tf


@pytest.mark.parametrize("output", ["mean_pool", "max_pool", "attention_pool"])
def test_poolings_over_time_without_rnn_and_fc_layer_are_linear(output):
    head = make_head(rnn="none", output=output, fc_units=0)
    maps = make_maps(1, 5)
    logits = run_head(head, maps)
    np.testing.assert_allclose(logits, run_head(head, maps[:, ::-1]), atol=1e-5)
    vectors = head.get_layer("per_frame")(head.get_layer("scale_clip")(maps)).numpy()[0]
    weights = {
        "mean_pool": np.full((5, 1), 0.2),
        "max_pool": vectors == vectors.max(axis=0),
        "attention_pool": None,
    }[output]
    if weights is None:
        weights = tf.nn.softmax(head.get_layer("time_scores")(vectors), axis=0).numpy()
        assert np.ptp(weights) > 0.05
    pooled = (vectors * weights).sum(axis=0)
    kernel, bias = head.get_layer("logits").get_weights()
    np.testing.assert_allclose(logits[0], pooled @ kernel + bias, atol=1e-5)


def test_attention_over_one_frame_is_no_mistake():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        import_tensorflow()
        run_head(make_head(output="attention_pool"), make_maps(1, 1))


@pytest.mark.parametrize("output", ["mean_pool", "max_pool", "attention_pool"])
def test_padding_is_not_pooled_where_all_features_are_negative(output):
    # The FC layer's are never negative, so there the maximum would not see zeros.
    head = make_head(sequence="ragged", rnn="none", output=output, fc_units=0)
    clip = -np.abs(make_maps(1, 3)[0]) - 100
    alone = run_head(head, make_ragged_inputs([clip], num_frames=3))
    padded = run_head(head, make_ragged_inputs([clip], num_frames=6))
    np.testing.assert_allclose(padded, alone, atol=1e-5)


@pytest.mark.parametrize("frame_pooling", FRAME_POOLINGS)
@pytest.mark.parametrize("feature_shape", [(6,), (2, 2, 3)])
@pytest.mark.parametrize("sequence", ["fixed", "ragged"])
def test_feature_shapes_and_poolings(frame_pooling, feature_shape, sequence):
    head = make_head(frame_pooling=frame_pooling, feature_shape=feature_shape, sequence=sequence)
    inputs = make_maps(2, 3, feature_shape=feature_shape)
    if sequence == "ragged":
        inputs = make_ragged_inputs(list(inputs), num_frames=4)
    assert run_head(head, inputs).shape == (2, NUM_CLASSES)
    assert head.output_shape == (None, NUM_CLASSES)
    fc = head.get_layer("per_frame").model.get_layer("fc")
    num_inputs = feature_shape[-1] if frame_pooling != "flatten" else np.prod(feature_shape)
    assert fc.kernel.shape == (num_inputs, 8)


@pytest.mark.parametrize("frame_pooling", ["average", "attention"])
@pytest.mark.parametrize("feature_shape", [(4, 3), (2, 3, 4)])
def test_poolings_over_positions_are_means_of_their_vectors(frame_pooling, feature_shape):
    maps = make_maps(1, 5, feature_shape=feature_shape)[0].astype(np.float32)
    inputs = keras.Input(feature_shape)
    model = keras.Model(inputs, FRAME_POOLINGS[frame_pooling](inputs))
    vectors = maps.reshape(5, -1, feature_shape[-1])
    weights = np.full((*vectors.shape[:2], 1), 1 / vectors.shape[1])
    if frame_pooling == "attention":
        scores = model.get_layer("attention_scores")
        scores.bias.assign([3.0])
        weights = tf.nn.softmax(scores(vectors), axis=1).numpy()
        assert np.ptp(weights, axis=1).min() > 0.05
    np.testing.assert_allclose(model(maps), (vectors * weights).sum(axis=1), atol=1e-5)
