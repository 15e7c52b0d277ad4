"""Finds the clips that `--data` names: the folder tree or the manifest."""

import os
from pathlib import Path

from absl import logging

from lrcn.common.clips.clip import Clip, check_clips
from lrcn.common.clips.clip_folder import (
    IMAGE_SUFFIXES,
    VIDEO_SUFFIXES,
    is_cache_or_run,
    is_folder,
    warn_of_passed_over,
)
from lrcn.common.clips.clip_groups import add_groups
from lrcn.common.clips.manifest import read_manifest
from lrcn.common.files.escaped_text import escape_control
from lrcn.common.files.hidden_names import is_hidden
from lrcn.common.files.natural_sort import natural_key
from lrcn.common.programs.wording import name_some

# A gif is a frame inside a clip's folder, and an animation where clips are expected.
_CLIP_FILE_SUFFIXES = VIDEO_SUFFIXES | {".gif"}

# A warning does not name more class folders than these.
_MAX_NAMED = 10

_SPLIT_OF_FOLDER = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
_EXPECTED_TREE = """
  DATA/walk/clip_1/0001.jpg, 0002.jpg, ...  a folder of frames is a clip,
  DATA/walk/clip_2.mp4                      and so is a video file;
  DATA/run/clip_3.mp4                       or the same below DATA/train, DATA/val and DATA/test"""


def read_data(
    data: str | os.PathLike,
    *,
    data_root: str | os.PathLike | None = None,
    group_regex: str | None = None,
) -> tuple[list[Clip], Path]:
    """Reads the clips of a folder tree or a manifest, and finds their groups.

    A group given in the manifest wins. Else it is what `group_regex` finds, or, without one, what
    the file names of UCF101 or HMDB51 say; else it stays empty. What lies beside the images of a
    clip is passed over, and a warning tells of what may be clips or frames.

    Args:
        data: Folder DATA/<class>/<clip>, also below train, val and test, or a `.csv` manifest.
        data_root: Folder that a manifest's paths start from; the manifest's own when None.
        group_regex: Searched in each clip_id; its captures, joined by `_`, name the group, or all
            it matches where it captures nothing.

    Returns:
        The clips, a tree's in natural order and a manifest's in its own, and the folder that their
        paths start from.

    Raises:
        FileNotFoundError: If `data` does not exist.
        NotADirectoryError: If `data_root` is no folder.
        ValueError: If `data` is neither, holds no clips or breaks a rule, or if `group_regex` is
            no regular expression or finds no group in a clip_id.
    """
    data = Path(data)
    if data.is_dir():
        if data_root is not None:
            raise ValueError(
                f"{data}: --data_root={data_root} is for a manifest, but --data is a folder, "
                "which is its own root. Leave --data_root out."
            )
        clips, root = find_clips(data), data
    elif not data.exists():
        raise FileNotFoundError(
            f"{data}: no such file or folder. Expected --data to be a folder of classes or a .csv "
            "manifest."
        )
    elif data.suffix.lower() != ".csv":
        raise ValueError(
            f"{data}: expected --data to be a folder of classes or a .csv manifest, received a "
            f"{data.suffix or 'suffixless'} file. A folder looks like this:{_EXPECTED_TREE}"
        )
    else:
        clips, root = read_manifest(data), Path(data.parent if data_root is None else data_root)
        if not root.is_dir():
            raise NotADirectoryError(
                f"{root}: expected --data_root, given or remembered by the cache, to be a folder. "
                "Name the one that the clips are in now: --data_root=... (with make: make features "
                "FLAGS=--data_root=...)."
            )
    warn_of_passed_over(dict.fromkeys(root / clip.path for clip in clips))
    return add_groups(clips, group_regex), root


def find_clips(folder: Path) -> list[Clip]:
    """Finds the clips of a folder tree, without opening files.

    Links are followed; hidden entries, files of other kinds, caches and runs are passed over.

    Args:
        folder: DATA/<class>/<clip>/, DATA/<class>/<clip>.mp4, or the same below train, val, test.

    Returns:
        At least one clip, in natural order; a clip_id is the path without a video's suffix.

    Raises:
        ValueError: If there are no clips, split folders and class folders are mixed, a class holds
            only still images, or two clips would have the same clip_id.
    """
    folders, files = _list_folder(folder)
    caches_and_runs = [name for name in folders if is_cache_or_run(folder / name)]
    if caches_and_runs:  # said, as a class may hold a file of such a name
        names = ", ".join(map(escape_control, caches_and_runs))
        logging.info("%s: no classes, having a cache.json or contract.json: %s", folder, names)
    folders = [name for name in folders if name not in caches_and_runs]
    passed_over = [name for name in files if _is_clip_file(name)]
    split_folders = [name for name in folders if name.lower() in _SPLIT_OF_FOLDER]
    class_folders = [name for name in folders if name not in split_folders]
    clips = []
    for name in class_folders:
        clips += _find_class_clips(folder, name, passed_over, split="")
    if clips and split_folders:
        raise ValueError(
            f"{folder}: expected every class below a split folder, since there is "
            f"{split_folders[0]!r}, received the class {clips[0].label!r} beside it. If it is a "
            "split, rename it to train, val or test; if it is a class, move it below "
            f"{split_folders[0]!r}; if that is a class too, give a .csv manifest."
        )
    for name in split_folders:
        class_names, files_beside = _list_folder(folder / name)
        passed_over += [f"{name}/{x}" for x in files_beside if _is_clip_file(x)]
        for class_name in class_names:
            class_folders.append(f"{name}/{class_name}")
            split = _SPLIT_OF_FOLDER[name.lower()]
            clips += _find_class_clips(folder, class_folders[-1], passed_over, split=split)
    if not clips:
        _refuse_empty(folder, files, passed_over)
    classes_with_clips = {clip.path.rpartition("/")[0] for clip in clips}
    _warn_of_empty_classes(folder, [x for x in class_folders if x not in classes_with_clips])
    if passed_over:
        logging.warning("%s: %s", folder, _tell_of_passed_over(passed_over))
    check_clips(clips, places=[escape_control(str(folder / clip.path)) for clip in clips])
    return clips


def _refuse_empty(folder: Path, files: list[str], passed_over: list[str]) -> None:
    if _has_image(files):
        raise ValueError(
            f"{folder}: expected a folder of classes, received images, the frames of one clip. "
            f"Give the folder two levels above:{_EXPECTED_TREE}"
        )
    told = f" {_tell_of_passed_over(passed_over)}." if passed_over else ""
    raise ValueError(
        f"{folder}: expected clips in class folders, found none.{told} Arrange them so, or give a "
        f".csv manifest:{_EXPECTED_TREE}"
    )


def _tell_of_passed_over(names: list[str]) -> str:
    return (
        f"Passed over, as not where clips are or no videos by their names: {len(names)}, such as "
        f"{escape_control(names[0])}"
    )


def _warn_of_empty_classes(folder: Path, class_folders: list[str]) -> None:
    if not class_folders:
        return
    logging.warning(
        "%s: class folders without a clip (%d): %s. Expected folders of frames, or videos (%s)",
        folder,
        len(class_folders),
        name_some([*map(escape_control, class_folders)], limit=_MAX_NAMED),
        " ".join(sorted(_CLIP_FILE_SUFFIXES)),
    )


def _is_clip_file(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in _CLIP_FILE_SUFFIXES


def _find_class_clips(
    root: Path, class_folder: str, passed_over: list[str], *, split: str
) -> list[Clip]:
    """Finds the clips of a class, and adds to what is passed over."""
    folders, files = _list_folder(root / class_folder)
    inner = [name for name in folders if is_cache_or_run(root / class_folder / name)]
    passed_over += [f"{class_folder}/{name}" for name in inner]
    stem_of = {name: name for name in folders if name not in inner}
    for name in files:
        if _is_clip_file(name):
            stem_of[name] = os.path.splitext(name)[0]
        else:
            passed_over.append(f"{class_folder}/{name}")
    place = escape_control(str(root / class_folder))
    if not stem_of and _has_image(files):
        raise ValueError(
            f"{place}: expected clips in the class folder, found only still images. A clip is a "
            "folder of frames or a video file. If this is one, move it into a folder "
            "of its class; else give the frames of each clip (or each still image) a folder of "
            f"their own:{_EXPECTED_TREE}"
        )
    name_of: dict[str, str] = {}
    for name in sorted(stem_of, key=natural_key):
        first = name_of.setdefault(stem_of[name], name)
        if first != name:
            clip_id = escape_control(f"{class_folder}/{stem_of[name]}")
            raise ValueError(
                f"{place}: {first!r} and {name!r} would both have the clip_id {clip_id}. Rename or "
                "remove one of them."
            )
    label = class_folder.rsplit("/", 1)[-1]
    return [
        Clip(f"{class_folder}/{stem}", f"{class_folder}/{name}", label, split)
        for stem, name in name_of.items()
    ]


def _list_folder(folder: Path) -> tuple[list[str], list[str]]:
    """Returns the names of the folders and of the other entries, each in natural order."""
    folders, files = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if not is_hidden(entry.name):
                (folders if is_folder(entry) else files).append(entry.name)
    return sorted(folders, key=natural_key), sorted(files, key=natural_key)


def _has_image(files: list[str]) -> bool:
    return any(os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES for name in files)
