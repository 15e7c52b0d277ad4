"""From the cache to batches: which clips, which of their frames, in which order.

The order of work is: plan the batches of an epoch (clip numbers only), load each batch, sample
its frames, pad where lengths differ. Training and inference differ in the plan and the sampling
alone, and both are decided by (seed, epoch), so a resumed run sees what an unbroken one sees.
"""

import contextlib
import itertools
from collections.abc import Iterator

import numpy as np

from lrcn.common import sampling
from lrcn.common.devices import import_tensorflow
from lrcn.common.feature_cache import FeatureCache
from train_head.config import TrainConfig

tf = import_tensorflow()

# Shuffled clips are sorted by length inside windows of so many batches: long enough to make
# batches of like lengths, short enough to leave the order of batches random.
_WINDOW_BATCHES = 8
# Batches loaded at once: reading waits for the disk, stacking for memory.
_PARALLEL_BATCHES = 2


class ClipReader:
    """Reads the clips of one split, keeping them in memory where they all fit.

    Attributes:
        num_frames: [N] int64, T of each clip.
        num_views: V, how many views of each frame there are.
        feature_shape: Shape of the features of one view of one frame.
        error: What `read` has raised last, see `raise_read_errors`.
    """

    def __init__(self, cache: FeatureCache, clip_ids: list[str], *, memory_bytes: int):
        self._cache = cache
        self._clip_ids = clip_ids
        self.num_frames = np.array([cache.count_frames(x) for x in clip_ids], np.int64)
        self.num_views = cache.contract.num_views
        self.feature_shape = cache.contract.feature_shape
        self.error: Exception | None = None
        size_bytes = self.num_frames.sum() * cache.contract.values_per_frame * 2
        self._kept = {} if size_bytes <= memory_bytes else None

    def __len__(self) -> int:
        return len(self._clip_ids)

    def read(
        self, clip_number: int, frames: np.ndarray | None = None, *, view: int = 0
    ) -> np.ndarray:
        """Returns a view of a clip, or of the given frames of it, [T, ...] float16."""
        try:
            return self._read(clip_number, frames, view)
        except (ValueError, OSError) as error:
            self.error = error
            raise

    def release(self) -> None:
        """Gives the memory of the clips back; they are read again where they are wanted."""
        if self._kept is not None:
            self._kept = {}

    def _read(self, clip_number: int, frames: np.ndarray | None, view: int) -> np.ndarray:
        clip_id = self._clip_ids[clip_number]
        if self._kept is None:
            return self._cache.read_clip(clip_id, frames=frames, view=view).feature_maps
        if (clip_number, view) not in self._kept:
            maps = self._cache.read_clip(clip_id, view=view).feature_maps
            self._kept[clip_number, view] = maps
        maps = self._kept[clip_number, view]
        return maps if frames is None else maps[frames]


@contextlib.contextmanager
def raise_read_errors(*readers: ClipReader) -> Iterator[None]:
    """Raises the reader's own error, where TensorFlow raises one that it made of it."""
    try:
        yield
    except tf.errors.OpError:
        for reader in readers:
            if reader.error is not None:
                raise reader.error from None
        raise


def make_train_dataset(
    reader: ClipReader, class_ids: np.ndarray, config: TrainConfig, *, epoch: int
):
    """Makes an endless dataset of training batches, from the given epoch on.

    Every epoch has each clip once, in an order of its own; a last smaller batch is kept. Of several
    views it takes a random one, the same for all frames: a motion does not turn around midway.

    Args:
        reader: The clips of the training split.
        class_ids: [N] int32.
        config: Sequence, sampling, batch size and seed.
        epoch: The first epoch, from 0.

    Returns:
        A dataset of (inputs as `build_head` takes them, [b] int32 class ids), and the number of
        batches in an epoch.
    """

    def iter_plan() -> Iterator[tuple[int, np.ndarray]]:
        for number in itertools.count(epoch):
            for batch in _plan_train_batches(reader.num_frames, config, epoch=number):
                yield number, batch

    def choose_frames(epoch: int, clip_number: int) -> tuple[int, np.ndarray | None, int]:
        rng = np.random.default_rng([config.seed, epoch, clip_number])
        frames = sample_frames(int(reader.num_frames[clip_number]), config, rng=rng)
        return clip_number, frames, int(rng.integers(reader.num_views))

    dataset = _make_dataset(reader, class_ids, config, iter_plan, choose_frames)
    return dataset, count_batches(reader, config)


def make_eval_dataset(
    reader: ClipReader,
    class_ids: np.ndarray,
    config: TrainConfig,
    *,
    num_windows: int = 1,
    num_views: int = 1,
):
    """Makes a dataset that holds every clip exactly once, in the order of the clips.

    With several windows or views, every clip has a row for each view, from the first on, of each
    window, one after the other; see `sampling.place_windows`. Batches end anywhere.
    """
    num_rows = len(reader) * num_windows * num_views

    def iter_plan() -> Iterator[tuple[int, np.ndarray]]:
        for start in range(0, num_rows, config.batch_size):
            yield 0, np.arange(start, min(start + config.batch_size, num_rows))

    def choose_frames(_epoch: int, row: int) -> tuple[int, np.ndarray | None, int]:
        clip_and_window, view = divmod(row, num_views)
        clip_number, window = divmod(clip_and_window, num_windows)
        num_frames = int(reader.num_frames[clip_number])
        frames = sample_windows(num_frames, config, num_windows=num_windows)[window]
        return clip_number, frames, view

    row_class_ids = np.repeat(class_ids, num_windows * num_views)
    dataset = _make_dataset(reader, row_class_ids, config, iter_plan, choose_frames)
    num_batches = -(-num_rows // config.batch_size)
    return dataset.apply(tf.data.experimental.assert_cardinality(num_batches))


def count_batches(reader: ClipReader, config: TrainConfig) -> int:
    """Returns the batches in a pass over the clips, a smaller last one included."""
    return -(-len(reader) // config.batch_size)


def _plan_train_batches(
    num_frames: np.ndarray, config: TrainConfig, *, epoch: int
) -> list[np.ndarray]:
    rng = np.random.default_rng([config.seed, epoch])
    order = rng.permutation(len(num_frames))
    size = config.batch_size
    if config.sequence == "fixed":
        return [order[i : i + size] for i in range(0, len(order), size)]
    batches = []
    for start in range(0, len(order), _WINDOW_BATCHES * size):
        window = order[start : start + _WINDOW_BATCHES * size]
        window = window[np.argsort(num_frames[window], kind="stable")]
        batches += [window[i : i + size] for i in range(0, len(window), size)]
    return [batches[i] for i in rng.permutation(len(batches))]


def _make_dataset(reader, class_ids, config, iter_plan, choose_frames):
    """Makes the batches of a plan of (epoch, [b] rows).

    `choose_frames` says of an epoch and a row which clip it is, and which of its frames and views
    it takes.
    """
    shape = (None, None, *reader.feature_shape)

    def load(epoch, rows):
        maps, mask = tf.numpy_function(load_batch, [epoch, rows], [tf.float16, tf.bool])
        maps = tf.ensure_shape(maps, shape)
        inputs = maps
        if config.sequence == "ragged":
            inputs = {"feature_maps": maps, "frame_mask": tf.ensure_shape(mask, shape[:2])}
        return inputs, tf.gather(tf.constant(class_ids, tf.int32), rows)

    def load_batch(epoch, rows):
        clips = []
        for row in rows:
            clip_number, frames, view = choose_frames(int(epoch), int(row))
            clips.append(reader.read(clip_number, frames, view=view))
        return pad_clips(clips)

    signature = (tf.TensorSpec((), tf.int64), tf.TensorSpec((None,), tf.int64))
    plan = tf.data.Dataset.from_generator(iter_plan, output_signature=signature)
    # Without autotuning: its thread wakes up to a minute apart, and an iterator that is done
    # waits for it (32 s at the end of a training of 90 s, TensorFlow 2.21).
    options = tf.data.Options()
    options.autotune.enabled = False
    dataset = plan.map(load, num_parallel_calls=_PARALLEL_BATCHES, deterministic=True)
    return dataset.prefetch(_PARALLEL_BATCHES).with_options(options)


def sample_frames(
    num_frames: int, config: TrainConfig, *, rng: np.random.Generator | None
) -> np.ndarray | None:
    """Chooses the frames of a clip and their order: [T] int64, or None for all as they are.

    With a generator, as training has, fixed sequences take a random frame of each segment, and
    shuffled ones an order that it draws. Without one, all that is random follows from the seed
    and the clip's length, which a new video has too.
    """
    if config.sequence == "ragged":
        if config.frame_order == "forward":
            return None
        frames = np.arange(num_frames)
    elif rng is not None and config.jitter and config.sampling == "segments":
        frames = sampling.sample_segment_jitter(num_frames, config.seq_len, rng=rng)
    else:
        frames = sampling.SAMPLERS[config.sampling](num_frames, config.seq_len)
    if config.frame_order == "reversed":
        return frames[::-1]
    if config.frame_order == "shuffled":
        rng = np.random.default_rng([config.seed, num_frames]) if rng is None else rng
        return rng.permutation(frames)
    return frames


def sample_windows(
    num_frames: int, config: TrainConfig, *, num_windows: int
) -> list[np.ndarray | None]:
    """Chooses the frames of a clip's windows as evaluation takes them, see `sample_frames`."""
    if num_windows == 1:
        return [sample_frames(num_frames, config, rng=None)]
    starts, window_len = sampling.place_windows(num_frames, num_windows)
    frames = sample_frames(window_len, config, rng=None)
    if frames is None:
        frames = np.arange(window_len)
    return [start + frames for start in starts]


def pad_clips(clips: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Right-pads clips with zeros to the longest.

    Args:
        clips: b arrays [T_i, ...] float16.

    Returns:
        [b, max T_i, ...] float16 and the mask [b, max T_i] bool, true for a clip's own frames.
    """
    lengths = np.array([len(clip) for clip in clips])
    mask = np.arange(lengths.max()) < lengths[:, None]
    if mask.all():
        return np.stack(clips), mask
    padded = np.zeros((*mask.shape, *clips[0].shape[1:]), np.float16)
    for row, clip in zip(padded, clips, strict=True):
        row[: len(clip)] = clip
    return padded, mask
