"""From the cache to batches: which clips, which of their frames, in which order.

The order of work is: plan the batches of an epoch (`batch_plan`, numbers only), load each batch,
sample its frames, pad where lengths differ. Training and inference differ in the plan and the
sampling alone, and both are decided by (seed, epoch), so a resumed run sees what an unbroken one
sees.
"""

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from lrcn.common.programs.tensorflow_start import import_tensorflow
from train_head.batches.batch_loader import BatchLoader, ClipTargets, round_up
from train_head.batches.batch_plan import count_batches, plan_epoch, plan_evaluation
from train_head.batches.clip_reader import ClipReader
from train_head.batches.frame_choice import ChosenFrames, sample_frames, sample_window
from train_head.batches.frame_targets import FrameTargets, balance_classes, count_labelled
from train_head.run.config import TrainConfig

tf = import_tensorflow()

# Batches loaded at once: reading waits for the disk, stacking for memory.
_PARALLEL_BATCHES = 2

# [N] int32 class ids of clips, or with --labels=frame N arrays [T] int32 of those of their frames.
ClassIds = np.ndarray | Sequence[np.ndarray]


def make_train_dataset(
    reader: ClipReader,
    class_ids: ClassIds,
    config: TrainConfig,
    *,
    epoch: int,
    num_devices: int = 1,
):
    """Makes an endless dataset of training batches, from the given epoch on.

    Of several views it takes a random one, the same for all frames: a motion does not turn around
    midway.

    Args:
        reader: The clips of the training split.
        class_ids: Of the N clips, or of their frames, as the settings have it.
        config: Labels, sequence, sampling, balance, batch size and seed.
        epoch: The first epoch, from 0.
        num_devices: Every batch is filled up to a multiple of it by rows of weight 0.

    Returns:
        A dataset of (inputs as `build_head` takes them, [b] int32 class ids), with balanced class
        weights or several devices followed by the clips' [b] float32 weights, and the number of
        batches in an epoch. With a label for every frame, class ids and weights are those of
        `FrameTargets`, [b, T].
    """

    def iter_plan() -> Iterator[tuple[int, np.ndarray]]:
        for number in itertools.count(epoch):
            for draws in plan_epoch(reader.num_frames, class_ids, config, epoch=number):
                yield number, draws

    def choose_frames(epoch: int, draw: int) -> ChosenFrames:
        rng = np.random.default_rng([config.seed, epoch, draw])
        clip_number = draw % len(reader)
        frames = sample_frames(int(reader.num_frames[clip_number]), config, rng=rng)
        return ChosenFrames(clip_number, frames, int(rng.integers(reader.num_views)))

    is_balanced = config.class_weights == "balanced"
    if config.labels == "frame":
        # Batches of two epochs are loaded side by side.
        @functools.lru_cache(maxsize=2)
        def count_epoch(number: int) -> tuple[int, int]:
            # Each clip is drawn once: labels of frames go with no balanced sampling.
            read = (choose_frames(number, draw) for draw in range(len(reader)))
            return count_labelled(class_ids, read)

        targets = FrameTargets(
            class_ids,
            count_epoch=count_epoch,
            class_weights=balance_classes(class_ids) if is_balanced else None,
        )
    else:
        weights = np.ones(len(class_ids)) if num_devices > 1 else None
        if is_balanced:
            weights = balance_classes([class_ids])[class_ids]
        targets = ClipTargets(class_ids, weights)

    loader = BatchLoader(
        reader=reader,
        choose_frames=choose_frames,
        targets=targets,
        num_devices=num_devices,
        # A step follows the mean over the rows that count. Keras' mean loss of an epoch counts them
        # all: there, a batch that was filled up weighs more than on one device.
        find_scale=lambda num_rows, num_filled: num_filled / num_rows,
    )
    return _make_dataset(iter_plan, loader, config), count_batches(len(reader), config)


def make_eval_dataset(
    reader: ClipReader,
    class_ids: ClassIds,
    config: TrainConfig,
    *,
    num_windows: int = 1,
    num_views: int = 1,
    num_devices: int = 1,
):
    """Makes a dataset that holds every clip exactly once, in the order of the clips.

    With several windows or views, every clip has a row for each view, from the first on, of each
    window, one after the other; see `sampling.place_windows`. Batches end anywhere. For several
    devices batches are filled up to a multiple of them by rows of weight 0, and the weights are the
    third of each element. With a label for every frame, class ids and weights are those of
    the frames that are read, see `FrameTargets`.
    """
    num_rows = len(reader) * num_windows * num_views
    lengths = np.full(num_rows, config.seq_len)
    if config.sequence == "ragged":
        lengths = np.repeat(reader.num_frames, num_windows * num_views)
    plan = plan_evaluation(lengths, config)

    def iter_plan() -> Iterator[tuple[int, np.ndarray]]:
        for rows in plan:
            yield 0, rows

    def choose_frames(_epoch: int, row: int) -> ChosenFrames:
        clip_and_window, view = divmod(row, num_views)
        clip_number, window = divmod(clip_and_window, num_windows)
        num_frames = int(reader.num_frames[clip_number])
        frames = sample_window(num_frames, config, num_windows=num_windows, window=window)
        return ChosenFrames(clip_number, frames, view)

    if config.labels == "frame":
        read = (choose_frames(0, row) for row in range(num_rows))
        counts = count_labelled(class_ids, read)
        targets = FrameTargets(class_ids, count_epoch=lambda _: counts)
    else:
        weights = np.ones(len(class_ids)) if num_devices > 1 else None
        targets = ClipTargets(class_ids, weights)
    # Keras averages the loss over all rows of all batches, also those of weight 0.
    scale = sum(round_up(len(rows), num_devices) for rows in plan) / num_rows
    loader = BatchLoader(
        reader=reader,
        choose_frames=choose_frames,
        targets=targets,
        num_devices=num_devices,
        find_scale=lambda _num_rows, _num_filled: scale,
    )
    return _make_dataset(iter_plan, loader, config).apply(
        tf.data.experimental.assert_cardinality(len(plan))
    )


def _make_dataset(
    iter_plan: Callable[[], Iterator[tuple[int, np.ndarray]]],
    loader: BatchLoader,
    config: TrainConfig,
):
    """Makes the batches of a plan of (epoch, [b] draws): inputs and the loader's targets."""
    shape = (None, None, *loader.reader.feature_shape)
    dtypes, ranks = zip(*loader.targets.arrays, strict=True)

    @tf.autograph.experimental.do_not_convert  # its file in /tmp would outlive a stop
    def load(epoch, draws):
        loaded = (tf.float16, tf.bool, *map(tf.as_dtype, dtypes))
        maps, mask, *targets = tf.numpy_function(loader.load, [epoch, draws], loaded)
        inputs = maps = tf.ensure_shape(maps, shape)
        if config.sequence == "ragged":
            mask = tf.ensure_shape(mask, shape[:2])
            if loader.num_devices > 1:
                # Keras averages the first batch over the devices, which it cannot for bool.
                mask = tf.cast(mask, tf.int32)
            inputs = {"feature_maps": maps, "frame_mask": mask}
        return inputs, *map(tf.ensure_shape, targets, [(None,) * rank for rank in ranks])

    signature = (tf.TensorSpec((), tf.int64), tf.TensorSpec((None,), tf.int64))
    plan = tf.data.Dataset.from_generator(iter_plan, output_signature=signature)
    # Without autotuning: its thread wakes up to a minute apart, and an iterator that is done
    # waits for it (32 s at the end of a training of 90 s, TensorFlow 2.21).
    options = tf.data.Options()
    options.autotune.enabled = False
    dataset = plan.map(load, num_parallel_calls=_PARALLEL_BATCHES, deterministic=True)
    return dataset.prefetch(_PARALLEL_BATCHES).with_options(options)
