"""The clips of a run and their splits: those of the cache, or of a manifest of the user's."""

import dataclasses
from pathlib import Path

from lrcn.common.clip import Clip
from lrcn.common.feature_cache import FeatureCache
from lrcn.common.group_leaks import check_group_leaks
from lrcn.common.manifest import read_manifest


def read_run_clips(cache: FeatureCache, manifest_path: Path) -> list[Clip]:
    """Reads the clips that a run is trained, chosen and scored on.

    Args:
        cache: The cache with their features.
        manifest_path: The cache's manifest, or another of its clips with splits of its own, such
            as one of several official splits. A clip without a group has the one that the cache
            knows.

    Returns:
        The clips, each with a split.

    Raises:
        OSError: If there is no such manifest.
        ValueError: If it breaks a rule, a clip has no split, or a group straddles splits and the
            cache does not allow it.
    """
    if not manifest_path.exists():
        raise FileNotFoundError(
            f"{manifest_path}: no such manifest. Expected a .csv with the clips and their splits."
        )
    group_of = {clip.clip_id: clip.group for clip in read_manifest(cache.manifest_path)}
    clips = [
        dataclasses.replace(clip, group=clip.group or group_of.get(clip.clip_id, ""))
        for clip in read_manifest(manifest_path)
    ]
    without = [clip.clip_id for clip in clips if not clip.split]
    if without:
        raise ValueError(
            f"{manifest_path}: expected a split for every clip. Received {len(without)} without, "
            f"such as {without[0]!r}. Give it train, val or test, or take it out."
        )
    if not cache.data_settings.get("allow_group_leak"):
        check_group_leaks(clips, source=manifest_path)
    return clips
