"""What the arguments of a prediction stand for: videos, frame folders, or features; and folders."""

from collections.abc import Iterator
from pathlib import Path

from absl import logging

from lrcn.common.clips.clip_folder import (
    IMAGE_SUFFIXES,
    VIDEO_SUFFIXES,
    list_clip_folder,
    warn_of_passed_over,
)
from lrcn.common.files.escaped_text import escape_control
from lrcn.common.files.natural_sort import natural_key
from lrcn.common.files.unreadable import check_is_file
from lrcn.common.pixels.images import is_animation
from train_head.predictions.new_features import iter_datasets, locate_features

_FEATURE_SUFFIXES = {".npy", ".npz", ".h5", ".hdf5"}
_EXPECTED_FEATURES = (
    "expected .npy files or datasets of an HDF5 file, since the run was trained on features that "
    "another tool computed. Received: {}. Compute the clips' features by that tool, and name these."
)


def find_sources(arguments: list[str], *, are_features: bool = False) -> list[Path]:
    """Expands the given paths to clips.

    A file is a clip. So is a folder with more images than videos, as in stage 1: of its images, and
    a warning tells what lies beside them. Any other folder stands for all clips below it, in
    natural order; images that are no more than the videos are their thumbnails. An animated GIF
    counts as a video, and a picture that explains an earlier prediction as no image. A link to a
    folder that it lies in is passed over. So are files that are no videos by their names, of which
    a warning tells.

    Where they are features, a clip is a `.npy` file or a dataset of an HDF5 file. A folder stands
    for all such files below it, an HDF5 file, or the path of a group in it, for all its datasets.

    Raises:
        FileNotFoundError: If a path does not exist.
        ValueError: If a path is empty, a folder holds no clip, or a path is a pipe, a device or a
            table; or features where there should be videos, or the other way around.
    """
    sources, passed_over = [], []
    for argument in arguments:
        if not argument:  # of a variable that is not set; Path takes it for the current folder
            raise ValueError(
                "expected videos or clips as arguments, received an empty one. Name a path, or `.` "
                "for the current folder."
            )
        path = Path(argument)
        # Of a dataset the file exists.
        if not path.exists() and not (are_features and locate_features(path)[0].is_file()):
            # As it was given: a path has one slash of a URL's two.
            remedy = "Download it first" if "://" in argument else "Correct the path"
            raise FileNotFoundError(
                f"{argument}: no such file or folder. Expected a video or clips. {remedy}."
            )
        if path.exists():
            check_is_file(path, path.stat().st_mode)
        _check_kind(path, are_features=are_features)
        found = list(_iter_clips(path, passed_over, are_features=are_features))
        if not found and are_features:
            raise ValueError(f"{path}: {_EXPECTED_FEATURES.format('none in it')}")
        if not found:
            raise ValueError(
                f"{path}: expected a folder of frames or of videos. Received: neither images "
                f"({', '.join(sorted(IMAGE_SUFFIXES))}) nor videos "
                f"({', '.join(sorted(VIDEO_SUFFIXES))}) in it. Name another or, of features that "
                "another tool computed, a --run_dir that was trained on such."
            )
        sources += found
    warn_of_passed_over(sources)
    if passed_over:
        logging.warning(
            "Passed over, as no %s by their names: %d, such as %s. Name those that are, as "
            "arguments of their own",
            ".npy files" if are_features else "videos",
            len(passed_over),
            escape_control(str(passed_over[0])),
        )
    return sources


def _check_kind(path: Path, *, are_features: bool) -> None:
    suffix = path.suffix.lower()
    if not path.is_file():
        return
    if suffix == ".csv":  # a manifest, which a decoder would call a damaged video
        raise ValueError(
            f"{path}: expected clips as arguments. Received: a table. Name the clips themselves, "
            "or a folder of them; cut spans out of their video first."
        )
    if are_features and suffix in VIDEO_SUFFIXES | IMAGE_SUFFIXES:
        raise ValueError(f"{path}: {_EXPECTED_FEATURES.format('a video or an image')}")
    if not are_features and suffix in _FEATURE_SUFFIXES:
        raise ValueError(
            f"{path}: expected a video or a folder of frames, whose features the run computes "
            "itself. Received: features. Name what they are of, or a --run_dir that was trained on "
            "imported features."
        )


def _iter_clips(
    path: Path,
    passed_over: list[Path],
    *,
    are_features: bool,
    within: frozenset[Path] = frozenset(),
) -> Iterator[Path]:
    """Yields the clips of a path, and adds to the files that are passed over."""
    if not path.is_dir():  # of a pipe or a broken link among clips, the decoder tells
        has_datasets = are_features and locate_features(path)[0].is_file()
        yield from iter_datasets(path) if has_datasets else [path]
        return
    if path.resolve() in within:
        return
    contents = list_clip_folder(path)
    if are_features:
        files = [*contents.others, *contents.videos, *(entry.name for entry in contents.images)]
        clips = [name for name in files if name.endswith(".npy")]
        others = [name for name in files if not name.endswith(".npy")]
    else:
        stills, clips, others = [], contents.videos, contents.others
        for entry in contents.images:
            if is_animation(entry.path):
                clips.append(entry.name)  # to `contents.videos`, so it counts as one
            else:
                stills.append(entry)
        if contents._replace(images=stills).is_clip:
            yield path
            return
    passed_over += [path / name for name in others]
    for name in sorted([*contents.folders, *clips], key=natural_key):
        yield from _iter_clips(
            path / name, passed_over, are_features=are_features, within=within | {path.resolve()}
        )
