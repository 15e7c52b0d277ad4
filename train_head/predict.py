"""Names the classes of new videos or frame folders, given as plain arguments."""

import contextlib
import csv
from pathlib import Path

from absl import flags, logging

from lrcn.common.clip import escape_control
from lrcn.common.program import run_program

_RUN_DIR = flags.DEFINE_string("run_dir", None, "Folder of a trained run.", required=True)
_WEIGHTS = flags.DEFINE_string(
    "weights",
    None,
    "VGG16's weights, where they have moved since extraction: imagenet, random or a file. Other "
    "weights than the run's are refused.",
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "CSV file to write, with every class's probability for each clip."
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
_TOP = flags.DEFINE_integer("top", 3, "Classes to print for each clip.", lower_bound=1)


def main(arguments: list[str]) -> int:
    if not arguments:
        raise ValueError(
            "Expected videos or frame folders as arguments. Received: none. Example: "
            "python -m train_head.predict --run_dir=R clip.mp4 folder/"
        )
    if _OUTPUT.value is not None and Path(_OUTPUT.value).exists():
        raise ValueError(f"{_OUTPUT.value}: exists already. Name another --output, or remove it.")
    if _OUTPUT.value is not None and not Path(_OUTPUT.value).parent.is_dir():
        raise NotADirectoryError(
            f"{_OUTPUT.value}: expected --output in a folder that exists. "
            "Make the folder, or name another."
        )

    if _EXPLAIN.value is not None and _WINDOWS.value != 1:
        raise ValueError(
            f"Expected --windows=1 with --explain, since each window is a decision of its own. "
            f"Received: --windows={_WINDOWS.value}. Leave one of the two out."
        )

    from lrcn.common.run_dir import RunDir
    from train_head.prediction import Predictor, find_sources

    sources = find_sources(arguments)
    explanations = None
    if _EXPLAIN.value is not None:
        from train_head.explanation import Explainer
        from train_head.explanation_files import ExplanationFolder

        explanations = ExplanationFolder(Path(_EXPLAIN.value), sources)
    predictor = Predictor(
        RunDir(_RUN_DIR.value), weights=_WEIGHTS.value, num_windows=_WINDOWS.value
    )
    explainer = None if explanations is None else Explainer(predictor.head)
    names = [escape_control(str(source)) for source in sources]
    width = max(map(len, names))
    with _open_output(predictor.class_names) as write_row:
        failed = 0
        for number, prediction in enumerate(predictor.predict_clips(sources)):
            write_row(prediction)
            if prediction.probabilities is None:
                failed += 1
                logging.error("%s", prediction.failure)
                continue
            probabilities = prediction.probabilities
            best = probabilities.argsort()[::-1][: _TOP.value]
            shown = "   ".join(f"{predictor.class_names[k]} {probabilities[k]:.3f}" for k in best)
            print(f"{names[number]:{width}}   {shown}", flush=True)
            if explainer is not None:
                explanations.write(
                    number,
                    source=prediction.source,
                    explanation=explainer.explain(prediction.sequences[0]),
                    class_names=predictor.class_names,
                )
    return 1 if failed else 0


@contextlib.contextmanager
def _open_output(class_names: list[str]):
    """Yields a function that writes a prediction to `--output`, or does nothing without it.

    Rows appear as they are made, so a stop loses none. A clip that could not be read has a row
    without a class.
    """
    if _OUTPUT.value is None:
        yield lambda prediction: None
        return
    with open(
        _OUTPUT.value, "x", encoding="utf-8", errors="backslashreplace", newline="", buffering=1
    ) as file:
        writer = csv.writer(file)
        writer.writerow(["clip", "predicted", *class_names])

        def write_row(prediction) -> None:
            probabilities = prediction.probabilities
            if probabilities is None:
                writer.writerow([prediction.source, "", *[""] * len(class_names)])
            else:
                predicted = class_names[int(probabilities.argmax())]
                writer.writerow([prediction.source, predicted, *probabilities.tolist()])

        yield write_row


if __name__ == "__main__":
    run_program(main)
