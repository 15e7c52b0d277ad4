"""The label of every frame: read as users write it, and kept by the run in one form.

What `--frame_labels` takes, told apart by the path and the header:

labels.csv   clip_id,start_sec,end_sec,label: seconds from the first frame of the source, as in the
             cache's timestamp_sec
labels.csv   clip_id,start_frame,end_frame,label: numbers of frames in their clip, from 0, as in
             the cache's frame_index; a run keeps its labels so
labels/      <clip_id>.txt with a class name a line, one line for each frame of the clip; an empty
             line leaves its frame unlabelled

Intervals are half-open, [start, end), and what none of them holds is unlabelled. All three name
moments of the source, so one set of labels serves every cache of it, whatever frames that selects.
"""

import csv
import dataclasses
import io
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from lrcn.common.cache.clip_features import ClipClock
from lrcn.common.cache.feature_cache import FeatureCache
from lrcn.common.cache.run_dir import RunDir
from lrcn.common.clips.clip import Clip, check_label
from lrcn.common.clips.span import round_sec
from lrcn.common.files.alike_names import check_one_form, warn_of_alike
from lrcn.common.files.csv_table import read_lines
from lrcn.common.files.natural_sort import natural_key
from lrcn.common.programs.progress import Progress
from lrcn.common.programs.wording import name_count
from train_head.labels.interval_file import (
    EXPECTED_COLUMNS,
    FRAME_COLUMNS,
    Interval,
    read_intervals,
)
from train_head.labels.outside_labels import warn_of_long, warn_of_outside

UNLABELLED = -1


@dataclasses.dataclass(frozen=True)
class FrameLabels:
    """The labels of all frames of some clips.

    Attributes:
        class_names: The K names.
        class_ids: {clip_id: [T] int32}, a class id for each frame in the cache, `UNLABELLED` for
            those without a label.
        clocks: {clip_id: when its frames are}.
    """

    class_names: list[str]
    class_ids: dict[str, np.ndarray]
    clocks: dict[str, ClipClock]


def read_frame_labels(
    path: Path,
    *,
    clip_ids: Sequence[str],
    known_ids: Collection[str],
    cache: FeatureCache,
    class_names: Sequence[str] | None = None,
) -> FrameLabels:
    """Reads the labels of the frames that the cache has of some clips.

    Args:
        path: A .csv file of intervals or a folder of label files, see above.
        clip_ids: The clips wanted.
        known_ids: All clips that a file of intervals may name.
        cache: Holds the clips that are wanted.
        class_names: The K names; None takes the labels of these frames in natural order.

    Raises:
        FileNotFoundError: If the path, or a wanted clip's label file, is missing.
        ValueError: If a rule above is broken, intervals of different labels overlap, a clip or
            class is unknown, labels differ by Unicode form alone, or intervals in seconds meet
            frames without times.
    """
    clocks = {}
    with Progress(len(clip_ids), "clip", part="reading times of frames") as progress:
        for clip_id in progress.track(clip_ids):
            clocks[clip_id] = cache.read_clock(clip_id)
    if path.is_dir():
        lines = {x: _read_label_file(path / f"{x}.txt", clocks[x]) for x in clip_ids}
        names = {x: [lines[x][index] for index in clocks[x].frame_index] for x in clip_ids}
        warn_of_long(lines, clocks, folder=path)
    elif path.exists():
        in_sec, intervals = read_intervals(path, known_ids)
        moments = {
            x: _find_moments(clocks[x], in_sec=in_sec, where=f"{path}: {x}") for x in clip_ids
        }
        names = {x: _label_by_intervals(intervals.get(x, []), moments[x]) for x in clip_ids}
        warn_of_outside(intervals, moments, in_sec=in_sec)
    else:
        raise FileNotFoundError(
            f"{path}: no such file or folder. {EXPECTED_COLUMNS} in a .csv file, or a folder with "
            "<clip_id>.txt for each clip."
        )
    found = {name for of_clip in names.values() for name in of_clip if name}
    if class_names is None:
        class_names = sorted(found, key=natural_key)
        check_one_form(class_names, kind="label", places=[str(path)] * len(class_names))
        warn_of_alike(class_names, kind="Labels")
    unknown = sorted(found - set(class_names), key=natural_key)
    if unknown:
        raise ValueError(
            f"{path}: unknown label {unknown[0]!r}. The classes are "
            f"{', '.join(map(repr, class_names))}. Correct the label."
        )
    id_of = {"": UNLABELLED, **{name: i for i, name in enumerate(class_names)}}
    class_ids = {x: np.array([id_of[name] for name in names[x]], np.int32) for x in clip_ids}
    return FrameLabels(list(class_names), class_ids, clocks)


def read_run_labels(run: RunDir, cache: FeatureCache, clips: Sequence[Clip]) -> FrameLabels:
    """Reads the labels that a run keeps, of some of its clips. Errors as `read_frame_labels`.

    Raises:
        ValueError: If a clip has none, which no run was trained with.
    """
    run.check_has(run.frame_labels_path)
    labels = read_frame_labels(
        run.frame_labels_path,
        clip_ids=[clip.clip_id for clip in clips],
        known_ids=[clip.clip_id for clip in run.read_clips()],
        cache=cache,
        class_names=run.read_class_names(),
    )
    without = [x for x, class_ids in labels.class_ids.items() if (class_ids == UNLABELLED).all()]
    if without:
        raise ValueError(
            f"{run.frame_labels_path}: expected a labelled frame in every clip. Received none in "
            f"{len(without):,} of {len(clips):,}, such as {without[0]!r}. Undo what was changed "
            "there, or name the --cache_dir that the run was trained on."
        )
    return labels


def format_frame_labels(labels: FrameLabels) -> str:
    """Renders what a run keeps, a .csv of intervals in frames: of the same labels the same text.

    An interval reaches from the first to behind the last of cached frames in a row that have one
    label, so on the cache that they were read for they are the same again.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["clip_id", *FRAME_COLUMNS, "label"])
    for clip_id, class_ids in labels.class_ids.items():
        frame_index = labels.clocks[clip_id].frame_index
        for start, end in find_runs(class_ids):
            class_id = class_ids[start]
            if class_id != UNLABELLED:
                first, last = int(frame_index[start]), int(frame_index[end - 1])
                writer.writerow([clip_id, first, last + 1, labels.class_names[class_id]])
    return text.getvalue()


def find_runs(class_ids: np.ndarray) -> list[tuple[int, int]]:
    """Finds the longest runs of equal elements: [start, end) of each, in order, of [T] int."""
    if len(class_ids) == 0:
        return []
    starts = [0, *(np.flatnonzero(np.diff(class_ids)) + 1).tolist()]
    return list(zip(starts, [*starts[1:], len(class_ids)], strict=True))


def _read_label_file(path: Path, clock: ClipClock) -> list[str]:
    """Returns the label of each frame in the file, empty where there is none."""
    try:
        lines = read_lines(path)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path}: missing. Expected a class name a line for each frame of the clip (an empty "
            "line: unlabelled). Write it, or name a manifest without the clip (--manifest, of "
            "cross_validate --manifests)."
        ) from None
    num_needed = int(clock.frame_index.max()) + 1
    if len(lines) < num_needed:
        raise ValueError(
            f"{path}: expected a line for each frame of the clip, of which the cache has frame "
            f"{num_needed - 1}, counted from 0. Received: {name_count(len(lines), 'line')}. Add "
            "the missing ones; an empty line leaves its frame unlabelled."
        )
    for number, label in enumerate(lines, start=1):
        if label:
            check_label(label, place=f"{path}:{number}")
    return lines


def _find_moments(clock: ClipClock, *, in_sec: bool, where: str) -> np.ndarray:
    """Returns when each cached frame is, [T], as intervals say it: in seconds or by its number."""
    if not in_sec:
        return clock.frame_index
    if np.isnan(clock.timestamp_sec).any():
        raise ValueError(
            f"{where}: expected frames with times, since the labels are in seconds. Received: "
            "frames without, as of a folder of images or of imported features. Give the columns "
            "start_frame,end_frame instead, or a folder of label files (<clip_id>.txt, a class "
            "name a line for each frame)."
        )
    return clock.timestamp_sec


def _label_by_intervals(intervals: list[Interval], moments: np.ndarray) -> list[str]:
    """Returns the label of each cached frame, empty where no interval holds it."""
    moments, labels = round_sec(moments), np.full(len(moments), "", object)
    # Looked up, as there may be an interval for each frame of an hour. Times of a video's frames
    # may go back a little.
    order = np.argsort(moments, kind="stable")
    borders = np.searchsorted(moments[order], [(x.start, x.end) for x in intervals])
    for interval, (first, behind) in zip(intervals, borders, strict=True):
        labels[order[first:behind]] = interval.label
    return labels.tolist()
