"""Names the classes of new videos or frame folders, given as plain arguments.

Of a run with --labels=frame it names the class of every frame.
"""

import contextlib
import csv
from pathlib import Path

import numpy as np
from absl import flags, logging

from lrcn.common.clip import escape_control
from lrcn.common.program import check_output, run_program
from train_head.frame_labels import find_runs
from train_head.frame_prediction_file import format_clock
from train_head.prediction_file import format_probabilities

_RUN_DIR = flags.DEFINE_string("run_dir", None, "Folder of a trained run.", required=True)
_WEIGHTS = flags.DEFINE_string(
    "weights",
    None,
    "VGG16's weights, where they have moved since extraction: imagenet, random or a file. Other "
    "weights than the run's are refused.",
)
_OUTPUT = flags.DEFINE_string(
    "output",
    None,
    "CSV file to write, with every class's probability for each clip, or of a run with "
    "--labels=frame for each frame.",
)
_WINDOWS = flags.DEFINE_integer(
    "windows",
    1,
    "Spans of each clip, evenly spaced and equally long, whose probabilities are averaged, as in "
    "train_head.evaluate. 1 takes the whole clip once.",
    lower_bound=1,
)
_EXPLAIN = flags.DEFINE_string(
    "explain",
    None,
    "Folder to write for each clip how much each frame moved the decision and the probabilities "
    "after it: a CSV file and a picture named after the clip. Of several views it explains the "
    "first. Existing files are refused.",
)
_TOP = flags.DEFINE_integer(
    "top",
    3,
    "Classes to print for each clip. Of a run with --labels=frame the segments of a clip are "
    "printed, with one class each.",
    lower_bound=1,
)


def main(arguments: list[str]) -> int:
    if not arguments:
        raise ValueError(
            "Expected videos or frame folders as arguments. Received: none. Example: "
            "python -m train_head.predict --run_dir=R clip.mp4 folder/"
        )
    if _OUTPUT.value is not None:
        check_output(_OUTPUT.value)
    if _EXPLAIN.value is not None and _WINDOWS.value != 1:
        raise ValueError(
            f"Expected --windows=1 with --explain, since each window is a decision of its own. "
            f"Received: --windows={_WINDOWS.value}. Leave one of the two out."
        )

    from lrcn.common.run_dir import RunDir
    from train_head.prediction import Predictor
    from train_head.prediction_sources import find_sources

    run, sources = RunDir(_RUN_DIR.value), find_sources(arguments)
    if _EXPLAIN.value is not None:
        from train_head.explanation import Explainer, check_explainable
        from train_head.explanation_files import ExplanationFolder

        check_explainable(run)
    predictor = Predictor(run, weights=_WEIGHTS.value, num_windows=_WINDOWS.value)
    explainer = None
    if _EXPLAIN.value is not None:
        explainer = Explainer(predictor.head)
        explanations = ExplanationFolder(Path(_EXPLAIN.value), sources)  # made once all is well
    names = [escape_control(str(source)) for source in sources]
    width = max(map(len, names))
    with _open_output(predictor) as write_rows:
        failed = 0
        for number, prediction in enumerate(predictor.predict_clips(sources)):
            write_rows(prediction)
            if prediction.probabilities is None:
                failed += 1
                logging.error("%s", prediction.failure)
                continue
            show = _show_segments if predictor.labels_frames else _show_clip
            for shown in show(prediction, predictor.class_names):
                print(f"{names[number]:{width}}   {shown}", flush=True)
            if explainer is not None:
                explanations.write(
                    number,
                    source=prediction.source,
                    explanation=explainer.explain(prediction.sequences[0]),
                    class_names=predictor.class_names,
                )
    return 1 if failed else 0


def _show_clip(prediction, class_names: list[str]) -> list[str]:
    """Returns a line: the most probable classes and their probabilities."""
    probabilities = prediction.probabilities
    best = (-probabilities).argsort(kind="stable")[: _TOP.value]
    return ["   ".join(f"{class_names[k]} {probabilities[k]:.3f}" for k in best)]


def _show_segments(prediction, class_names: list[str]) -> list[str]:
    """Returns a line for each run of frames of one class: from where to where, class, and the mean
    of its probability. A segment reaches to the frame with which the next one begins.
    """
    frame_index, timestamp_sec = prediction.clock
    in_sec = bool(np.isfinite(timestamp_sec).all())
    if in_sec:
        # The last frame lasts as long as the others do on average.
        frame_sec = np.diff(timestamp_sec).mean() if len(timestamp_sec) > 1 else 0.0
        moments = [f"{x:.2f} s" for x in (*timestamp_sec, timestamp_sec[-1] + frame_sec)]
    else:
        moments = [f"frame {x}" for x in (*frame_index, frame_index[-1] + 1)]
    width = len(moments[-1])
    predicted = prediction.probabilities.argmax(axis=1)
    name_width = max(map(len, class_names))
    lines = []
    for start, end in find_runs(predicted):
        name = class_names[predicted[start]]
        mean = prediction.probabilities[start:end, predicted[start]].mean()
        span = f"{moments[start]:>{width}} to {moments[end]:>{width}}"
        lines.append(f"{span}   {name:{name_width}} {mean:.3f}")
    return lines


@contextlib.contextmanager
def _open_output(predictor):
    """Yields a function that writes a prediction to `--output`, or does nothing without it.

    Rows appear as they are made, so a stop loses none. A clip that could not be read has a row
    without a class.
    """
    if _OUTPUT.value is None:
        yield lambda prediction: None
        return
    class_names = predictor.class_names
    when = ["frame_index", "timestamp_sec"] if predictor.labels_frames else []
    with open(
        _OUTPUT.value, "x", encoding="utf-8", errors="backslashreplace", newline="", buffering=1
    ) as file:
        writer = csv.writer(file)
        writer.writerow(["clip", *when, "predicted", *class_names])

        def write_rows(prediction) -> None:
            if prediction.probabilities is None:
                writer.writerow([prediction.source, *[""] * (len(when) + 1 + len(class_names))])
                return
            moments, rows = [()], [prediction.probabilities]
            if predictor.labels_frames:
                moments, rows = format_clock(prediction.clock), prediction.probabilities
            for moment, row in zip(moments, rows, strict=True):
                predicted = class_names[int(row.argmax())]
                writer.writerow([prediction.source, *moment, predicted, *format_probabilities(row)])

        yield write_rows


if __name__ == "__main__":
    run_program(main, takes_arguments=True)
