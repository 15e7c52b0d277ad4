"""The clips of a run and their splits: those of the cache, or of a manifest of the user's."""

import dataclasses
from pathlib import Path

from lrcn.common.cache.feature_cache import FeatureCache
from lrcn.common.clips.clip import Clip
from lrcn.common.clips.group_leaks import check_group_leaks, join_groups
from lrcn.common.clips.manifest import find_class_ids, read_manifest
from lrcn.common.clips.span import WHOLE
from lrcn.common.programs.progress import Progress
from lrcn.common.programs.wording import name_some
from train_head.run.training_data import TrainingData


def read_run_clips(data: TrainingData) -> list[Clip]:
    """Reads the clips that a run is trained, chosen and scored on.

    A clip without a group or a span has that which the cache knows, and its path is the cache's:
    a manifest of the user's may lie in another folder. Groups that share a file are one, as in the
    cache.

    Returns:
        The clips, each with a split.

    Raises:
        OSError: If there is no such manifest, or none in the cache yet.
        ValueError: If it breaks a rule, a clip has no split or another span than the cache's
            features, or a group straddles splits and the cache does not allow it.
    """
    cache, manifest_path = data.cache, data.manifest_path
    cache.check_listed()
    if not manifest_path.exists():
        raise FileNotFoundError(
            f"{manifest_path}: no such manifest. Expected a .csv with the clips and their splits."
        )
    cached = {clip.clip_id: clip for clip in read_manifest(cache.manifest_path)}
    clips = [
        _fill_in(clip, cached.get(clip.clip_id, clip), data)
        for clip in read_manifest(manifest_path)
    ]
    without = [clip.clip_id for clip in clips if not clip.split]
    if without:
        raise ValueError(
            f"{manifest_path}: expected a split for every clip. Received {len(without)} without, "
            f"such as {without[0]!r}. Give it train, val or test, or take it out."
        )
    if not cache.contract.is_imported:  # its paths may be anything
        clips = join_groups(clips)
    if not cache.data_settings.get("allow_group_leak"):
        check_group_leaks(clips, source=manifest_path)
    return clips


def take_split(clips: list[Clip], split: str, *, listed_in: Path) -> list[Clip]:
    """Returns the clips of a split. Raises ValueError if there are none."""
    taken = [clip for clip in clips if clip.split == split]
    if not taken:
        others = " and ".join(sorted({clip.split for clip in clips}))
        raise ValueError(
            f"{listed_in}: has no clips of the split {split}, but of {others}. Name another "
            "--split."
        )
    return taken


def read_listed(cache: FeatureCache) -> list[Clip]:
    """Reads the clips that a cache lists now, none where it has no list.

    They may be others than those of a run, which has a list of its own: since it was trained, the
    cache may have got clips, or been told where sources are that have moved.
    """
    return read_manifest(cache.manifest_path) if cache.manifest_path.exists() else []


def forget_paths(clips: list[Clip]) -> list[Clip]:
    """Sources may have moved since; whether their content is the same, the cache knows."""
    return [dataclasses.replace(clip, path="-") for clip in clips]


def check_unchanged(before: object, now: object, *, where: object) -> None:
    """Checks that what `read_run_clips` gave, with or without labels of frames, is the same now,
    where runs are trained for hours and then put together. Raises ValueError if not.
    """
    if now != before:
        raise ValueError(
            f"{where}: lists other clips, labels, groups or splits than when this program "
            "started, so runs to come do not go with those before. Undo the change and run the "
            "same command again, or name another --output_dir to train all on what is there now."
        )


def _fill_in(clip: Clip, cached: Clip, data: TrainingData) -> Clip:
    """Returns the clip with the cache's path, and its group and span where it has none."""
    if clip.span not in (WHOLE, cached.span):
        raise ValueError(
            f"{data.manifest_path}: clip {clip.clip_id!r}: expected start_sec and end_sec of the "
            f"cached features, {cached.span} ({data.cache.manifest_path}). Received: "
            f"{clip.span}. Correct or empty both, or extract the clips of this manifest "
            "into a cache of their own."
        )
    return dataclasses.replace(
        clip,
        path=cached.path,
        group=clip.group or cached.group,
        start_sec=cached.start_sec,
        end_sec=cached.end_sec,
    )


def check_classes(clips: list[Clip], class_names: list[str], data: TrainingData) -> None:
    """Checks that there are classes to tell apart, and train clips of each.

    Raises:
        ValueError: If not, or if a clip is of none of them.
    """
    try:
        find_class_ids(clips, class_names, where=data.cache.classes_path)
    except ValueError as error:
        raise ValueError(f"{data.manifest_path}: {error}") from None
    trained = {clip.label for clip in clips if clip.split == "train"}
    if len(class_names) < 2:
        raise ValueError(
            f"{data.manifest_path}: expected at least two classes to tell apart. Received: "
            f"{class_names}. Add clips of another class, or train on labels of frames: python -m "
            "train_head --labels=frame."
        )
    missing = [repr(name) for name in class_names if name not in trained]
    if missing:
        raise ValueError(
            f"{data.manifest_path}: expected train clips of every class. Received none of "
            f"{name_some(missing)}. Add clips, move some to the train split, or take the class "
            f"out, also of {data.cache.classes_path}."
        )


def check_cached(
    clips: list[Clip], cache: FeatureCache, *, listed_in: Path, read_next: bool = True
) -> None:
    """Checks that the cache holds the clips, of the spans that `listed_in` says: the cache's own
    list or, with another remedy, that of a run.

    Where the clips are read next, it looks up where their frames lie at once: to open each of
    thousands of files once more for that would take seconds.

    Raises:
        FileNotFoundError: If clips are missing.
        ValueError: If their features are of other spans, or a file is damaged.
    """
    absent = [clip.clip_id for clip in clips if not cache.clip_path(clip.clip_id).exists()]
    if absent:
        raise FileNotFoundError(
            f"{cache.cache_dir}: {len(absent):,} of {len(clips):,} clips are not in the cache, "
            "such as "
            + _advise(absent, cache, listed_in=listed_in, lacks_all=len(absent) == len(clips))
        )
    if read_next:
        with Progress(len(clips), "clip", part="opening") as progress:
            for clip in progress.track(clips):
                cache.count_frames(clip.clip_id)
    other = [clip for clip in clips if not cache.is_of_span(clip.clip_id, clip.span)]
    if other:
        remedy = (
            "Finish extract_features (of shards, all) or import_features first: it makes them anew"
        )
        if listed_in != cache.manifest_path:
            remedy = "Name the --cache_dir that the run was trained on, or train a new run on this"
        raise ValueError(
            f"{cache.cache_dir}: {len(other):,} of {len(clips):,} clips hold another span than "
            f"{listed_in} lists, such as {cache.clip_path(other[0].clip_id)}. {remedy}."
        )


def _advise(absent: list[str], cache: FeatureCache, *, listed_in: Path, lacks_all: bool) -> str:
    """Names a clip that is not in the cache, and says what to do."""
    listed = {clip.clip_id for clip in read_listed(cache)} or {*absent}
    unlisted = [clip_id for clip_id in absent if clip_id not in listed]
    if unlisted:  # another extraction would not make them
        go_on = f"train a new run on those left of {listed_in}"
        if listed_in == cache.manifest_path:
            go_on = "take such clips out of the manifest that was named"
        return (
            f"{cache.clip_path(unlisted[0])}, which {cache.manifest_path} does not list either, as "
            "where its source is gone or cannot be read. Give extract_features (or "
            f"import_features) data that has it, name the cache that it is in, or {go_on}."
        )
    finish = "Where it is of other data, name the cache of these; else finish"
    return (
        f"{cache.clip_path(absent[0])}. {finish if lacks_all else 'Finish'} extract_features (or "
        "import_features) first; it lists the clips that it cannot read in "
        f"{cache.failures_path} and leaves them out with --skip_unreadable."
    )
