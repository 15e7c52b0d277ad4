"""Builds and runs small heads."""

import numpy as np
from small_data import make_config

from train_head.head.layers import keras
from train_head.head.model import build_head
from train_head.head.normalization import FeatureStatistics

NUM_CLASSES = 3
MAP_SHAPE = (2, 2, 3)


def make_head(*, feature_shape=MAP_SHAPE, seed=0, dtype_policy="float32", **settings):
    """Builds a head of random weights and statistics."""
    keras.utils.set_random_seed(seed)
    random = np.random.RandomState(seed)
    head = build_head(
        make_config(**{"fc_units": 8, "rnn_units": 5, **settings}),
        feature_shape=feature_shape,
        num_classes=NUM_CLASSES,
        statistics=FeatureStatistics(
            scale=random.uniform(0.5, 2),
            mean=random.normal(size=feature_shape).astype(np.float32),
            variance=random.uniform(0.5, 2),
        ),
        dtype_policy=dtype_policy,
    )
    for variable in head.trainable_variables:
        if "bias" in variable.path:
            # A bias of 0, as layers start with, leaves a padding of zeros without effect.
            variable.assign(random.normal(scale=0.3, size=variable.shape))
    enlarge_logits(head)
    return head


def enlarge_logits(head):
    """Makes an untrained head say as much of the classes as a trained one."""
    kernel = head.get_layer("logits").kernel
    kernel.assign(kernel * 10)


def make_maps(num_clips, num_frames, *, feature_shape=MAP_SHAPE, seed=0):
    random = np.random.RandomState(seed)
    return random.normal(size=(num_clips, num_frames, *feature_shape)).astype(np.float16)


def make_ragged_inputs(clips, *, num_frames):
    """Pads clips to `num_frames` with numbers that would be seen if the mask let them through."""
    maps = np.full((len(clips), num_frames, *clips[0].shape[1:]), 100, np.float16)
    mask = np.zeros((len(clips), num_frames), bool)
    for i, clip in enumerate(clips):
        maps[i, : len(clip)] = clip
        mask[i, : len(clip)] = True
    return {"feature_maps": maps, "frame_mask": mask}


def run_head(head, inputs):
    return head(inputs, training=False).numpy()


def build_random_head(feature_shape=(6,), *, top=None, mean=0.0, **settings):
    keras.utils.set_random_seed(0)
    head = build_head(
        make_config(**settings),
        feature_shape=feature_shape,
        num_classes=3,
        statistics=FeatureStatistics(1.0, np.full(feature_shape, mean, np.float32), 1.0),
        top=top,
    )
    enlarge_logits(head)
    return head


def make_frames_of_one_length(num_frames, feature_shape=(6,), *, seed=1):
    """Makes frames of one length, so that the beginning of a clip is scaled like the whole."""
    random = np.random.RandomState(seed)
    frames = [
        random.permutation(np.arange(1, np.prod(feature_shape) + 1)) for _ in range(num_frames)
    ]
    signs = random.choice([-0.5, 0.5], size=(num_frames, np.prod(feature_shape)))
    return (frames * signs).astype(np.float16).reshape(num_frames, *feature_shape)


def make_what_is_looked_at():
    """Makes a head with attention, and frames [2, 2, 3, 4] float16 of which it looks at the place
    low on the right in the one, and high on the left in the other.
    """
    head = build_random_head((2, 3, 4), rnn="none", frame_pooling="attention")
    scores = head.get_layer("per_frame").model.get_layer("attention_scores")
    scores.set_weights([np.array([[50.0], [0], [0], [0]]), np.zeros(1)])
    maps = np.zeros((2, 2, 3, 4), np.float16)
    maps[0, 1, 2, 0] = maps[1, 0, 0, 0] = 1
    return head, maps
