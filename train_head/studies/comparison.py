"""Does the RNN earn its place? Heads that read the order of frames beside heads that cannot.

Every baseline is as strong as it is simple: pooled over time, then linear in the normalised
features, which on features of a trained network is hard to beat. The GRU on shuffled frames has
the GRU's size and training, and lacks the order alone.
"""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from absl import logging

from lrcn.common.cache.feature_cache import FeatureCache
from lrcn.common.cache.run_dir import RunDir
from lrcn.common.clips.clip import Clip
from lrcn.common.clips.group_leaks import find_group_leaks
from lrcn.common.programs.wording import name_duration
from train_head.run.config import TrainConfig
from train_head.run.provenance import describe_data
from train_head.run.run_clips import check_unchanged, forget_paths, read_run_clips
from train_head.run.training_data import TrainingData
from train_head.scores.confidence_intervals import is_one_group, measure_difference, number_groups
from train_head.scores.evaluation import evaluate_run
from train_head.scores.held_out import find_held_out, read_known_scores, read_scored_predictions
from train_head.studies.comparison_text import BASELINE, find_verdict
from train_head.training.run_start import check_run
from train_head.training.train import train_run

_LINEAR = {"rnn": "none", "fc_units": 0}
_LARGEST = "lstm"
# Training reads the same frame as scoring does.
_MIDDLE_FRAME = {
    "sequence": "fixed",
    "sampling": "segments",
    "seq_len": 1,
    "jitter": False,
    "min_span": 1.0,
    "drop_frames": 0.0,
}


@dataclasses.dataclass(frozen=True)
class ComparedModel:
    """A row of the comparison: the settings in which it differs from those that all share."""

    name: str
    title: str
    settings: Mapping[str, object]
    needs_positions: bool = False


MODELS = (
    ComparedModel(
        "middle_frame", "middle frame + linear", {**_LINEAR, **_MIDDLE_FRAME, "output": "mean_pool"}
    ),
    ComparedModel("mean_pool", "mean pool + linear", {**_LINEAR, "output": "mean_pool"}),
    ComparedModel("max_pool", "max pool + linear", {**_LINEAR, "output": "max_pool"}),
    ComparedModel(
        "attention_pool", "attention over frames + linear", {**_LINEAR, "output": "attention_pool"}
    ),
    ComparedModel("gru", "GRU", {"rnn": "gru"}),
    ComparedModel(_LARGEST, "LSTM", {"rnn": "lstm"}),
    ComparedModel(
        "gru_attention",
        "GRU, attention over positions",
        {"rnn": "gru", "frame_pooling": "attention"},
        needs_positions=True,
    ),
    ComparedModel("gru_reversed", "GRU, reversed frames", {"frame_order": "reversed"}),
    ComparedModel("gru_shuffled", "GRU, shuffled frames", {"frame_order": "shuffled"}),
)


def compare_models(
    config: TrainConfig,
    data: TrainingData,
    *,
    output_dir: Path,
    num_seeds: int,
    checkpoint_sec: float,
) -> dict:
    """Trains and scores every model with every seed, and compares them on the same clips.

    Each is an ordinary run in `output_dir/<name>/seed_<seed>`; those that have ended are read.

    Args:
        config: What all models share; its seed is the first one.
        data: What all models are trained on.
        output_dir: Where the runs go.
        num_seeds: How many seeds, at least 1.
        checkpoint_sec: Seconds between checkpoints.

    Returns:
        `split`, `leaking_groups` (how many are in several splits), `of_one_group` (whether all
        clips of the split are), `num_groups` (over which intervals are; None where they are over
        clips), `num_clips`, `seeds`, `models` ({name, title, top1 (one a seed),
        mean, std, difference}, where the difference to mean pool has mean, low and high, and is
        None for mean pool itself; std is None for a single seed), `verdict` and `data`, see
        `describe_data`. Scores are in [0, 1].

    Raises:
        FileNotFoundError: If clips are missing from the cache.
        RuntimeError: If a run is scored on other clips meanwhile, or as `train_run`.
        ValueError: If no clip is held out, or as `train_run`.
    """
    clips = read_run_clips(data)
    split = find_held_out(clips)
    if split is None:
        raise ValueError(
            f"{data.manifest_path}: expected clips of the split test, or at least of val, to "
            "compare on. Received: ['train']. Give some clips one of these, in a --manifest or at "
            "extraction."
        )
    if split == "val":
        logging.warning("No test clips: the scores are of the val clips that chose the epochs.")
    has_positions = len(data.cache.contract.feature_shape) > 1
    models = [model for model in MODELS if has_positions or not model.needs_positions]
    seeds = [config.seed + i for i in range(num_seeds)]
    # Seed by seed, so that the time of the runs that are done says that of those to come; first the
    # model that takes most memory, so that too little is told before others took hours.
    largest_first = sorted(models, key=lambda model: model.name != _LARGEST)
    configs = {
        (model.name, seed): dataclasses.replace(config, **model.settings, seed=seed)
        for seed in seeds
        for model in largest_first
    }
    runs = {(name, seed): RunDir(output_dir / name / f"seed_{seed}") for name, seed in configs}
    # A bad one is named before hours are spent on others.
    for key, run in runs.items():
        check_run(run, config=configs[key], data=data)
    _train_runs(runs, configs, data, clips, split=split, checkpoint_sec=checkpoint_sec)
    is_right = {
        model.name: np.stack(
            [
                read_scored_predictions(runs[model.name, x], data.cache, split=split).is_right
                for x in seeds
            ]
        )
        for model in models
    }
    groups = [clip.source_group for clip in clips if clip.split == split]
    group_ids = number_groups(groups)
    return {
        "split": split,
        "leaking_groups": len(find_group_leaks(clips)),
        "of_one_group": is_one_group(groups),
        "num_groups": None if group_ids is None else int(group_ids.max()) + 1,
        "num_clips": is_right[BASELINE].shape[1],
        "seeds": seeds,
        "models": [_summarise(model, is_right, groups) for model in models],
        "verdict": find_verdict(is_right, groups),
        "data": describe_data(data.cache, clips),
    }


def _train_runs(
    runs: Mapping[tuple[str, int], RunDir],
    configs: Mapping[tuple[str, int], TrainConfig],
    data: TrainingData,
    clips: list[Clip],
    *,
    split: str,
    checkpoint_sec: float,
) -> None:
    """Trains and scores the runs that have not ended, and logs the time left after each."""
    durations_sec: dict[str, list[float]] = {}
    left = [key for key, run in runs.items() if not _is_scored(run, data.cache, split)]
    for number, (key, run) in enumerate(runs.items(), start=1):
        start_sec = time.monotonic()
        logging.info("%s, seed %d (%d of %d)", *key, number, len(runs))
        now = forget_paths(read_run_clips(data))
        check_unchanged(forget_paths(clips), now, where=data.manifest_path)
        # A run that has ended is checked to be one of these settings and clips.
        train_run(configs[key], data, run=run, checkpoint_sec=checkpoint_sec)
        if key in left:
            scores = evaluate_run(run, data.cache, split=split)
            durations_sec.setdefault(key[0], []).append(time.monotonic() - start_sec)
            to_come = left[left.index(key) + 1 :]
            logging.info(
                "%s, seed %d: top-1 %.1f %%. %d of %d runs done, %s left",
                *key,
                100 * scores["top1"],
                len(runs) - len(to_come),
                len(runs),
                _estimate_duration(durations_sec, [name for name, _ in to_come]),
            )


def _is_scored(run: RunDir, cache: FeatureCache, split: str) -> bool:
    return run.model_path.exists() and read_known_scores(run, cache, split=split) is not None


def _summarise(
    model: ComparedModel, is_right: Mapping[str, np.ndarray], groups: Sequence[str]
) -> dict:
    top1 = is_right[model.name].mean(axis=1)
    difference = None
    if model.name != BASELINE:
        difference = measure_difference(is_right[model.name], is_right[BASELINE], groups=groups)
    return {
        "name": model.name,
        "title": model.title,
        "top1": top1.tolist(),
        "mean": float(top1.mean()),
        "std": float(top1.std(ddof=1)) if len(top1) > 1 else None,
        "difference": difference,
    }


def _estimate_duration(durations_sec: Mapping[str, list[float]], names: list[str]) -> str:
    """Says how long models take, by the runs of each so far.

    One without any counts as the slowest: linear ones take a part of what the first took.
    """
    means_sec = {name: float(np.mean(x)) for name, x in durations_sec.items()}
    slowest_sec = max(means_sec.values())
    left_sec = sum(means_sec.get(name, slowest_sec) for name in names)
    bound = "about" if means_sec.keys() >= set(names) else "at most"
    return f"{bound} {name_duration(left_sec)}"
