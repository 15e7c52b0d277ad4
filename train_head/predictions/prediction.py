"""Names the class of new clips, or of their frames: features -> head, as in training."""

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from lrcn.common.cache.clip_features import ClipClock, ClipFeatures
from lrcn.common.cache.run_dir import RunDir
from lrcn.common.files.unreadable import UnreadableClipError
from lrcn.common.programs.machine import count_cores
from train_head.batches.frame_choice import check_windows, sample_windows
from train_head.batches.padding import pad_clips
from train_head.batches.step_memory import check_new_clip
from train_head.head.run_model import (
    check_model_version,
    load_model,
    read_model_version,
    release_with_owner,
)
from train_head.predictions.new_features import NewFeatures
from train_head.predictions.new_videos import NewVideos
from train_head.predictions.read_ahead import read_ahead
from train_head.run.config import read_config
from train_head.scores.frame_prediction import answer_all_frames, check_finite, trace_head

_QUEUED_BATCHES = 2


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The classes of one clip, or of its frames.

    Attributes:
        source: The video file or frame folder, or what has the clip's features.
        probabilities: [K] float32, of a run with a label for every frame [T, K]; None if the clip
            could not be read.
        clock: When its T frames are, which are those that the run's cache would have. None if the
            clip could not be read.
        sequences: What the head saw: each view of each window. Of 16 frames of 224 px that is
            0.8 MB, which stays in memory for as long as the prediction does. Empty if the clip
            could not be read.
        failure: Why it could not be read.
    """

    source: Path
    probabilities: np.ndarray | None = None
    # Hundreds of numbers a clip, which a shell or a notebook would show in place of the answer.
    clock: ClipClock | None = dataclasses.field(default=None, repr=False)
    sequences: Sequence[ClipFeatures] = dataclasses.field(default=(), repr=False)
    failure: str = ""


class Predictor:
    """A run made ready for new clips: videos and frame folders or, of a run that was trained on
    imported features, features of the same tool (see `new_features.locate_features`).

    Attributes:
        class_names: The K names.
        labels_frames: Whether every frame gets an answer, and not the clip.
        head: The Keras model from feature maps to logits.
    """

    def __init__(self, run: RunDir, *, weights: str | None = None, num_windows: int = 1):
        """Loads the run and rebuilds the bottom that its features came from.

        Args:
            run: A trained run.
            weights: Where VGG16's weights are now, None for where the contract found them. Imported
                features need none.
            num_windows: Spans of each clip whose probabilities are averaged, as in evaluation.

        Raises:
            FileNotFoundError: If the run or the weights are missing.
            ValueError: If the weights are not those of the contract, or no window is asked for, or
                several of a head that labels every frame.
            MemoryError: If a clip's windows take more memory than there is.
            RuntimeError: If the run is replaced while it is read.
            TypeError: If the run is a path.
        """
        if not isinstance(run, RunDir):
            raise TypeError(f"Expected a RunDir. Received: {run!r}. Write RunDir({run!r}).")
        model_version = read_model_version(run)
        run.check_trained()
        self._model_path = run.model_path
        self._num_windows = num_windows
        self.class_names = run.read_class_names()
        self._config = read_config(run)
        check_windows(self._config, num_windows)
        self.labels_frames = self._config.labels == "frame"
        contract = run.read_contract()
        check_new_clip(self._config, contract, num_windows=num_windows)
        choose = self._choose_frames if self._config.sequence == "fixed" else None
        if contract.is_imported:
            self._clips = NewFeatures(contract, choose=choose)
        else:
            self._clips = NewVideos(run, weights=weights, choose=choose)
        self.head = load_model(run)
        release_with_owner(self.head.variables)
        self._forward = trace_head(self.head)
        check_model_version(run, model_version)

    def predict_clips(self, sources: Iterable[Path]) -> Iterator[Prediction]:
        """Yields a prediction for each source, in order; an unreadable one does not end it.

        Raises:
            ValueError: If an answer is NaN.
            TypeError: If it is one path and not a list, whose letters would be taken for files.
        """
        if isinstance(sources, str | Path):
            raise TypeError(f"Expected a list of paths. Received: {sources!r}. Put it in brackets.")
        sources = list(sources)  # an iterator such as `glob` gives each but once
        reading = read_ahead(
            sources,
            self._clips.read_batches,
            num_sources=count_cores() + 1,
            num_items=_QUEUED_BATCHES,
        )
        with contextlib.closing(reading):
            for source, batches in zip(sources, reading, strict=True):
                try:
                    maps, positions, clock = self._clips.extract(source, batches)
                except UnreadableClipError as error:
                    yield Prediction(source, failure=str(error))
                else:
                    sequences = self._cut_sequences(maps, positions, clock)
                    probabilities = self._classify(sequences, num_frames=len(clock.frame_index))
                    yield Prediction(source, probabilities, clock, sequences)

    def _cut_sequences(
        self, maps: np.ndarray, positions: np.ndarray, clock: ClipClock
    ) -> list[ClipFeatures]:
        """Returns what the head reads of the features of n frames, [n, V, ...], at these positions:
        each view of each window.
        """
        views = [
            ClipFeatures(maps[:, view], *(values[positions] for values in clock))
            for view in range(maps.shape[1])
        ]
        return [
            features if x is None else features.take(np.searchsorted(positions, x))
            for x in self._sample_windows(len(clock.frame_index))
            for features in views
        ]

    def _classify(self, sequences: list[ClipFeatures], *, num_frames: int) -> np.ndarray:
        """Returns the probabilities of the clip, or of each of its frames."""
        inputs, mask = pad_clips([sequence.feature_maps for sequence in sequences])
        if self._config.sequence == "ragged":
            inputs = {"feature_maps": inputs, "frame_mask": mask}
        probabilities = self._forward(inputs).numpy().mean(axis=0)
        if self.labels_frames:
            probabilities = answer_all_frames(probabilities, num_frames, self._config)
        check_finite([probabilities], model_path=self._model_path)
        return probabilities

    def _sample_windows(self, num_frames: int) -> list[np.ndarray | None]:
        return sample_windows(num_frames, self._config, num_windows=self._num_windows)

    def _choose_frames(self, num_frames: int) -> set[int]:
        return set(np.concatenate(self._sample_windows(num_frames)).tolist())
