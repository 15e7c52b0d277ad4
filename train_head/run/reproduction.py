"""The commands that make a cache or a run once more."""

import os
import re
import shlex
from pathlib import Path

from lrcn.common.cache.clip_features import open_clip, read_text
from lrcn.common.cache.failure_list import read_failure_rows
from lrcn.common.cache.feature_cache import FeatureCache
from lrcn.common.cache.run_dir import RunDir
from lrcn.common.clips.clip import Clip
from lrcn.common.clips.manifest import find_class_names
from lrcn.common.clips.span import Span
from train_head.run.config import read_config
from train_head.run.run_clips import read_listed


def make_extraction_command(
    cache: FeatureCache,
    *,
    cache_dir: str,
    cut: str | None = None,
    manifest_path: Path | None = None,
) -> str:
    """Returns the command that extracts a cache's clips as they were, into another folder.

    Args:
        cache: What VGG16 made.
        cache_dir: The other folder.
        cut: Another cut; None for the cache's own.
        manifest_path: Which clips; None for those that the cache lists now.

    Raises:
        ValueError: If the features are imported.
    """
    contract = cache.contract
    if contract.is_imported:
        raise ValueError(
            f"{cache.cache_dir}: holds features imported from {contract.weights}, and how to "
            "compute those from pixels is not known here. Expected a cache that extract_features "
            "made: name one as --cache_dir."
        )
    flags = {
        "data": manifest_path or cache.cache_dir.resolve() / cache.manifest_path.name,
        "data_root": cache.data_root,
        "cache_dir": cache_dir,
        "cut": cut or contract.cut,
        "weights": contract.weights,
        "image_size": contract.image_size_px,
        "compute_dtype": contract.compute_dtype,
        "views": contract.views,
        **contract.selection.list_flags(),
    }
    if cache.data_settings.get("allow_group_leak"):
        flags["allow_group_leak"] = "true"
    if _holds_parts(cache):
        flags["keep_partial"] = "true"
    return _make_command("extract_features", flags)


def list_commands(run: RunDir, cache: FeatureCache) -> list[str]:
    """Returns the commands that make a run once more, from the clips on, and its report.

    They read what they name from any folder, and write below the one that they are run in. Bytes of
    a path that are not UTF-8 stand as bash reads them.
    """
    commands = []
    # Of folders alone: a file may be a link to one whose name has no ending.
    run, cache_dir = RunDir(run.path.resolve()), str(cache.cache_dir.resolve())
    if not cache.contract.is_imported:
        cache_dir = "new_cache"
        commands.append(
            make_extraction_command(
                cache, cache_dir=cache_dir, manifest_path=_find_manifest(run, cache)
            )
        )
        if not _has_sorted_classes(run):
            classes = [str(run.classes_path), f"{cache_dir}/classes.txt"]
            commands.append(shlex.join(["cp", *classes]))
    again = {"cache_dir": cache_dir, "run_dir": "new_run"}
    flags = {"flagfile": run.flags_path, **again, "manifest": run.manifest_path}
    if run.frame_labels_path.exists():
        flags["frame_labels"] = run.frame_labels_path
    commands.append(_make_command(read_config(run).program, flags))
    commands.append(_make_command("train_head.report", again))
    return [_escape_bytes(command) for command in commands]


def _find_manifest(run: RunDir, cache: FeatureCache) -> Path | None:
    """Finds the list to extract from: the run's own copy, as the cache may list other clips by now.

    None stands for the cache's. It lists the same clips then, but knows where they have moved to.
    """
    listed, clips = read_listed(cache), run.read_clips()
    is_same = {*map(_describe, listed)} == {*map(_describe, clips)}
    is_moved = {clip.path for clip in listed} != {clip.path for clip in clips}
    return None if is_same and is_moved else run.manifest_path


def _describe(clip: Clip) -> tuple[str, str, Span]:
    return clip.clip_id, clip.label, clip.span


def _has_sorted_classes(run: RunDir) -> bool:
    """Whether the classes stand as a new cache has them; one that came later stands last.

    Labels of frames have classes of their own.
    """
    names = find_class_names(run.read_clips())
    return read_config(run).labels == "frame" or run.read_class_names() == names


def _holds_parts(cache: FeatureCache) -> bool:
    """Whether a clip holds only the first part of its source; `failures.csv` lists such clips."""
    paths = [cache.clip_path(clip_id) for clip_id, *_ in read_failure_rows(cache.failures_path)]
    return any(_is_part(path, cache) for path in paths if path.exists())


def _is_part(path: Path, cache: FeatureCache) -> bool:
    with open_clip(path, cache.contract, contract_path=cache.contract_path) as file:
        return bool(read_text(file.id, "broken_off", ""))


def _escape_bytes(command: str) -> str:
    # They stand within quotes of `shlex`, which end for them and begin anew: 'caf'$'\351''s'.
    return re.sub(
        "[\udc80-\udcff]+",
        lambda found: "'$'" + "".join(rf"\{x:03o}" for x in os.fsencode(found[0])) + "''",
        command,
    )


def _make_command(module: str, flags: dict) -> str:
    return shlex.join(["python", "-m", module, *(f"--{k}={v}" for k, v in flags.items())])
