"""A file that several names lead to, by links, is one: its clips are drawn and told of together."""

import dataclasses
import logging
import os
import re
import shutil

import pytest
from refusals import refusal

from extract_features.given_data import DataSettings, read_given_data
from extract_features.shared_files import join_shared_files
from lrcn.common.clips.clip import Clip
from lrcn.common.clips.manifest import write_manifest


def link(path, target, *, hard=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    if hard:
        os.link(target, path)
    else:
        path.symlink_to(target)


@pytest.fixture
def store(tmp_path):
    """A folder of files, and of a folder of frames; nobody opens them here."""
    folder = tmp_path / "store"
    (folder / "frames").mkdir(parents=True)
    for name in ("w0.mp4", "w1.mp4", "frames/0.png"):
        (folder / name).write_bytes(b"")
    return folder


@pytest.mark.parametrize("kind", ["symlink", "hard_link", "class_folder", "frames", "target_gone"])
def test_a_file_that_two_names_lead_to_is_in_one_split(store, tmp_path, kind, caplog):
    data = tmp_path / "data"
    train, test = data / "train" / "walk", data / "test" / "walk"
    name = "w0.mp4"
    if kind == "class_folder":
        for folder in (train, test):
            link(folder, store)
    elif kind == "frames":
        name = "frames"
        shutil.copytree(store / name, train / name)
        link(test / name, train / name)
    else:
        link(train / name, store / name)
        link(test / name, store / name, hard=kind == "hard_link")
    if kind == "target_gone":
        (store / name).unlink()
    said = caplog.at_level(logging.INFO)
    with said, refusal(f"{data}: expected every group in one split, received ") as caught:
        read_given_data(DataSettings(data=data), None)
    clip_id = name.removesuffix(".mp4")
    expected = f"  'test/walk/{name}' (train: 'train/walk/{clip_id}'; test: 'test/walk/{clip_id}')"
    assert expected in str(caught.value)
    assert re.search(
        "such as train/walk/.+, which is test/walk/.+ too[.] These groups", caplog.text
    )


def test_a_manifest_of_a_file_and_its_link_is_refused(store, tmp_path):
    link(tmp_path / "v.mp4", store / "w0.mp4", hard=True)
    clips = [
        Clip("c0", "store/w0.mp4", "walk", "train"),
        Clip("c1", "v.mp4", "run", "test"),
        Clip("c2", "store/w1.mp4", "walk", "train", group="s"),
    ]
    write_manifest(tmp_path / "clips.csv", clips)
    with refusal("  'store/w0.mp4' (train: line 2 'c0'; test: line 3 'c1')"):
        read_given_data(DataSettings(data=tmp_path / "clips.csv"), None)


def test_links_are_drawn_with_what_they_lead_to_alike_on_every_machine(tmp_path):
    drawn = []
    for folder, order in ((tmp_path / "a", range(20)), (tmp_path / "b", reversed(range(20)))):
        for i in order:  # so that the numbers of the files come in another order
            path = folder / "walk" / f"v{i}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
            link(folder / "walk" / f"link{i}.mp4", path, hard=i % 2 == 0)
        drawn.append(read_given_data(DataSettings(data=folder), None).clips)
    assert drawn[0] == drawn[1]
    split_of = {clip.clip_id: clip.split for clip in drawn[0]}
    assert set(split_of.values()) == {"train", "val", "test"}
    for i in range(20):
        assert split_of[f"walk/v{i}"] == split_of[f"walk/link{i}"]
    clips = [dataclasses.replace(clip, split="", group="") for clip in drawn[0]]
    joined, from_behind = (join_shared_files(x, tmp_path / "a") for x in (clips, clips[::-1]))
    assert joined == from_behind[::-1]


def _has_equal_roots():
    return os.path.isdir("/sys") and os.stat("/sys").st_ino == os.stat("/proc").st_ino


@pytest.mark.skipif(not _has_equal_roots(), reason="no /proc and /sys of one number here")
def test_files_of_one_number_on_two_disks_are_two(tmp_path):
    for name, disk in (("a", "/proc"), ("b", "/sys")):
        link(tmp_path / name, disk)
    clips = [Clip("c0", "a", "walk", group="s0"), Clip("c1", "b", "run", group="s1")]
    assert join_shared_files(clips, tmp_path) == clips


def test_a_file_of_two_labels_is_said_once(tmp_path, caplog):
    for i in range(8):
        path = tmp_path / "walk" / f"v{i}.mp4"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
        link(tmp_path / "run" / f"v{i}.mp4", path)
    read_given_data(DataSettings(data=tmp_path), None)
    said = [message for message in caplog.messages if "of different labels" in message]
    assert said == [
        "Files that are clips of different labels: 8, such as run/v0.mp4: run/v0 is 'run', walk/v0 "
        "is 'walk'. Correct the labels, or take all but one out"
    ]
    caplog.clear()
    # Spans of one video may well show different things.
    clips = [Clip(f"c{i}", f"walk/v{i // 2}.mp4", ("walk", "run")[i % 2]) for i in range(16)]
    clips = [
        dataclasses.replace(x, start_sec=float(i % 2), end_sec=2.0) for i, x in enumerate(clips)
    ]
    write_manifest(tmp_path / "spans.csv", clips)
    read_given_data(DataSettings(data=tmp_path / "spans.csv"), None)
    assert "of different labels" not in caplog.text
