"""Tests the layers of the head by themselves."""

import numpy as np
import pytest
from small_heads import MAP_SHAPE, make_head, make_maps, make_ragged_inputs, run_head

from train_head.head import layers
from train_head.head.layers import MeanOfFrames, PerFrame, ScaleClip, ScaledAsinh, keras, tf
from train_head.head.normalization import scale_clip


@pytest.mark.parametrize("feature_shape", [(6,), MAP_SHAPE])
@pytest.mark.parametrize("ragged", [False, True])
def test_a_clip_is_scaled_as_a_whole(feature_shape, ragged):
    clips = [4 * make_maps(1, n, feature_shape=feature_shape, seed=n)[0] for n in (2, 5)]
    layer = ScaleClip()
    if ragged:
        inputs = make_ragged_inputs(clips, num_frames=7)
        maps = inputs["feature_maps"].astype(np.float32)
        scaled = np.split(layer(maps, frame_mask=inputs["frame_mask"]).numpy(), [len(clips[0])])
    else:
        scaled = layer(clips[0][None].astype(np.float32)).numpy()
    for clip, found in zip(clips, scaled, strict=False):
        lengths = np.linalg.norm(found.reshape(len(clip), -1), axis=1)
        assert lengths.mean() == pytest.approx(1, rel=1e-5)
        assert lengths.std() > 0.01  # what changes from frame to frame is kept
        np.testing.assert_allclose(found, scale_clip(clip.astype(np.float32)), rtol=1e-5)


def test_where_nothing_is_learnt_frames_are_computed_part_by_part(monkeypatch):
    inputs = make_ragged_inputs(list(make_maps(2, 4)), num_frames=5)
    head = make_head(sequence="ragged")
    whole = run_head(head, inputs)
    monkeypatch.setattr(layers, "_VALUES_AT_ONCE", 3 * 12 + 11)
    np.testing.assert_allclose(run_head(head, inputs), whole, atol=1e-5)
    lengths, inputs = [], keras.Input(MAP_SHAPE)

    class Note(keras.layers.Layer):
        def call(self, part):
            lengths.append(part.shape[0])
            return part

    per_frame = PerFrame(keras.Model(inputs, Note()(inputs)))
    frames = np.arange(8 * 12, dtype=np.float32).reshape(1, 8, *MAP_SHAPE)
    np.testing.assert_array_equal(per_frame(frames), frames)
    assert lengths[-3:] == [3, 3, 2]


def test_the_scale_has_a_gradient_also_where_frames_have_no_features():
    random = np.random.RandomState(0)
    maps, slopes = random.uniform(0.1, 1, size=(2, 2, 4, *MAP_SHAPE)).astype(np.float32)
    maps[0, 1] = maps[1] = 0  # a frame, and a whole clip
    variable = tf.Variable(maps)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(ScaleClip()(variable) * slopes)
    found = tape.gradient(total, variable).numpy()
    lengths = np.sqrt(np.square(maps[0]).sum(axis=(1, 2, 3), keepdims=True))
    length = lengths.mean()
    directions = maps[0] / np.where(lengths > 0, lengths, 1) / len(lengths)
    expected = slopes[0] / length - (slopes[0] * maps[0]).sum() / length**2 * directions
    np.testing.assert_allclose(found[0], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found[1], 0)


def test_a_class_that_all_frames_rule_out_keeps_its_gradient():
    # The softmax of -200 is 0 in float32, and so would the mean over frames be.
    logits = tf.Variable([[[0.0, -200.0], [0.0, -201.0]]])
    with tf.GradientTape() as tape:
        answer = MeanOfFrames()(logits)[0, 1]
    assert float(answer) == pytest.approx(np.log((1 + np.exp(-1)) / 2) - 200)
    gradient = tape.gradient(answer, logits).numpy()[0]
    shares = np.array([1, np.exp(-1)]) / (1 + np.exp(-1))
    np.testing.assert_allclose(gradient, np.outer(shares, [-1, 1]), rtol=1e-4)


def test_asinh_is_that_of_numpy_at_every_size():
    sizes = np.logspace(-12, 6, 1000)
    features = np.concatenate([-sizes, [0.0], sizes]).astype(np.float32)
    result = ScaledAsinh(0.5)(features).numpy()
    np.testing.assert_allclose(result, np.arcsinh(features.astype(np.float64) / 0.5), rtol=1e-6)
