"""Times the training of stage 2: from the cache, from memory, padded, and from pixels.

Useful frames a second are frames that belong to a clip: padding counts as time, not as frames.
Every row is timed once a round, in turn; the table gives medians.

    python -m benchmarks.stage2_speed
"""

import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from absl import flags, logging

from benchmarks import timing
from lrcn.common.programs.program import adopt_flags, run_program

adopt_flags(timing)

_CLIPS = flags.DEFINE_integer("clips", 48, "Clips in the cache.", lower_bound=16)
_PIXEL_CLIPS = flags.DEFINE_integer("pixel_clips", 2, "Clips of a step of the row on pixels.")
_BATCH_SIZE = 16
_LARGE_BATCH_SIZE = 48
# Of short sequences, so that the first batch, which nothing can load ahead, weighs little.
_FIXED_PASSES = 8
_NUM_CLASSES = 101
_FEATURE_SHAPE = (7, 7, 512)
# Soomro et al. 2012, UCF101: 29 to 1,776 frames a clip, 186 on average.
_FEWEST_FRAMES, _MOST_FRAMES, _MEAN_FRAMES = 29, 1776, 186
_LENGTH_SPREAD = 0.5  # of the logarithm


class _Row(NamedTuple):
    """What is timed: `run` trains on `num_frames` frames and on the padding between them."""

    name: str
    run: Callable[[], None]
    num_frames: int
    num_padded: int = 0

    def train(self) -> int:
        self.run()
        return self.num_frames


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        rows = _build_rows(Path(folder))
        rates = timing.measure_rates({row.name: row.train for row in rows})
    first = statistics.median(rates[rows[0].name])
    print(f"{'useful frames a second':42} {'median':>8} {'of first':>8} {'padded':>8}")
    for row in rows:
        median = statistics.median(rates[row.name])
        padded = row.num_padded / (row.num_frames + row.num_padded)
        print(f"{row.name:42} {median:8.1f} {median / first:8.3f} {padded:8.1%}")


def _build_rows(folder: Path) -> list[_Row]:
    from benchmarks.synthetic_cache import write_clips
    from lrcn.common.programs.devices import choose_training_policy
    from train_head.batches.clip_reader import ClipReader
    from train_head.batches.input_pipeline import make_train_dataset
    from train_head.run.config import TrainConfig

    lengths = make_lengths(_CLIPS.value)
    logging.info("Writing %d clips, %d frames", len(lengths), lengths.sum())
    cache, clip_ids = write_clips(folder / "gzip", lengths, _FEATURE_SHAPE)
    zstd_cache, _ = write_clips(folder / "zstd", lengths, _FEATURE_SHAPE, compression="zstd")
    class_ids = np.arange(len(lengths), dtype=np.int32) % _NUM_CLASSES
    fixed = TrainConfig(batch_size=_BATCH_SIZE)
    ragged = TrainConfig(batch_size=_BATCH_SIZE, sequence="ragged")
    fixed_model, ragged_model = _build_model(fixed), _build_model(ragged)
    half_model = _build_model(fixed, dtype_policy=choose_training_policy())
    from_disk = ClipReader(cache, clip_ids, memory_bytes=0)
    from_zstd = ClipReader(zstd_cache, clip_ids, memory_bytes=0)
    decoded = ClipReader(cache, clip_ids, memory_bytes=2**40)

    def make_dataset(reader, config):
        return make_train_dataset(reader, class_ids, config, epoch=0)

    def make_fixed_row(name, dataset, steps, *, model=fixed_model):
        return _Row(
            name,
            lambda: model.fit(
                dataset, steps_per_epoch=_FIXED_PASSES * steps, shuffle=False, verbose=0
            ),
            _FIXED_PASSES * len(lengths) * fixed.seq_len,
        )

    def make_ragged_row(name, reader):
        dataset, steps = make_dataset(reader, ragged)
        shapes = [inputs["frame_mask"].shape for inputs, _ in dataset.take(steps)]
        return _Row(
            name,
            lambda: ragged_model.fit(dataset, steps_per_epoch=steps, shuffle=False, verbose=0),
            lengths.sum(),
            sum(b * t for b, t in shapes) - lengths.sum(),
        )

    dataset, steps = make_dataset(from_disk, fixed)
    held = dataset.take(steps).cache().repeat()
    large = TrainConfig(batch_size=_LARGE_BATCH_SIZE)
    return [
        make_fixed_row("fixed, batches held in memory", held, steps),
        make_fixed_row("fixed, from the cache", *make_dataset(from_disk, fixed)),
        make_fixed_row("fixed, from a cache of zstd", *make_dataset(from_zstd, fixed)),
        make_fixed_row("fixed, clips kept decoded", *make_dataset(decoded, fixed)),
        make_fixed_row(
            "the same, --mixed_precision", *make_dataset(decoded, fixed), model=half_model
        ),
        make_fixed_row(
            f"clips kept decoded, --batch_size={_LARGE_BATCH_SIZE}", *make_dataset(decoded, large)
        ),
        make_ragged_row("ragged, from the cache", from_disk),
        make_ragged_row("ragged, from a cache of zstd", from_zstd),
        make_ragged_row("ragged, clips kept decoded", decoded),
        _make_article_row(fixed),
    ]


def _make_article_row(config) -> _Row:
    """The article's end-to-end training: VGG16 in float32 on every frame of every step."""
    from lrcn.common.vgg16 import backbone
    from train_head.head.model import build_lrcn

    vgg16 = backbone.build_vgg16(
        weights="random", cut="block5_pool", image_size=224, compute_dtype="float32"
    )
    bottom = backbone.build_bottom(vgg16, "block5_pool")
    bottom.trainable = False
    model = _compile(build_lrcn(bottom, _build_head(config)), config)
    shape = (_PIXEL_CLIPS.value, config.seq_len, 224, 224, 3)
    frames = np.random.RandomState(0).randint(0, 256, shape, np.uint8)
    class_ids = np.zeros(_PIXEL_CLIPS.value, np.int32)
    return _Row(
        "VGG16 and head on pixels, as the article",
        lambda: model.train_on_batch(frames, class_ids),
        _PIXEL_CLIPS.value * config.seq_len,
    )


def make_lengths(num_clips: int) -> np.ndarray:
    """Returns [N] numbers of frames spread as UCF101's: its shortest, mean and longest."""
    random = np.random.RandomState(0)
    spread = random.lognormal(0, _LENGTH_SPREAD, num_clips)
    lengths = spread / spread.mean() * _MEAN_FRAMES
    return np.clip(lengths, _FEWEST_FRAMES, _MOST_FRAMES).round().astype(np.int64)


def _build_head(config, dtype_policy="float32"):
    from train_head.head.model import build_head
    from train_head.head.normalization import FeatureStatistics

    return build_head(
        config,
        feature_shape=_FEATURE_SHAPE,
        num_classes=_NUM_CLASSES,
        statistics=FeatureStatistics(1.0, np.zeros(_FEATURE_SHAPE, np.float32), 1.0),
        dtype_policy=dtype_policy,
    )


def _build_model(config, dtype_policy="float32"):
    return _compile(_build_head(config, dtype_policy), config, dtype_policy)


def _compile(model, config, dtype_policy="float32"):
    from train_head.head.layers import keras
    from train_head.head.optimizer import build_optimizer

    model.compile(
        optimizer=build_optimizer(config, steps_per_epoch=1000, dtype_policy=dtype_policy),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    return model


if __name__ == "__main__":
    run_program(main)
