"""Names the classes of new videos or frame folders, given as plain arguments.

Of a run that was trained on imported features, the arguments are new clips' features: .npy files,
folders of them, and HDF5 files with a dataset for each clip. Of a run with --labels=frame it names
the class of every frame.
"""

from pathlib import Path

from absl import flags, logging

from lrcn.common.files.escaped_text import escape_control
from lrcn.common.programs.program import check_output, run_program
from lrcn.common.programs.wording import name_count, name_some, pad_names

_RUN_DIR = flags.DEFINE_string("run_dir", None, "Folder of a trained run.", required=True)
_WEIGHTS = flags.DEFINE_string(
    "weights",
    None,
    "VGG16's weights, where they have moved since extraction: imagenet, random or a file. Other "
    "weights than the run's are refused. Imported features need none.",
)
_OUTPUT = flags.DEFINE_string(
    "output",
    None,
    "CSV file to write, with every class's probability for each clip, or of a run with "
    "--labels=frame for each frame. Rows appear as clips are done, so after a stop it has those "
    "before. One that exists is refused.",
)
_WINDOWS = flags.DEFINE_integer(
    "windows",
    1,
    "Spans of each clip, evenly spaced and equally long, whose probabilities are averaged, as in "
    "train_head.evaluate. 1 takes the whole clip once.",
    lower_bound=1,
    upper_bound=10**6,  # of more, the lists alone take gigabytes
)
_EXPLAIN = flags.DEFINE_string(
    "explain",
    None,
    "Folder in which a CSV file and a picture, named after each clip, tell how much each frame "
    "moved the decision, in nats, and the probabilities after it. Pictures show the frames, except "
    "those of imported features. Existing files are refused. Not with --windows.",
)
_TOP = flags.DEFINE_integer(
    "top",
    3,
    "Classes to print for each clip. Of a run with --labels=frame the segments of a clip are "
    "printed, with one class each.",
    lower_bound=1,
)


def _check_command(arguments: list[str]) -> None:
    if not arguments:
        raise ValueError(
            "Expected videos or frame folders as arguments, or features where the run was trained "
            "on imported ones. Received: none. Example: "
            "python -m train_head.predict --run_dir=R clip.mp4 folder/"
        )
    if _OUTPUT.value is not None:
        check_output(_OUTPUT.value)
    if _EXPLAIN.value is not None and _WINDOWS.value != 1:
        raise ValueError(
            f"Expected --windows=1 with --explain, since each window is a decision of its own. "
            f"Received: --windows={_WINDOWS.value}. Leave one of the two out."
        )


def _start_explaining(predictor, contract, sources: list[Path]):
    """Returns a function from a prediction, and its number, to whether it could be explained."""
    from lrcn.common.pixels.views import VIEWS
    from train_head.predictions.explanation import Explainer
    from train_head.predictions.explanation_files import ExplanationFolder

    explainer = Explainer(predictor.head)
    views = None if contract.is_imported else VIEWS[contract.views]
    folder = ExplanationFolder(Path(_EXPLAIN.value), sources, views=views)

    def explain(number: int, prediction) -> bool:
        explanation = explainer.explain(prediction.sequences)
        return folder.write(number, explanation, class_names=predictor.class_names)

    return explain


def main(arguments: list[str]) -> int:
    _check_command(arguments)

    from lrcn.common.cache.run_dir import RunDir
    from train_head.predictions.prediction import Predictor
    from train_head.predictions.prediction_output import format_prediction, open_prediction_csv
    from train_head.predictions.prediction_sources import find_sources

    run = RunDir(_RUN_DIR.value)
    run.check_trained()
    contract = run.read_contract()
    sources = find_sources(arguments, are_features=contract.is_imported)
    if _EXPLAIN.value is not None:
        from train_head.predictions.explanation import check_explainable

        check_explainable(run)
    predictor = Predictor(run, weights=_WEIGHTS.value, num_windows=_WINDOWS.value)
    names = pad_names([*map(str, sources)])
    open_csv = open_prediction_csv(
        _OUTPUT.value, predictor.class_names, labels_frames=predictor.labels_frames
    )
    with open_csv as write_rows:
        explain = None
        if _EXPLAIN.value is not None:
            # Once all is well, and --output is there, which may be one of the files.
            explain = _start_explaining(predictor, contract, sources)
        unreadable, has_failed, longest = [], False, 0
        for number, prediction in enumerate(predictor.predict_clips(sources)):
            write_rows(prediction)
            if prediction.probabilities is None:
                unreadable.append(escape_control(str(prediction.source)))
                logging.error("%s", prediction.failure)
                continue
            longest = max(longest, len(prediction.clock.frame_index))
            for shown in format_prediction(prediction, predictor.class_names, top=_TOP.value):
                print(f"{names[number]}   {shown}", flush=True)
            if explain is not None:
                has_failed |= not explain(number, prediction)
    if _OUTPUT.value is not None:
        logging.info("Written: %s", _OUTPUT.value)
    if 0 < longest < _WINDOWS.value:  # known at the end alone, as each clip is read but once
        logging.warning(
            "The longest clip has %s, and more windows repeat these: train_head.evaluate "
            "would refuse --windows=%d. Lower it",
            name_count(longest, "frame"),
            _WINDOWS.value,
        )
    if unreadable:  # told above, from where hundreds of others may have driven it
        logging.error(
            "Clips without an answer, as they cannot be read: %s of %s: %s",
            f"{len(unreadable):,}",
            f"{len(sources):,}",
            name_some(unreadable),
        )
    return 1 if unreadable or has_failed else 0


if __name__ == "__main__":
    run_program(main, takes_arguments=True)
