"""What the report of a run shows, but for pictures: numbers, lists of clips, commands."""

import collections
import dataclasses
from pathlib import Path

import numpy as np
from absl import logging

from lrcn.common.cache.feature_cache import FeatureCache
from lrcn.common.cache.run_dir import RunDir, read_json
from lrcn.common.clips.clip import Clip
from lrcn.common.files.csv_table import read_utf8
from train_head.run.history import find_best_row, read_history
from train_head.run.provenance import describe_data
from train_head.run.reproduction import list_commands
from train_head.scores.held_out import read_scored_predictions

# Clips in each of the lists of the most wrong and of the least sure.
_NUM_LISTED = 12
# Clips shown frame by frame, at some 10 to 20 KB each, so that the page opens at once however many
# clips there are.
MAX_SHOWN = 120
# Pairs of near duplicates in their table.
_NUM_PAIRS = 20


@dataclasses.dataclass(frozen=True)
class ScoredClips:
    """The clips of the split that the report is about, and what the run predicts for them.

    Attributes:
        clips: The N clips.
        class_names: The K names.
        class_ids: [N] int, the true classes.
        probabilities: [N, K] float.
    """

    clips: list[Clip]
    class_names: list[str]
    class_ids: np.ndarray
    probabilities: np.ndarray

    @property
    def predicted_ids(self) -> np.ndarray:
        """[N] int, the classes predicted."""
        return self.probabilities.argmax(axis=1)

    def find_most_wrong(self) -> list[int]:
        """Numbers of wrongly named clips, the lowest probability of the true class first."""
        true = self.probabilities[np.arange(len(self.clips)), self.class_ids]
        order = np.argsort(true, kind="stable")
        wrong = self.predicted_ids != self.class_ids
        return [int(i) for i in order if wrong[i]][:_NUM_LISTED]

    def find_least_sure(self) -> list[int]:
        """Numbers of the clips whose two most probable classes are closest."""
        best = np.sort(self.probabilities, axis=1)[:, -2:]
        order = np.argsort(best[:, 1] - best[:, 0], kind="stable")
        return order[:_NUM_LISTED].tolist()

    def find_shown(self) -> list[int]:
        """Numbers of the clips to show frame by frame.

        After the most wrong and the least sure comes a clip of each pair of true and predicted
        class, confusions before what is right and the frequent before the rare, then a second of
        each, and so on.
        """
        cells = collections.defaultdict(list)
        pairs = zip(self.class_ids.tolist(), self.predicted_ids.tolist(), strict=True)
        for i, pair in enumerate(pairs):
            cells[pair].append(i)
        in_order = sorted(cells, key=lambda pair: (pair[0] == pair[1], -len(cells[pair]), pair))
        places = [
            (turn, rank, i)
            for rank, pair in enumerate(in_order)
            for turn, i in enumerate(cells[pair])
        ]
        examples = [i for _, _, i in sorted(places)]
        chosen = [*self.find_most_wrong(), *self.find_least_sure(), *examples]
        return list(dict.fromkeys(chosen))[:MAX_SHOWN]

    @property
    def chance(self) -> float:
        """The share of the most frequent class: the top-1 of who always says that one."""
        return float(np.bincount(self.class_ids).max() / len(self.class_ids))


def round_probabilities(values: np.ndarray) -> list:
    """Rounds to three decimals, but nothing else to 0 or 1, so that the page can say `< 0.1 %`."""
    low, high = np.where(values > 0, 1e-4, 0), np.where(values < 1, 1 - 1e-4, 1)
    return np.clip(np.round(values.astype(np.float64), 3), low, high).tolist()


def read_scored_clips(run: RunDir, cache: FeatureCache, *, split: str) -> ScoredClips:
    """Reads the clips of a split that was scored. Errors as `read_scored_predictions`."""
    predictions = read_scored_predictions(run, cache, split=split)
    return ScoredClips(
        clips=[clip for clip in run.read_clips() if clip.split == split],
        class_names=predictions.class_names,
        class_ids=predictions.class_ids,
        probabilities=predictions.probabilities,
    )


def summarize_training(run: RunDir) -> dict:
    """Returns the rows of `history.csv`, and the epoch that was kept."""
    rows = read_history(run.history_path)
    return {"rows": rows, "best_epoch": find_best_row(rows)["epoch"]}


def describe_run(run: RunDir, cache: FeatureCache) -> dict[str, str] | None:
    """Returns `describe_data` of what the run was trained on; None if clips are not cached now."""
    clips = run.read_clips()
    if all(cache.clip_path(clip.clip_id).exists() for clip in clips):
        return describe_data(cache, clips)
    return None


def read_compare(compare_dir: Path, wanted: dict[str, str] | None) -> dict | None:
    """Reads `compare.json`, which is left out, with a warning, if it is of other data than the run.

    Args:
        compare_dir: The folder with the file.
        wanted: From `describe_run`.

    Raises:
        FileNotFoundError: If there is none.
    """
    return _read_result(compare_dir / "compare.json", wanted, program="compare")


def read_audit(audit_dir: Path, wanted: dict[str, str] | None) -> dict | None:
    """Reads `audit.json` as `read_compare`, with the first pairs only."""
    audit = _read_result(audit_dir / "audit.json", wanted, program="audit")
    if audit is not None:
        audit["pairs"] = audit["pairs"][:_NUM_PAIRS]
    return audit


def _read_result(path: Path, wanted: dict[str, str] | None, *, program: str) -> dict | None:
    if not path.exists():
        raise FileNotFoundError(
            f"{path}: missing. Expected the folder that `python -m train_head.{program} "
            f"--output_dir=...` wrote as --{program}_dir."
        )
    result = read_json(path, remedy=f"Run train_head.{program} again")
    if wanted is not None and result.get("data") == wanted:
        return result
    reason = "is of other features, clips or splits than the run, or of an earlier version"
    remedy = f"Run train_head.{program} again on what the run was trained on"
    if wanted is None:
        reason = "may be of other data than the run, of which clips are not in the cache now"
        remedy = "Name the --cache_dir that the run was trained on, or finish its extraction"
    logging.warning("%s: %s, so the report leaves it out. %s.", path, reason, remedy)
    return None


def describe_origin(run: RunDir, cache: FeatureCache, scores: dict) -> dict:
    """Returns what it takes to make the run once more."""
    return {
        "commands": list_commands(run, cache),
        "flags": read_utf8(run.flags_path).splitlines(),
        "contract": cache.contract.to_json(),
        "data_root": cache.data_root,
        "versions": read_json(run.versions_path),
        "git_commit": scores["provenance"]["git_commit"],
    }
