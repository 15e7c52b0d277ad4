"""Other splits of a small cache."""

import dataclasses

from small_data import make_ramps, write_cache

from lrcn.common.clips.manifest import read_manifest, write_manifest


def write_pairs(folder, num_pairs):
    """Writes a cache of pairs of train clips; the twins of a pair are a group."""
    features = {
        dataclasses.replace(clip, group=clip.clip_id.rpartition("/")[2]): maps
        for clip, maps in make_ramps(num_pairs, split="train").items()
    }
    return write_cache(folder, features)


def write_swapped(clips, path):
    """Writes clips to a manifest, those of val for test and the other way around."""
    swapped = {"train": "train", "val": "test", "test": "val"}
    write_manifest(path, [dataclasses.replace(clip, split=swapped[clip.split]) for clip in clips])
    return path


def write_splits(cache, path, *, test, val=(), change=None):
    """Writes the cache's clips with the given groups held out, and without the groups' names."""
    split_of = {f"train_{i}": "test" for i in test} | {f"train_{i}": "val" for i in val}
    clips = [
        dataclasses.replace(clip, split=split_of.get(clip.group, "train"), group="")
        for clip in read_manifest(cache.manifest_path)
    ]
    changed = clips if change is None else map(change, clips)
    write_manifest(path, [clip for clip in changed if clip is not None])
    return path
