"""Fine-tuning through the cut is fine-tuning on pixels: equal loss and gradients."""

import contextlib
import dataclasses
import functools

import numpy as np
import pytest
from small_data import SMALL_CONFIG
from small_vgg16 import build_vgg16

from lrcn.common.cache.open_cache import read_cache
from lrcn.common.clips.manifest import read_manifest
from lrcn.common.pixels.decode import iter_frames
from lrcn.common.vgg16 import backbone
from lrcn.common.vgg16.frozen_convolutions import use_frozen_convolutions
from train_head.batches.clip_reader import ClipReader
from train_head.batches.feature_statistics import measure_features
from train_head.head.convolution import let_learn
from train_head.head.layers import keras, tf
from train_head.head.model import build_head, build_lrcn
from train_head.head.vgg16 import rebuild_top

NUM_CLASSES = 3

CLIP_IDS = ["left/clip_0", "right/clip_5"]


@pytest.fixture(scope="module")
def split_model(block4_dir):
    """Cached maps [2, 4, 2, 2, 512] of two clips, the model of block 5 and head on them, and the
    head alone, of equal weights.
    """
    cache = read_cache(block4_dir)
    top = rebuild_top(cache.contract, None, where=block4_dir / "cache.json")
    build = functools.partial(
        build_head,
        SMALL_CONFIG,
        feature_shape=top.feature_shape,
        num_classes=NUM_CLASSES,
        statistics=measure_features(ClipReader(cache, CLIP_IDS, memory_bytes=0, top=top)),
    )
    keras.utils.set_random_seed(0)
    head, head_with_top = build(), build(top=top.model)
    head_with_top.set_weights(top.model.get_weights() + head.get_weights())
    let_learn(top.model.layers)
    maps = [cache.read_clip(clip_id).feature_maps[:4] for clip_id in CLIP_IDS]
    return np.stack(maps), head_with_top, head


def find_gradients(model, inputs):
    """Returns the loss, and its gradients by the name of layer and variable."""
    variables = [x for x in model.trainable_variables if x.path.split("/")[-2][:6] != "block4"]
    loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    with tf.GradientTape() as tape:
        loss = loss_of(tf.constant([0, 2]), model(inputs, training=False))
    gradients = tape.gradient(loss, variables)
    names = ["/".join(variable.path.split("/")[-2:]) for variable in variables]
    return float(loss), {k: v.numpy() for k, v in zip(names, gradients, strict=True)}


@pytest.mark.parametrize("rounded", [True, False])
def test_loss_and_gradients_are_those_of_fine_tuning_on_pixels(
    split_model, block4_dir, clips_dir, rounded
):
    maps, head_with_top, head = split_model
    clips = {clip.clip_id: clip for clip in read_manifest(block4_dir / "manifest.csv")}
    frames = np.stack(
        [
            [frame.pixels for frame in iter_frames(clips_dir / clips[x].path, image_size=32)][:4]
            for x in CLIP_IDS
        ]
    )
    vgg16 = build_vgg16()
    if rounded:
        # The whole network with the cached values' rounding: equal to the last bits.
        bottom = backbone.build_bottom(vgg16, "block4_pool")
        whole, tolerance = build_lrcn(bottom, head_with_top), 1e-4
        convolutions = use_frozen_convolutions(bottom, many_batches=False)
    else:
        # Keras' own VGG16 and nothing between its layers: equal but for rounding, in the cache and
        # by faster convolutions, which changes what a few ReLUs and maxima let pass.
        whole, tolerance = build_on_whole_vgg16(vgg16, head), 0.05
        convolutions = contextlib.nullcontext()
    loss, gradients = find_gradients(head_with_top, maps)
    with convolutions:
        whole_loss, whole_gradients = find_gradients(whole, frames)
    assert loss == pytest.approx(whole_loss, rel=tolerance)
    assert set(gradients) == set(whole_gradients)
    assert {f"block5_conv{i}/kernel" for i in (1, 2, 3)} < set(gradients)
    assert {"fc/kernel", "gru_cell/recurrent_kernel", "logits/kernel"} < set(gradients)
    for name, gradient in gradients.items():
        size = np.linalg.norm(gradient)
        assert size > 0, name
        assert np.linalg.norm(gradient - whole_gradients[name]) < tolerance * size, name


@pytest.mark.parametrize(
    ("cached", "trained"),
    [
        ("float16", "float32"),  # in whose place gradients would vanish
        ("bfloat16", "bfloat16"),  # has the exponents of float32
    ],
)
def test_the_top_computes_in_what_gradients_pass_through(block4_dir, cached, trained):
    contract = dataclasses.replace(read_cache(block4_dir).contract, compute_dtype=cached)
    top = rebuild_top(contract, None, where=block4_dir / "cache.json")
    assert {x.compute_dtype for x in top.model.layers if x.weights} == {trained}


def build_on_whole_vgg16(vgg16, head):
    """VGG16 on preprocessed pixels, whole and unsplit, with the head's layers behind block 5."""
    for layer in vgg16.layers:
        layer.trainable = layer.name.startswith("block5")
    frames = keras.Input((None, 32, 32, 3), dtype="uint8")
    flat = keras.ops.reshape(keras.ops.cast(frames, "float32"), (-1, 32, 32, 3))
    x = vgg16(keras.applications.vgg16.preprocess_input(flat))
    x = keras.ops.reshape(x, (-1, 4, *x.shape[1:]))
    for name in ("scale_clip", "per_frame", "rnn_1", "rnn_dropout_1", "logits"):
        x = head.get_layer(name)(x)
    return keras.Model(frames, x)
