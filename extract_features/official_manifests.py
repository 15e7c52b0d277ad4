"""From the official lists of a data set to a manifest for each of its splits."""

from pathlib import Path

from absl import logging

from lrcn.common.clips.clip import Clip
from lrcn.common.clips.discover import read_data
from lrcn.common.clips.group_leaks import find_group_leaks
from lrcn.common.clips.manifest import read_manifest, write_manifests
from lrcn.common.clips.official_lists import find_official_clips, read_official_lists
from lrcn.common.clips.splits import describe_splits, draw_splits

_NAMED = 3


def write_official_manifests(
    lists_dir: Path, *, data: Path, output_dir: Path, val_fraction: float, seed: int
) -> list[Path]:
    """Writes `split_1.csv` and so on: the clips of each split, val drawn from its train by group.

    Clips that a split does not use, or that are not listed, are left out of its manifest. What is
    listed but not there is counted and named in the log, since the score is then not comparable.

    Args:
        lists_dir: See `read_official_lists`.
        data: Folder tree or manifest, see `discover.read_data`.
        output_dir: Made where there is none.
        val_fraction: Part of each class's clips to draw for val, in [0, 1).
        seed: Decides the draw.

    Returns:
        The manifests. Their paths start from the root of `data`.

    Raises:
        FileExistsError: If a manifest of other content is there already.
        FileNotFoundError: If there is no data.
        NotADirectoryError: If the folder of the lists is not there.
        ValueError: If lists and data do not fit.
    """
    splits = read_official_lists(lists_dir)
    clips, data_root = read_data(data)
    manifests: dict[Path, list[Clip]] = {}
    for number, videos in splits.items():
        official, missing = find_official_clips(clips, videos)
        drawn = draw_splits(official, seed=seed, val_fraction=val_fraction, test_fraction=0.0)
        _log_split(number, drawn, missing, num_others=len(clips) - len(drawn))
        manifests[output_dir / f"split_{number}.csv"] = drawn
    for path, wanted in manifests.items():
        if path.exists() and read_manifest(path) != wanted:
            raise FileExistsError(
                f"{path}: holds other clips or splits than these. Name another --output_dir, or "
                "remove it."
            )
    output_dir.mkdir(parents=True, exist_ok=True)
    write_manifests(manifests)
    # A manifest may be a cache's, whose paths start from elsewhere.
    if data.is_dir() and not output_dir.samefile(data_root):
        logging.info(
            "Their paths start from %s: to extract one, give it with --data_root=%s",
            data_root,
            data_root,
        )
    return list(manifests)


def _log_split(number: int, clips: list[Clip], missing: list[str], *, num_others: int) -> None:
    logging.info(
        "split %d: %s; clips of --data that are not used: %d",
        number,
        describe_splits(clips),
        num_others,
    )
    if missing:
        logging.warning(
            "split %d: listed videos that are not in --data: %d, such as %s. The score will not be "
            "comparable with published ones",
            number,
            len(missing),
            ", ".join(missing[:_NAMED]),
        )
    leaks = find_group_leaks(clips)
    if leaks:
        logging.warning(
            "split %d: source videos that are, by their names, both in train and in test: %d, such "
            "as %s. Training wants --allow_group_leak in the cache",
            number,
            len(leaks),
            ", ".join(list(leaks)[:_NAMED]),
        )
