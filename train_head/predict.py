"""Names the classes of new videos or frame folders, given as plain arguments."""

import csv
from pathlib import Path

from absl import flags, logging

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
_TOP = flags.DEFINE_integer("top", 3, "Classes to print for each clip.", lower_bound=1)


def main(arguments: list[str]) -> int:
    if not arguments:
        raise ValueError(
            "Expected videos or frame folders as arguments. Received: none. Example: "
            "python -m train_head.predict --run_dir=R clip.mp4 folder/"
        )
    if _OUTPUT.value is not None and Path(_OUTPUT.value).exists():
        raise ValueError(f"{_OUTPUT.value}: exists already. Name another --output, or remove it.")

    from lrcn.common.run_dir import RunDir
    from train_head.prediction import Predictor, find_sources

    sources = find_sources(arguments)
    predictor = Predictor(RunDir(_RUN_DIR.value), weights=_WEIGHTS.value)
    width = max(len(str(source)) for source in sources)
    rows, failed = [], 0
    for prediction in predictor.predict_clips(sources):
        if prediction.probabilities is None:
            failed += 1
            logging.error("%s", prediction.failure)
            continue
        probabilities = prediction.probabilities
        best = probabilities.argsort()[::-1][: _TOP.value]
        shown = "   ".join(f"{predictor.class_names[k]} {probabilities[k]:.3f}" for k in best)
        print(f"{prediction.source!s:{width}}   {shown}", flush=True)
        rows.append([prediction.source, predictor.class_names[best[0]], *probabilities.tolist()])
    if _OUTPUT.value is not None:
        _write_rows(Path(_OUTPUT.value), ["clip", "predicted", *predictor.class_names], rows)
    return 1 if failed else 0


def _write_rows(path: Path, header: list[str], rows: list[list]) -> None:
    from lrcn.common.atomic_file import replace_file

    with (
        replace_file(path) as temporary,
        open(temporary, "w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


if __name__ == "__main__":
    run_program(main)
