"""What a head says of clips that are read in several rows, and of frames that it did not read."""

from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path

import numpy as np

from lrcn.common.pixels.sampling import find_nearest
from lrcn.common.programs.progress import Progress
from lrcn.common.programs.tensorflow_start import import_tensorflow
from train_head.batches.clip_reader import ClipReader, raise_read_errors
from train_head.batches.frame_choice import sample_frames
from train_head.batches.input_pipeline import make_eval_dataset
from train_head.labels.frame_labels import FrameLabels
from train_head.run.config import TrainConfig
from train_head.scores.frame_prediction_file import FramePredictions

tf = import_tensorflow()


def predict_frames(
    model, reader: ClipReader, labels: FrameLabels, config: TrainConfig, *, num_views: int
) -> FramePredictions:
    """Predicts every frame of the reader's clips once.

    Args:
        model: From feature maps to logits of every frame.
        reader: The clips.
        labels: Of the reader's clips.
        config: How the run reads clips.
        num_views: Views whose probabilities are averaged.
    """
    class_ids = list(labels.class_ids.values())
    dataset = make_eval_dataset(reader, class_ids, config, num_views=num_views)
    probabilities = average_rows(
        model,
        dataset,
        reader,
        num_rows=num_views,
        answer=lambda row, num_frames: answer_all_frames(row, num_frames, config),
    )
    return FramePredictions(
        reader.clip_ids, labels.class_names, list(labels.clocks.values()), class_ids, probabilities
    )


def answer_all_frames(rows: np.ndarray, num_frames: int, config: TrainConfig) -> np.ndarray:
    """Gives every frame of a clip the answer of the nearest frame that the head read.

    Args:
        rows: [>= t, K], the answers to the t frames in the order in which the head read them, then
            to padding.
        num_frames: Frames n of the clip.
        config: How the run reads clips.

    Returns:
        [n, K], in the order of the clip.
    """
    read = sample_frames(num_frames, config, rng=None)
    return rows[:num_frames] if read is None else rows[find_nearest(read, num_frames)]


def average_rows(
    model,
    dataset,
    reader: ClipReader,
    *,
    num_rows: int,
    answer: Callable[[np.ndarray, int], np.ndarray] = lambda row, _: row,
) -> list[np.ndarray]:
    """Returns the mean of the probabilities in the rows of each clip.

    Args:
        model: From inputs to logits.
        dataset: Batches of (inputs, targets), which hold the rows of all clips in order.
        reader: What reads the dataset's clips.
        num_rows: How many rows a clip has, one for each view of each window.
        answer: From a row, [K] float32 or of a model that labels every frame [T, K] with padding,
            and the clip's number of frames to what is averaged.
    """
    forward = trace_head(model)
    means = []
    # Clip by clip: the rows of all are many times what is kept.
    with raise_read_errors(reader), Progress(len(reader), "clip", part="evaluation") as progress:
        rows = (row for inputs, *_ in dataset for row in forward(inputs).numpy())
        for num_frames in progress.track(reader.num_frames.tolist()):
            answers = [answer(row, num_frames) for row in islice(rows, num_rows)]
            means.append(np.mean(answers, axis=0))
    return means


def trace_head(model) -> Callable:
    """Makes a function from a batch of a model's inputs to probabilities.

    It is traced at its first batch, as without that an RNN takes its steps in Python: the head
    then takes ten times as long for a clip.
    """

    # Ragged batches differ in length; one trace serves them all.
    @tf.function(reduce_retracing=True, autograph=False)
    def forward(inputs):
        return tf.nn.softmax(model(inputs, training=False))

    return forward


def check_finite(probabilities: Iterable[np.ndarray], *, model_path: Path) -> None:
    """Checks what a head says of clips: of NaN, the first class would be taken for the answer.

    Raises:
        ValueError: If any is not finite.
    """
    if not all(np.isfinite(x).all() for x in probabilities):
        raise ValueError(
            f"{model_path}: expected finite probabilities. Received: NaN, as after a last step "
            "of training that broke the weights, where no val clip showed it. Train another run "
            "with a lower --learning_rate, or clip gradients with --clipnorm."
        )
