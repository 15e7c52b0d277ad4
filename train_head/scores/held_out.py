"""The scores of a run on its held-out clips: those that are known, else made now."""

from collections.abc import Iterable

from absl import logging

from lrcn.common.cache.feature_cache import FeatureCache
from lrcn.common.cache.run_dir import RunDir
from lrcn.common.clips.clip import Clip
from train_head.run.run_sources import warn_of_other_data
from train_head.scores.prediction_file import Predictions, read_run_predictions
from train_head.scores.score_file import read_scores


def find_held_out(clips: Iterable[Clip]) -> str | None:
    """Returns the split that a score is of: test, else val, and None where there is neither."""
    splits = {clip.split for clip in clips}
    return next((split for split in ("test", "val") if split in splits), None)


def score_run(run: RunDir, cache: FeatureCache) -> dict | None:
    """Returns the scores of a run's test clips, else of its val clips, and None if it has neither.

    Scores that were written before are read, not computed again, if they are of the clips that the
    cache has now. Errors as `evaluate_run`.
    """
    clips = run.read_clips()
    split = find_held_out(clips)
    if split is None:
        return None
    known = read_known_scores(run, cache, split=split)
    if known is not None:
        warn_of_other_data(run, clips, cache)  # as who scores anew
        return known
    # TensorFlow comes with it, which a score that is known does not need.
    from train_head.scores.evaluation import evaluate_run

    return evaluate_run(run, cache, split=split)


def read_known_scores(run: RunDir, cache: FeatureCache, *, split: str) -> dict | None:
    """Returns a run's scores on a split as they were written, None if they have to be made anew."""
    path = run.metrics_path(split)
    if not path.exists() or not run.predictions_path(split).exists():
        return None
    run.check_has()
    scores = read_scores(path)
    clip_ids = [clip.clip_id for clip in run.read_clips() if clip.split == split]
    if not all(cache.clip_path(clip_id).exists() for clip_id in clip_ids):
        return None  # who scores anew says what to do
    sources = cache.digest_sources(clip_ids)
    return scores if scores.get("provenance", {}).get("sources") == sources else None


def read_scored_predictions(run: RunDir, cache: FeatureCache, *, split: str) -> Predictions:
    """Reads what a run that was scored on the cache predicts. Errors as `read_run_predictions`.

    Raises:
        RuntimeError: If another program has scored it on others since.
    """
    if read_known_scores(run, cache, split=split) is None:
        raise RuntimeError(
            f"{run.metrics_path(split)}: expected the score on {cache.cache_dir}. Received: none, "
            "or one of other contents of these clips, as where another program evaluated the run "
            "on another cache meanwhile. Run the same command again: it scores the run anew."
        )
    return read_run_predictions(run, split=split)


def score_held_out(run: RunDir, cache: FeatureCache) -> dict | None:
    """As `score_run`, with a warning where no test clip gives the score."""
    scores = score_run(run, cache)
    if scores is None:
        logging.warning("No clip is held out, so there is no score; the run is in %s", run.path)
    elif scores["split"] == "val":
        logging.warning("No test clips: the score is of the val clips that chose the epoch.")
    return scores
