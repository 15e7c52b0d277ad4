"""The official train and test lists of UCF101 and HMDB51, which published scores are made on.

UCF101 (https://www.crcv.ucf.edu/data/UCF101.php): `trainlist01.txt` has lines such as
`ApplyLipstick/v_ApplyLipstick_g08_c01.avi 2`, with the class's number in `classInd.txt`, and
`testlist01.txt` the same without the number.

HMDB51 (https://serre-lab.clps.brown.edu/resource/hmdb-a-large-human-motion-database/):
`brush_hair_test_split1.txt` has lines such as `April_09_brush_hair_u_nm_np1_ba_goo_0.avi 1`, where
1 is train, 2 is test and 0 neither.
"""

import dataclasses
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from lrcn.common.clips.clip import Clip
from lrcn.common.files.csv_table import read_utf8
from lrcn.common.files.hidden_names import is_hidden
from lrcn.common.files.natural_sort import natural_key

_UCF101_LIST = re.compile(r"(train|test)list([0-9]+)\.txt")
_UCF101_LINE = re.compile(r"([^/]+)/([^/]+)\.avi(?:\s+([0-9]+))?")
# v_<Class>_g<group>_c<clip>
_UCF101_NAME = re.compile(r"v_(.+_g[0-9]+)_c[0-9]+")
_HMDB51_LIST = re.compile(r"(.+)_test_split([0-9]+)\.txt")
_HMDB51_LINE = re.compile(r"(.+)\.avi\s+([012])")
_HMDB51_SPLITS = {"0": "", "1": "train", "2": "test"}
# <source>_<class>_<visible body>_<camera motion>_<people>_<view>_<quality>_<number>
_HMDB51_NAME_END = re.compile(r"_[a-z]+_[a-z]+_np[0-9]+_[a-z]+_[a-z]+_[0-9]+$")


class ListedVideo(NamedTuple):
    """What an official list says of a video.

    Attributes:
        label: Its class.
        split: train, test, or empty where this split does not use it.
        group: The source video, as far as the name tells; empty where it does not.
        place: `file:line`.
    """

    label: str
    split: str
    group: str
    place: str


def read_official_lists(lists_dir: Path) -> dict[int, dict[str, ListedVideo]]:
    """Reads all official splits of a folder.

    Args:
        lists_dir: The folder of UCF101's or HMDB51's lists, as they come.

    Returns:
        {number of the split: {name of the video without its suffix: what the list says}}.

    Raises:
        NotADirectoryError: If there is no such folder.
        ValueError: If it holds no such lists, a list is missing or has a line that is not as it
            should be, or a video stands twice in one split.
    """
    if not lists_dir.is_dir():
        raise NotADirectoryError(f"{lists_dir}: expected --lists to be a folder. Correct it.")
    paths = [path for path in lists_dir.iterdir() if not is_hidden(path.name)]
    paths.sort(key=lambda path: natural_key(path.name))
    splits: dict[int, dict[str, ListedVideo]] = {}
    rows = [*_iter_ucf101(paths), *_iter_hmdb51(paths)]
    for number, name, video in rows:
        first = splits.setdefault(number, {}).setdefault(name, video)
        if first is not video:
            raise ValueError(
                f"{video.place}: expected every video once in a split, but {name!r} stands also "
                f"at {first.place}. Remove one, or download the lists again."
            )
    if not splits:
        raise ValueError(
            f"{lists_dir}: expected UCF101's trainlist01.txt, testlist01.txt, ... or HMDB51's "
            "<class>_test_split1.txt, ... Received: none of these. Name their folder as --lists."
        )
    for number, videos in sorted(splits.items()):
        for split in ("train", "test"):
            if not any(video.split == split for video in videos.values()):
                raise ValueError(
                    f"{lists_dir}: split {number} lists no {split} video. Complete the lists."
                )
    return dict(sorted(splits.items()))


def find_official_clips(
    clips: Sequence[Clip], videos: dict[str, ListedVideo]
) -> tuple[list[Clip], list[str]]:
    """Finds the clips of an official split, by the last part of their clip_id.

    Args:
        clips: The clips that there are; their own splits do not count.
        videos: What the split's list says.

    Returns:
        The clips that the split uses, with its train and test and with their groups, and the names
        of the listed videos that it uses and that are not among the clips.

    Raises:
        ValueError: If two clips are one video, a clip has another class than the list says, or no
            clip is listed.
    """
    clip_of: dict[str, Clip] = {}
    official = []
    for clip in clips:
        name = clip.clip_id.rsplit("/", 1)[-1]
        video = videos.get(name)
        if video is None:
            continue
        first = clip_of.setdefault(name, clip)
        if first is not clip:
            raise ValueError(
                f"clips {first.clip_id!r} and {clip.clip_id!r} are both the video {name!r} of the "
                "official lists. Expected one. Remove the other from --data."
            )
        if clip.label != video.label:
            raise ValueError(
                f"clip {clip.clip_id!r}: has the class {clip.label!r}, but {video.place} says "
                f"{video.label!r}. Name the class folders as the lists do."
            )
        if video.split:
            group = clip.group or video.group
            official.append(dataclasses.replace(clip, split=video.split, group=group))
    if not official:
        raise ValueError(
            "expected clips of the official lists, such as "
            f"{next(iter(videos))!r}. Received: {len(clips)} clips, none of which is listed. A "
            "clip's name is its video's, without the suffix."
        )
    missing = [name for name, video in videos.items() if video.split and name not in clip_of]
    return official, missing


def find_known_group(name: str, label: str) -> str:
    """Returns the source video of a clip of UCF101 or HMDB51 by its name; empty for others.

    HMDB51 keeps a source video on one side within a class, not across classes: clips of
    A_Beautiful_Mind_1 train shake_hands and test smoke. So the group has its class.
    """
    ucf101 = _UCF101_NAME.fullmatch(name)
    if ucf101:
        return ucf101[1]
    end = _HMDB51_NAME_END.search(name)
    return f"{label}/{name[: end.start()].removesuffix(f'_{label}')}" if end else ""


def _iter_ucf101(paths: list[Path]) -> Iterator[tuple[int, str, ListedVideo]]:
    class_of_number: dict[str, str] = {}
    for path in paths:
        if path.name == "classInd.txt":
            for line in _read_lines(path).values():
                number, _, label = line.partition(" ")
                class_of_number[number] = label.strip()
    expected = "a line such as ApplyLipstick/v_ApplyLipstick_g08_c01.avi 2"
    for of_list, of_line, place in _iter_lines(paths, _UCF101_LIST, _UCF101_LINE, expected):
        label, name, class_number = of_line.groups()
        known = class_of_number.get(class_number, label)
        if known != label:
            raise ValueError(
                f"{place}: says class {class_number}, which is {known!r} in classInd.txt, of a "
                f"video of {label!r}. Download the lists again."
            )
        group = find_known_group(name, label)
        yield int(of_list[2]), name, ListedVideo(label, of_list[1], group, place)


def _iter_hmdb51(paths: list[Path]) -> Iterator[tuple[int, str, ListedVideo]]:
    expected = (
        "a video and 0 (not used), 1 (train) or 2 (test), such as "
        "April_09_brush_hair_u_nm_np1_ba_goo_0.avi 1"
    )
    for of_list, of_line, place in _iter_lines(paths, _HMDB51_LIST, _HMDB51_LINE, expected):
        name, label, split = of_line[1], of_list[1], _HMDB51_SPLITS[of_line[2]]
        yield int(of_list[2]), name, ListedVideo(label, split, find_known_group(name, label), place)


def _iter_lines(
    paths: list[Path], list_name: re.Pattern, line_form: re.Pattern, expected: str
) -> Iterator[tuple[re.Match, re.Match, str]]:
    """Yields the matches of the list's name and of the line, and `file:line`, for each line."""
    for path in paths:
        of_list = list_name.fullmatch(path.name)
        for number, line in _read_lines(path).items() if of_list else ():
            place = f"{path}:{number}"
            of_line = line_form.fullmatch(line)
            if of_line is None:
                raise ValueError(
                    f"{place}: expected {expected}. Received: {line!r}. Download the lists again."
                )
            yield of_list, of_line, place


def _read_lines(path: Path) -> dict[int, str]:
    """Returns {line number from 1: text}, without white space around it and blank lines."""
    lines = enumerate(read_utf8(path).splitlines(), start=1)
    return {number: line.strip() for number, line in lines if line.strip()}
