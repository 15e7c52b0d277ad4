"""Clips of a class, made up for tests of splits and groups."""

from lrcn.common.clips.clip import Clip


def make_clips(label, count, *, group="", split=""):
    start = f"{label}/{group or 'x'}{split}"
    return [Clip(f"{start}{i}", f"{start}{i}.mp4", label, split, group) for i in range(count)]
