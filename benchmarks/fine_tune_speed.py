"""Times fine-tuning block 5 and head from the cache against doing so from pixels, side by side.

From pixels is how Keras is mostly used: uint8 frames in memory, the whole VGG16 with blocks 1 to 4
frozen, the head behind it; in the dtype that stage 1 takes here, and in float32, which Keras
computes in if nobody says otherwise. From the cache, clips are read and decompressed in every
epoch, or kept decoded, as training does with those that fit. With `--mixed_precision` the FC layer
is in half precision too, in both. The last column is to the row from pixels in the same dtypes. All
rows have the same layers and batch and are timed in turn, so that a machine whose speed drifts
slows them alike.

    python -m benchmarks.fine_tune_speed --rounds=5
"""

import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from absl import flags, logging

from benchmarks import timing
from lrcn.common.programs.program import adopt_flags, run_program

adopt_flags(timing)

_IMAGE_SIZE = flags.DEFINE_integer("image_size", 224, "Side of the frames in pixels.")
_COMPUTE_DTYPE = flags.DEFINE_string("compute_dtype", "auto", "What VGG16 multiplies in.")
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 8, "Clips of a step.", lower_bound=1)
_SEQ_LEN = flags.DEFINE_integer("seq_len", 16, "Frames of a clip.", lower_bound=1)
_STEPS = flags.DEFINE_integer("steps", 4, "Steps of a round from the cache.", lower_bound=1)
_NUM_CLASSES = 10
_KEEP_ALL_BYTES = 1 << 40
_CUT = "block4_pool"
_PIXELS = "from pixels, blocks 1 to 4 frozen"
_DISK = "from the cache cut at block4_pool, read from disk"
_KEPT = "from the cache cut at block4_pool, kept decoded"
_MIXED = ", --mixed_precision"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        rates = timing.measure_rates(_build_rows(Path(folder)))
    medians = {name: statistics.median(values) for name, values in rates.items()}
    print(f"{'frames a second of fine-tuning':67} {'median':>8} {'min':>8} {'max':>8} {'ratio':>8}")
    for name, values in rates.items():
        from_pixels = medians[_PIXELS + _MIXED if _MIXED in name else _PIXELS]
        print(
            f"{name:67} {medians[name]:8.1f} {min(values):8.1f} {max(values):8.1f} "
            f"{medians[name] / from_pixels:8.2f}"
        )


def _build_rows(folder: Path) -> dict[str, Callable[[], int]]:
    """Returns, by name, functions that train for a while, and say on how many frames."""
    from lrcn.common.programs.devices import choose_compute_dtype, choose_training_policy
    from lrcn.common.vgg16 import backbone
    from train_head.batches.clip_reader import ClipReader
    from train_head.batches.feature_statistics import measure_features
    from train_head.batches.input_pipeline import make_train_dataset
    from train_head.head.convolution import let_learn
    from train_head.head.layers import keras
    from train_head.head.model import build_head, build_lrcn
    from train_head.head.optimizer import build_optimizer
    from train_head.head.vgg16 import FrozenTop
    from train_head.run.config import FineTuneConfig

    config = FineTuneConfig(batch_size=_BATCH_SIZE.value, seq_len=_SEQ_LEN.value).second_phase()
    compute_dtype = choose_compute_dtype(_COMPUTE_DTYPE.value)
    logging.info("VGG16 multiplies in %s", compute_dtype)
    frames = _draw_frames()
    class_ids = np.arange(len(frames), dtype=np.int32) % _NUM_CLASSES
    clip_ids = [str(number) for number in range(len(frames))]
    num_frames = frames.shape[0] * frames.shape[1]

    def build_vgg16(dtype):
        return backbone.build_vgg16(
            weights="random", cut=_CUT, image_size=_IMAGE_SIZE.value, compute_dtype=dtype
        )

    vgg16 = build_vgg16(compute_dtype)
    cache = _write_cache(folder, frames, backbone.build_bottom(vgg16, _CUT))

    def build_tunable_head(vgg16, policy):
        top = FrozenTop(backbone.build_top(vgg16, _CUT))
        head = build_head(
            config,
            feature_shape=top.feature_shape,
            num_classes=_NUM_CLASSES,
            statistics=measure_features(ClipReader(cache, clip_ids[:1], memory_bytes=0, top=top)),
            dtype_policy=policy,
            top=top.model,
        )
        let_learn(top.model.layers)
        return head

    def compile_for_tuning(model, policy):
        model.compile(
            optimizer=build_optimizer(config, steps_per_epoch=_STEPS.value, dtype_policy=policy),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            jit_compile=False,
        )
        return model

    def make_cache_row(memory_bytes, policy="float32"):
        model = compile_for_tuning(build_tunable_head(vgg16, policy), policy)
        reader = ClipReader(cache, clip_ids, memory_bytes=memory_bytes)

        def fit():
            # Made anew, so that no batch is read before the clock starts.
            dataset, steps = make_train_dataset(reader, class_ids, config, epoch=0)
            model.fit(dataset, steps_per_epoch=steps, shuffle=False, verbose=0)
            return num_frames

        return fit

    def make_pixel_row(vgg16, policy="float32"):
        bottom = backbone.build_bottom(vgg16, _CUT)
        model = compile_for_tuning(build_lrcn(bottom, build_tunable_head(vgg16, policy)), policy)

        # One batch, as an array: a step takes four times as long as from the cache. By `fit` it
        # could end only when the thread that tunes tf.data wakes up (see stage1_speed), after 20.5
        # s for 10.7, which would make the cache look twice as good.
        batch = slice(config.batch_size)

        def train():
            model.train_on_batch(frames[batch], class_ids[batch])
            return config.batch_size * config.seq_len

        return train

    rows = {
        _PIXELS: make_pixel_row(vgg16),
        _DISK: make_cache_row(0),
        _KEPT: make_cache_row(_KEEP_ALL_BYTES),
    }
    policy = choose_training_policy()
    if policy != "float32":
        rows |= {
            _PIXELS + _MIXED: make_pixel_row(vgg16, policy),
            _DISK + _MIXED: make_cache_row(0, policy),
            _KEPT + _MIXED: make_cache_row(_KEEP_ALL_BYTES, policy),
        }
    if compute_dtype != "float32":
        rows |= {f"{_PIXELS}, float32": make_pixel_row(build_vgg16("float32"))}
    return rows


def _draw_frames() -> np.ndarray:
    """Draws smooth noise, [N, T, S, S, 3] uint8."""
    from PIL import Image

    random = np.random.RandomState(0)
    size, num_clips = _IMAGE_SIZE.value, _STEPS.value * _BATCH_SIZE.value
    frames = np.empty((num_clips, _SEQ_LEN.value, size, size, 3), np.uint8)
    for clip in frames:
        coarse = Image.fromarray(random.randint(0, 256, (14, 14, 3), np.uint8))
        picture = np.array(coarse.resize((size + _SEQ_LEN.value, size), Image.Resampling.BICUBIC))
        for t in range(_SEQ_LEN.value):
            clip[t] = picture[:, t : t + size]
    return frames


def _write_cache(folder: Path, frames: np.ndarray, bottom):
    from benchmarks.synthetic_cache import make_contract
    from lrcn.common.cache.feature_cache import FeatureCache
    from lrcn.common.clips.clip import SourceStat
    from lrcn.common.vgg16 import backbone

    cache = FeatureCache(folder, contract=make_contract(bottom.output.shape[1:]), data_root="")
    forward = backbone.make_forward(bottom, batch_size=_SEQ_LEN.value)
    for number, clip in enumerate(frames):
        writer = cache.open_writer(str(number))
        writer.append(
            forward(clip).numpy(),
            frame_index=list(range(len(clip))),
            timestamp_sec=[float("nan")] * len(clip),
        )
        writer.commit(SourceStat(0, 0))
    return cache


if __name__ == "__main__":
    run_program(main)
