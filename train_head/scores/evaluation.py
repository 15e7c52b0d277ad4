"""Evaluates a run: every clip of a split exactly once, sums divided once."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from lrcn.common.cache.feature_cache import FeatureCache
from lrcn.common.cache.run_dir import RunDir
from lrcn.common.clips.clip import Clip
from lrcn.common.clips.group_leaks import find_group_leaks
from lrcn.common.clips.manifest import find_class_ids
from lrcn.common.files.atomic_file import check_can_write, replace_file
from train_head.batches.clip_reader import ClipReader
from train_head.batches.frame_choice import check_windows
from train_head.batches.input_pipeline import make_eval_dataset
from train_head.batches.step_memory import check_longest_clip
from train_head.head.run_model import (
    check_model_version,
    load_model,
    read_model_version,
    release_variables,
)
from train_head.labels.frame_labels import read_run_labels
from train_head.run.config import TrainConfig, read_config
from train_head.run.provenance import find_git_commit, list_versions
from train_head.run.run_clips import check_cached, take_split
from train_head.run.run_lock import lock_run
from train_head.run.run_sources import check_fits_cache, warn_of_other_data
from train_head.scores.frame_metrics import compute_frame_metrics
from train_head.scores.frame_prediction import average_rows, check_finite, predict_frames
from train_head.scores.frame_prediction_file import write_frame_predictions
from train_head.scores.metrics import compute_metrics
from train_head.scores.prediction_file import Predictions, write_predictions
from train_head.scores.score_file import format_scores


def evaluate_run(
    run: RunDir,
    cache: FeatureCache,
    *,
    split: str,
    num_windows: int = 1,
    first_view_only: bool = False,
) -> dict:
    """Scores a run on the clips that its own manifest holds out.

    Writes `metrics.json` and `predictions.csv`, or what `RunDir.metrics_path` calls them.

    Args:
        run: A trained run.
        cache: The cache with the clips' features.
        split: train, val or test.
        num_windows: Spans of each clip whose probabilities are averaged; 1 is the whole clip.
        first_view_only: Whether the first view of each frame counts alone, where the cache has
            several; else the probabilities are averaged over all.

    Returns:
        The content of `metrics.json`.

    Raises:
        FileNotFoundError: If run or clips are missing.
        ValueError: If the cache carries another contract or is damaged, the split has no clips, or
            one larger than the memory, no window is asked for, more than the longest clip has
            frames, or several of a head that labels every frame, or an answer is NaN.
        PermissionError: If the run cannot be written to.
        RuntimeError: If the run got another model meanwhile.
    """
    model_version = read_model_version(run)
    check_fits_cache(run, cache)
    check_can_write(run.path)
    all_clips = run.read_clips()
    warn_of_other_data(run, all_clips, cache)
    clips = take_split(all_clips, split, listed_in=run.manifest_path)
    check_cached(clips, cache, listed_in=run.manifest_path)
    config = read_config(run)
    check_windows(config, num_windows)
    reader = ClipReader(cache, [clip.clip_id for clip in clips], memory_bytes=0)
    _check_longest_fills(reader, num_windows, split=split)
    check_longest_clip(reader, config, num_windows=num_windows)
    num_views = 1 if first_view_only else reader.num_views
    model = load_model(run)  # first: it says where the run lacks names of classes
    if config.labels == "frame":
        labels = read_run_labels(run, cache, clips)
        predictions = predict_frames(model, reader, labels, config, num_views=num_views)
        compute, write = compute_frame_metrics, write_frame_predictions
    else:
        predictions = _predict_clips(
            model, run, reader, clips, config, num_windows=num_windows, num_views=num_views
        )
        compute, write = compute_metrics, write_predictions
    release_variables(model.variables)
    check_finite(predictions.probabilities, model_path=run.model_path)
    scores = {
        "split": split,
        **compute(
            predictions.probabilities,
            predictions.class_ids,
            predictions.class_names,
            groups=[clip.source_group for clip in clips],
        ),
        "provenance": {
            "data": cache.data_root,
            "cache_dir": str(cache.cache_dir.resolve()),
            "split": split,
            "windows": num_windows,
            "views": num_views,
            "seed": config.seed,
            "leaking_groups": len(find_group_leaks(all_clips)),
            "git_commit": find_git_commit(),
            "versions": list_versions(),
            "contract": cache.contract.digest,
            "sources": cache.digest_sources(clip.clip_id for clip in clips),
        },
    }
    how = {"num_windows": num_windows, "first_view_only": first_view_only}
    paths = run.metrics_path(split, **how), run.predictions_path(split, **how)
    check_model_version(run, model_version)  # before the lock, which a training may hold for hours
    # Of two that score at once, one would leave its scores beside predictions of the other.
    with lock_run(run, waits=True):
        check_model_version(run, model_version)
        with _replace_both(*paths) as (new_scores, new_predictions):
            new_scores.write_text(format_scores(scores), encoding="utf-8")
            write(new_predictions, predictions)
    return scores


def _check_longest_fills(reader: ClipReader, num_windows: int, *, split: str) -> None:
    longest = int(reader.num_frames.max())
    if num_windows > longest:
        raise ValueError(
            f"Expected at most {longest} windows, a frame each of the longest {split} clip: more "
            f"repeat these. Received: --windows={num_windows}. Lower it."
        )


@contextlib.contextmanager
def _replace_both(scores_path: Path, predictions_path: Path) -> Iterator[tuple[Path, Path]]:
    """Replaces two files by what is written to the paths that it gives, or none."""
    with replace_file(scores_path) as new_scores, replace_file(predictions_path) as new_predictions:
        yield new_scores, new_predictions
        # Not before both found room, and whoever is stopped between the two names leaves no score
        # of other predictions.
        scores_path.unlink(missing_ok=True)


def _predict_clips(
    model,
    run: RunDir,
    reader: ClipReader,
    clips: list[Clip],
    config: TrainConfig,
    *,
    num_windows: int,
    num_views: int,
) -> Predictions:
    """Predicts each of the reader's clips once: the mean over its windows and their views."""
    class_names = run.read_class_names()
    try:
        class_ids = np.array(find_class_ids(clips, class_names), np.int32)
    except ValueError as error:
        raise ValueError(
            f"{run.manifest_path}: {error} Or undo what was changed in {run.classes_path}."
        ) from None
    dataset = make_eval_dataset(
        reader, class_ids, config, num_windows=num_windows, num_views=num_views
    )
    probabilities = average_rows(model, dataset, reader, num_rows=num_windows * num_views)
    return Predictions(
        reader.clip_ids, [clip.label for clip in clips], class_names, np.stack(probabilities)
    )
