"""The run: a folder with a trained model and all that is needed to use it on a new video.

model.keras        top and head, from feature maps to logits
config.json        the settings it was trained with
flags.txt          the same as flags: pass it with --flagfile
classes.txt        a class name a line; the line number is the class id
classes.sha256     a digest of classes.txt, which tells whether it was changed since
contract.json      what its features are made of
sources.sha256     a digest of the sources of its train and val clips, and with --labels=frame one
                   of its test clips
manifest.csv       its clips and their splits
frame_labels.csv   with --labels=frame, the label of every frame of these clips
versions.json      the packages it was trained with
history.csv        a row for each epoch; of a fine-tuned run, both phases
logs/              the same for TensorBoard
head/              of a fine-tuned run, the run of its first phase: the head on frozen features
checkpoints/       what training needs to go on after a kill
metrics.json       the score on the test clips (metrics_val.json: on another split, as where there
                   are none; metrics_windows4.json: evaluated in another way than training ends
                   with), and a digest, by which changes by hand are seen
predictions.csv    a row for each of these clips, with --labels=frame for each of their frames
                   (named alike)
report.html        what `train_head.report` makes of it all, to look at
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path

from lrcn.common.cache.contract import Contract
from lrcn.common.clips.clip import Clip
from lrcn.common.clips.clip_folder import is_cache_or_run
from lrcn.common.clips.manifest import read_class_names, read_manifest, write_class_names
from lrcn.common.files.atomic_file import write_text
from lrcn.common.files.csv_table import read_utf8
from lrcn.common.files.escaped_text import escape_surrogates
from lrcn.common.files.unreadable import check_is_file


class RunDir:
    """The files of a run, by name."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.model_path = self.path / "model.keras"
        self.config_path = self.path / "config.json"
        self.flags_path = self.path / "flags.txt"
        self.classes_path = self.path / "classes.txt"
        self.classes_digest_path = self.path / "classes.sha256"
        self.contract_path = self.path / "contract.json"
        self.sources_path = self.path / "sources.sha256"
        self.manifest_path = self.path / "manifest.csv"
        self.frame_labels_path = self.path / "frame_labels.csv"
        self.versions_path = self.path / "versions.json"
        self.history_path = self.path / "history.csv"
        self.logs_path = self.path / "logs"
        self.checkpoints_path = self.path / "checkpoints"
        self.report_path = self.path / "report.html"
        self.head_path = self.path / "head"

    def metrics_path(
        self, split: str, *, num_windows: int = 1, first_view_only: bool = False
    ) -> Path:
        """Where a score lies; the plain one of the test clips has the plain name."""
        return self.path / f"metrics{_suffix(split, num_windows, first_view_only)}.json"

    def predictions_path(
        self, split: str, *, num_windows: int = 1, first_view_only: bool = False
    ) -> Path:
        """Where the predictions behind a score lie."""
        return self.path / f"predictions{_suffix(split, num_windows, first_view_only)}.csv"

    def remove_scores(self) -> None:
        """Removes what an earlier model of the run was scored with, and the report of it."""
        for pattern in ("metrics*.json", "predictions*.csv", self.report_path.name):
            for path in self.path.glob(pattern):
                path.unlink()

    def check_trained(self) -> None:
        """Checks that there is a model.

        Raises:
            FileNotFoundError: If there is none, or training has not ended.
        """
        if self.model_path.exists():
            self.check_has(self.config_path, self.contract_path)
            return
        if self.config_path.exists():
            raise FileNotFoundError(
                f"{self.path}: training has not ended, there is no model.keras yet. Run the same "
                "training command again; it goes on from its last checkpoint."
            )
        within = sorted(path.parent for path in self.path.glob(f"*/{self.model_path.name}"))
        raise FileNotFoundError(
            f"{self.path}: there is no run here. Expected the --run_dir of a "
            "`python -m train_head` command that has ended"
            + (f", such as {within[0]} in this folder." if within else ".")
        )

    def check_has(self, *needed: Path) -> None:
        """Checks that files of the run are there, and the two that every use of it reads.

        Raises:
            FileNotFoundError: If not.
            ValueError: If anything in the folder is a pipe, which would keep its reader waiting.
        """
        needed = (*needed, self.classes_path, self.manifest_path)
        missing = [path.name for path in needed if not path.exists()]
        if missing:
            raise FileNotFoundError(
                f"{self.path}: {', '.join(missing)} of the run missing, without which it cannot be "
                f"used. {_REMEDY}."
            )
        for path in sorted(self.path.iterdir()):
            if path.exists():  # no link to nothing
                check_is_file(path, path.stat().st_mode)

    def read_contract(self) -> Contract:
        """Reads what the run's features are made of."""
        return Contract.from_json(read_json(self.contract_path), where=str(self.contract_path))

    def read_class_names(self) -> list[str]:
        """Reads its class names, in the order by which the model knows them.

        Raises:
            ValueError: If the file was changed since the training, or is damaged.
        """
        names = read_class_names(self.classes_path)
        digest_path = self.classes_digest_path  # not of an earlier version
        if digest_path.exists() and read_utf8(digest_path).strip() != _digest_names(names):
            raise ValueError(
                f"{self.classes_path}: expected the class names that the run was trained with, in "
                f"their order. Received: others, by {digest_path.name}. The model knows a class by "
                "its line: undo what was changed, or copy the run again. Where a line has a new "
                f"name for the same class, delete {digest_path}."
            )
        return names

    def write_class_names(self, names: Sequence[str]) -> None:
        """Writes its class names, and what tells that they are these. Errors as the function's."""
        write_class_names(self.classes_path, names)
        write_text(self.classes_digest_path, f"{_digest_names(names)}\n")

    def read_clips(self) -> list[Clip]:
        """Reads its clips and their splits. Raises ValueError if the file is damaged."""
        try:
            clips = read_manifest(self.manifest_path)
            for clip in clips:
                if not clip.split:
                    raise ValueError(
                        f"{self.manifest_path}: expected a split for every clip. Received: "
                        f"{clip.clip_id!r} without. Give it train, val or test."
                    )
            return clips
        except ValueError as error:
            # The error's own remedy is for who wrote the table, which here was the training.
            raise ValueError(f"{error} Where nobody changed it: {_REMEDY.lower()}.") from error


def _digest_names(names: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(names).encode()).hexdigest()


def _suffix(split: str, num_windows: int, first_view_only: bool) -> str:
    # A score that was made in another way never takes the place of the plain one.
    of_split = "" if split == "test" else f"_{split}"
    of_windows = "" if num_windows == 1 else f"_windows{num_windows}"
    return of_split + of_windows + ("_first_view" if first_view_only else "")


def check_output_dir(path: str) -> Path:
    """Returns the folder that `--output_dir` names, which need not be there yet.

    Raises:
        ValueError: If it is a cache or a run, which has files of its own.
    """
    if is_cache_or_run(Path(path)):
        raise ValueError(
            f"{path}: expected --output_dir to be a folder for results. Received: a cache or a "
            "run, which has files of its own. Name another."
        )
    return Path(path)


# Training goes on in a folder that has settings, so it would not mend these.
_REMEDY = "Copy the run again, or delete its folder and train it again"


def read_json(path: Path, *, remedy: str = _REMEDY) -> dict:
    """Reads a JSON file; `remedy` is what to do where it is there and was changed by hand.

    Returns:
        The object that it holds. A missing key, also of an object within, raises ValueError when
        it is looked up.

    Raises:
        FileNotFoundError: If it is missing.
        ValueError: If it is not JSON, or no object. Also as `read_utf8`.
    """

    class Part(dict):
        def __missing__(self, key):
            raise ValueError(
                f"{path}: expected the key {key!r}. Received: {', '.join(self)}. {remedy}."
            )

    try:
        text = read_utf8(path)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: missing. {_REMEDY}.") from None
    try:
        content = json.loads(text, object_hook=Part)
    except (ValueError, RecursionError) as error:  # the latter of what is nested deep
        raise ValueError(f"{path}: not valid JSON ({error}). {remedy}.") from error
    if not isinstance(content, Part):
        raise ValueError(
            f"{path}: expected a JSON object. Received: {type(content).__name__}. {remedy}."
        )
    return content


def write_json(path: Path, content) -> None:
    """Writes what `format_json` makes; the file appears whole or not at all."""
    write_text(path, format_json(content))


def format_json(content) -> str:
    """Renders a dictionary or a dataclass as the text of a file."""
    if dataclasses.is_dataclass(content):
        content = dataclasses.asdict(content)
    text = json.dumps(content, indent=2, ensure_ascii=False)
    # A list of numbers is a line, so that a matrix can be read. No string has a line break.
    text = re.sub(r'\[\n[^][{}"]*\]', lambda found: json.dumps(json.loads(found[0])), text)
    return escape_surrogates(text) + "\n"
