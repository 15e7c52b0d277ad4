"""Whether a cache holds what a run was trained on, and what a run keeps to tell that by."""

from collections.abc import Iterable, Sequence

from absl import logging

from lrcn.common.cache.feature_cache import FeatureCache
from lrcn.common.cache.run_dir import RunDir
from lrcn.common.clips.clip import Clip
from lrcn.common.clips.manifest import read_class_names
from lrcn.common.files.csv_table import read_utf8
from lrcn.common.programs.wording import name_count
from train_head.run.run_clips import read_listed


def check_fits_cache(run: RunDir, cache: FeatureCache) -> None:
    """Checks that the run is trained, and that the cache holds such features as it reads.

    Raises:
        FileNotFoundError: If the run is missing.
        ValueError: If the cache carries another contract; the fields that differ are named.
    """
    run.check_trained()
    contract = run.read_contract()
    if cache.contract != contract:
        raise ValueError(
            f"{cache.cache_dir}: {cache.contract.describe_differences(contract)}. Name the "
            "--cache_dir that the run was trained on (with make: CACHE=...), or make one with "
            "these settings."
        )


def digest_run_sources(cache: FeatureCache, clips: Sequence[Clip], *, labels_frames: bool) -> str:
    """Returns the content of `sources.sha256`: a line of what train and val clips were made of and,
    if their frames have labels, one of test clips, which training does not read otherwise.
    """
    parts = [_find_part(clips, of_test=False)]
    if labels_frames:
        parts.append(_find_part(clips, of_test=True))
    return "".join(f"{cache.digest_sources(clip_ids)}\n" for clip_ids in parts)


def has_other_sources(
    run: RunDir, cache: FeatureCache, clips: Sequence[Clip], *, of_test: bool = False
) -> bool:
    """Whether a cache has other contents of a run's train and val clips, or of its test clips.

    Test clips are asked for apart. They decide no weight, and a score records what it is of, but
    labels of their frames do not. Returns False where it cannot be known: where clips are not
    cached, or the run is of an earlier version.
    """
    if not run.sources_path.exists():
        return False
    digests = read_utf8(run.sources_path).split()
    clip_ids = _find_part(clips, of_test=of_test)
    has_none = of_test and len(digests) == 1
    if has_none or not all(cache.clip_path(x).exists() for x in clip_ids):
        return False
    return digests[of_test : of_test + 1] != [cache.digest_sources(clip_ids)]


def _find_part(clips: Iterable[Clip], *, of_test: bool) -> list[str]:
    return [clip.clip_id for clip in clips if (clip.split == "test") == of_test]


def warn_of_other_data(run: RunDir, clips: Sequence[Clip], cache: FeatureCache) -> None:
    """Warns where a cache is not, or not only, of the clips that a run was trained and split on, or
    has labels of, or where it has other labels.

    Args:
        run: The run.
        clips: Those of its manifest.
        cache: The cache that it is to be scored on.
    """
    if has_other_sources(run, cache, clips):
        logging.warning(
            "%s: its train and val clips have other contents than those that %s was trained on, by "
            "the sizes and times of their files. If these are no copies, to which most programs "
            "give new times, and not meant to be other data, name the run's own cache. Where "
            "somebody added clips to %s, took some out or gave them other splits, undo that",
            cache.cache_dir,
            run.path,
            run.manifest_path,
        )
    if has_other_sources(run, cache, clips, of_test=True):
        logging.warning(
            "%s: its test clips have other contents than those that %s has labels of. Scores are "
            "by these labels of frames. Train a new run on labels of what is there now, unless "
            "they are the same",
            cache.cache_dir,
            run.path,
        )
    known = {clip.clip_id: clip for clip in clips}
    listed = read_listed(cache)
    new = [clip.clip_id for clip in listed if clip.split == "test" and clip.clip_id not in known]
    if new:
        logging.warning(
            "%s lists %s that the run does not know and does not score, such as %s. Train a new "
            "run to score all, unless the --manifest of this one leaves them out",
            cache.manifest_path,
            name_count(len(new), "test clip"),
            new[0],
        )
    listed_ids = {clip.clip_id for clip in listed}
    gone = [x.clip_id for x in clips if x.split == "test" and x.clip_id not in listed_ids]
    # Without their features, who scores them refuses to.
    if listed and gone and all(cache.clip_path(clip_id).exists() for clip_id in gone):
        logging.warning(
            "%s does not list %s of the run, such as %s, which are scored all the same. Train a "
            "new run to score those that are left, unless the --manifest of this one means them",
            cache.manifest_path,
            name_count(len(gone), "test clip"),
            gone[0],
        )
    corrected = [x for x in listed if x.label != known.get(x.clip_id, x).label]
    if corrected and not run.frame_labels_path.exists():
        first = corrected[0]
        logging.warning(
            "%s gives %s another label than the run has, such as %s: %r, and not %r. Scores "
            "are by those of the run. Train a new run on these, unless the --manifest of this one "
            "means its own",
            cache.manifest_path,
            name_count(len(corrected), "clip"),
            first.clip_id,
            first.label,
            known[first.clip_id].label,
        )
    # One of an earlier version cannot tell by itself that its names were changed.
    is_earlier = not run.classes_digest_path.exists()
    if is_earlier and not run.frame_labels_path.exists() and cache.classes_path.exists():
        _warn_of_other_order(run, cache)


def _warn_of_other_order(run: RunDir, cache: FeatureCache) -> None:
    ours, theirs = run.read_class_names(), read_class_names(cache.classes_path)
    if [x for x in ours if x in theirs] != [x for x in theirs if x in ours]:
        logging.warning(
            "%s has the classes in another order than %s. The run's model knows a class by its "
            "line: where somebody changed that file, undo it",
            cache.classes_path,
            run.classes_path,
        )
