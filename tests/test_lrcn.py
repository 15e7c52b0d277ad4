"""LRCN as one model from pixels computes what both stages do one after the other."""

import functools

import numpy as np
import pytest
from small_data import make_config
from small_heads import NUM_CLASSES, enlarge_logits, make_ragged_inputs, run_head
from small_vgg16 import build_vgg16

from lrcn.common.cache.open_cache import read_cache
from lrcn.common.clips.manifest import read_manifest
from lrcn.common.pixels.decode import iter_frames
from lrcn.common.vgg16 import backbone
from train_head.batches.clip_reader import ClipReader
from train_head.batches.feature_statistics import measure_features
from train_head.head.layers import keras
from train_head.head.model import build_head, build_lrcn

CLIP_IDS = ["left/clip_0", "right/clip_5"]


@pytest.fixture(scope="module")
def cached_clips(cache_dir, clips_dir):
    """Two clips of different length: frames [T, 32, 32, 3] uint8 and cached maps [T, ...]."""
    cache = read_cache(cache_dir)
    clips = {clip.clip_id: clip for clip in read_manifest(cache.manifest_path)}
    pairs = []
    for clip_id in CLIP_IDS:
        path = clips_dir / clips[clip_id].path
        frames = np.stack([frame.pixels for frame in iter_frames(path, image_size=32)])
        pairs.append((frames, cache.read_clip(clip_id).feature_maps))
    return pairs


@pytest.mark.parametrize("sequence", ["fixed", "ragged"])
def test_lrcn_equals_stage_1_followed_by_stage_2(cache_dir, cached_clips, sequence):
    cache = read_cache(cache_dir)
    keras.utils.set_random_seed(0)
    vgg16 = build_vgg16()
    assert backbone.build_top(vgg16, "block5_pool") is None
    reader = ClipReader(cache, CLIP_IDS, memory_bytes=0)
    head = build_head(
        make_config(sequence=sequence),
        feature_shape=cache.contract.feature_shape,
        num_classes=NUM_CLASSES,
        statistics=measure_features(reader),
    )
    enlarge_logits(head)
    lrcn = build_lrcn(backbone.build_bottom(vgg16, "block5_pool"), head)
    assert lrcn.input_shape == (None, None, 32, 32, 3)
    lengths = set()
    for frames, maps in cached_clips:
        lengths.add(len(maps))
        assert frames.dtype == np.uint8
        inputs = maps[None]
        if sequence == "ragged":
            inputs = make_ragged_inputs([maps], num_frames=len(maps) + 2)
        logits = lrcn(frames[None], training=False)
        assert_close_logits(logits, run_head(head, inputs))
    assert len(lengths) == 2


def test_lrcn_with_a_top_equals_its_parts(cache_dir, cached_clips):
    keras.utils.set_random_seed(0)
    vgg16 = build_vgg16(cut="block4_pool")
    bottom = backbone.build_bottom(vgg16, "block4_pool")
    top = backbone.build_top(vgg16, "block4_pool")
    assert len(top.layers) == 5, "the input, three convolutions and the pooling of block 5"
    forward = backbone.make_forward(bottom, batch_size=4)
    build = functools.partial(
        build_head,
        make_config(),
        feature_shape=top.output.shape[1:],
        num_classes=NUM_CLASSES,
        statistics=measure_features(ClipReader(read_cache(cache_dir), CLIP_IDS, memory_bytes=0)),
    )
    head, head_with_top = build(), build(top=top)
    enlarge_logits(head)
    head_with_top.set_weights(top.get_weights() + head.get_weights())
    lrcn = build_lrcn(bottom, head_with_top)
    for frames, block5_maps in cached_clips:
        rounded = []  # as stage 1 writes it: batches of one size, float16
        for start in range(0, len(frames), 4):
            batch = np.zeros((4, *frames.shape[1:]), np.uint8)
            count = len(frames[start : start + 4])
            batch[:count] = frames[start : start + 4]
            rounded.append(forward(batch).numpy()[:count])
        maps = np.concatenate(rounded)
        assert maps.dtype == np.float16
        top_maps = top(maps.astype(np.float32), training=False).numpy()
        np.testing.assert_allclose(top_maps, block5_maps, rtol=0.01, atol=0.01 * block5_maps.max())
        logits = lrcn(frames[None], training=False)
        assert_close_logits(logits, run_head(head, top_maps[None].astype(np.float16)))


def assert_close_logits(logits, wanted):
    # Batches of another size may round a feature to the float16 beside it.
    np.testing.assert_allclose(logits, wanted, atol=2e-3)
    assert np.ptp(wanted) > 0.05, "logits that say nothing would be equal too"
