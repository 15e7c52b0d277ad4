"""Names the class of new videos, or of their frames: pixels -> bottom -> head, as in training."""

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from lrcn.common import backbone
from lrcn.common.clip_features import ClipClock, ClipFeatures
from lrcn.common.contract import Contract
from lrcn.common.decode import Frame, UnreadableClipError, count_frames, iter_frames
from lrcn.common.machine import count_cores, find_memory_bytes
from lrcn.common.manifest import read_class_names
from lrcn.common.run_dir import RunDir
from lrcn.common.views import VIEWS
from train_head.config import read_config
from train_head.frame_choice import check_windows, sample_windows
from train_head.frame_prediction import answer_all_frames
from train_head.layers import tf
from train_head.padding import pad_clips
from train_head.read_ahead import read_ahead
from train_head.run_model import check_model_version, load_model, read_model_version
from train_head.vgg16 import rebuild_vgg16

_BATCH_SIZE = 16
_QUEUED_BATCHES = 2
# Of each feature: what is kept of a window, what the head gets of all of them together, and that in
# float32 as it is, squared, as asinh and normalised.
_BYTES_AT_LEAST = 2 + 2 + 4 * 4
_GIB = 1 << 30


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The classes of one clip, or of its frames.

    Attributes:
        source: The video file or frame folder.
        probabilities: [K] float32, of a run with a label for every frame [T, K]; None if the clip
            could not be read.
        clock: When its T frames are, which are those that the run's cache would have. None if the
            clip could not be read.
        sequences: What the head saw: each view of each window, 0.8 MB where it is 16 frames of
            224 px, which whoever keeps many predictions keeps too. Empty if the clip could not be
            read.
        failure: Why it could not be read.
    """

    source: Path
    probabilities: np.ndarray | None = None
    # Hundreds of numbers a clip, which a shell or a notebook would show in place of the answer.
    clock: ClipClock | None = dataclasses.field(default=None, repr=False)
    sequences: Sequence[ClipFeatures] = dataclasses.field(default=(), repr=False)
    failure: str = ""


class Predictor:
    """A run made ready for new videos.

    Attributes:
        class_names: The K names.
        labels_frames: Whether every frame gets an answer, and not the clip.
        head: The Keras model from feature maps to logits.
    """

    def __init__(self, run: RunDir, *, weights: str | None = None, num_windows: int = 1):
        """Loads the run and rebuilds the bottom that its features came from.

        Args:
            run: A trained run.
            weights: Where VGG16's weights are now, None for where the contract found them.
            num_windows: Spans of each clip whose probabilities are averaged, as in evaluation.

        Raises:
            FileNotFoundError: If the run or the weights are missing.
            ValueError: If the weights are not those of the contract, the run was trained on
                imported features, or no window is asked for, or several of a head that labels
                every frame.
            MemoryError: If a clip's windows take more memory than there is.
            RuntimeError: If the run is replaced while it is read.
            TypeError: If the run is a path.
        """
        if not isinstance(run, RunDir):
            raise TypeError(f"Expected a RunDir. Received: {run!r}. Write RunDir({run!r}).")
        model_version = read_model_version(run)
        run.check_trained()
        self._num_windows = num_windows
        self.class_names = read_class_names(run.classes_path)
        self._config = read_config(run)
        check_windows(self._config, num_windows)
        self.labels_frames = self._config.labels == "frame"
        self._contract = run.read_contract()
        self._selection = self._contract.selection
        self._views = VIEWS[self._contract.views]
        self._check_memory()
        self._frames_per_batch = self._views.find_frames_per_batch(_BATCH_SIZE)
        self._bottom = _build_bottom(
            self._contract,
            weights,
            run=run,
            max_batch_size=self._frames_per_batch * self._views.num_views,
        )
        self.head = load_model(run)
        check_model_version(run, model_version)

    def _check_memory(self) -> None:
        """Checks that all windows of a clip, which go through the head together, may fit."""
        seq_len = self._config.seq_len if self._config.sequence == "fixed" else 1
        num_frames = self._num_windows * seq_len * self._views.num_views
        frame_bytes = _BYTES_AT_LEAST * math.prod(self._contract.feature_shape)
        taken_bytes, memory_bytes = num_frames * frame_bytes, find_memory_bytes()
        if taken_bytes > memory_bytes:
            raise MemoryError(
                f"{num_frames} frames of a clip's windows take {taken_bytes / _GIB:.0f} GiB, of "
                f"{memory_bytes / _GIB:.0f} that there are: --windows={self._num_windows}"
            )

    def predict_clips(self, sources: Iterable[Path]) -> Iterator[Prediction]:
        """Yields a prediction for each source, in order; an unreadable one does not end it.

        Raises:
            TypeError: If it is one path and not a list, whose letters would be taken for files.
        """
        if isinstance(sources, str | Path):
            raise TypeError(f"Expected a list of paths. Received: {sources!r}. Put it in brackets.")
        sources = list(sources)  # an iterator such as `glob` gives each but once
        reading = read_ahead(
            sources, self._read_batches, num_sources=count_cores() + 1, num_items=_QUEUED_BATCHES
        )
        with contextlib.closing(reading):
            for source, batches in zip(sources, reading, strict=True):
                try:
                    sequences, clock = self._extract(source, batches)
                except UnreadableClipError as error:
                    yield Prediction(source, failure=str(error))
                else:
                    probabilities = self._classify(sequences, num_frames=len(clock.frame_index))
                    yield Prediction(source, probabilities, clock, sequences)

    def _read_batches(self, source: Path, on_decoded: Callable[[], None]) -> Iterator[list[Frame]]:
        """Yields a clip's frames; of each batch, as many as the bottom takes have pixels."""
        chosen = None
        if self._config.sequence == "fixed":
            # Counting decodes the clip once more, which costs little beside VGG16.
            num_frames = count_frames(source, selection=self._selection, on_decoded=on_decoded)
            chosen = set(np.concatenate(self._sample_windows(num_frames)).tolist())
        frames = iter_frames(
            source,
            image_size=self._views.find_resized_px(self._contract.image_size_px),
            selection=self._selection,
            # Damage shows where a video is decoded, but of an image only where it is opened.
            positions=None if Path(source).is_dir() else chosen,
            on_decoded=on_decoded,
        )
        batch, num_pixels = [], 0
        for position, frame in enumerate(frames):
            is_chosen = chosen is None or position in chosen
            batch.append(frame if is_chosen else frame._replace(pixels=None))
            num_pixels += is_chosen
            if num_pixels == self._frames_per_batch:
                yield batch
                batch, num_pixels = [], 0
        if chosen is not None and position + 1 != num_frames:
            raise UnreadableClipError(
                f"{source}: expected the {num_frames} frames that were counted, received "
                f"{position + 1}. It has changed meanwhile. Name it again once it is whole."
            )
        yield batch

    def _extract(
        self, source: Path, batches: Iterable[list[Frame]]
    ) -> tuple[list[ClipFeatures], ClipClock]:
        """Computes the features of each window's frames, in each view; and all frames' clock."""
        frames, maps = [], []
        for batch in batches:
            pixels = [frame.pixels for frame in batch if frame.pixels is not None]
            if pixels:
                maps.append(self._forward(pixels, source))
            frames += [(x.index, x.timestamp_sec, x.pixels is not None) for x in batch]
        maps = np.concatenate(maps)
        index, timestamp_sec, is_chosen = map(np.array, zip(*frames, strict=True))
        clock = ClipClock(index, timestamp_sec)
        positions = np.flatnonzero(is_chosen)
        views = [
            ClipFeatures(maps[:, view], *(values[positions] for values in clock))
            for view in range(self._views.num_views)
        ]
        sequences = [
            features if x is None else features.take(np.searchsorted(positions, x))
            for x in self._sample_windows(len(index))
            for features in views
        ]
        return sequences, clock

    def _classify(self, sequences: list[ClipFeatures], *, num_frames: int) -> np.ndarray:
        """Returns the probabilities of the clip, or of each of its frames."""
        inputs, mask = pad_clips([sequence.feature_maps for sequence in sequences])
        if self._config.sequence == "ragged":
            inputs = {"feature_maps": inputs, "frame_mask": mask}
        probabilities = tf.nn.softmax(self.head(inputs, training=False)).numpy().mean(axis=0)
        if self.labels_frames:
            probabilities = answer_all_frames(probabilities, num_frames, self._config)
        return probabilities

    def _sample_windows(self, num_frames: int) -> list[np.ndarray | None]:
        return sample_windows(num_frames, self._config, num_windows=self._num_windows)

    def _forward(self, frames: list[np.ndarray], source: Path) -> np.ndarray:
        image_size, num_views = self._contract.image_size_px, self._views.num_views
        rows = np.stack([x for pixels in frames for x in self._views.cut(pixels, image_size)])
        maps = self._bottom(rows)
        if not np.isfinite(maps).all():
            raise UnreadableClipError(
                f"{source}: a feature is not finite in float16 (largest number: 65504), so the "
                "clip has no class. Expected finite features; check the weights."
            )
        return maps.reshape(-1, num_views, *self._contract.feature_shape)


def _build_bottom(contract: Contract, weights: str | None, *, run: RunDir, max_batch_size: int):
    if contract.is_imported:
        raise ValueError(
            f"{run.contract_path}: the run was trained on features imported from "
            f"{contract.weights}, and how to compute those from pixels is not known here. Name new "
            "clips by their features (README.md, Features of another tool), or train on a cache of "
            "extract_features."
        )
    vgg16 = rebuild_vgg16(contract, weights, where=run.contract_path)
    bottom = backbone.build_bottom(vgg16, contract.cut)
    return backbone.make_padded_forward(bottom, max_batch_size=max_batch_size)
