"""Clips found in folder trees, where their files lie, and their groups."""

import os
import re

import pytest
from commands import ROOT
from refusals import refusal
from small_data import write_csv

from lrcn.common.clips.clip import Clip
from lrcn.common.clips.discover import find_clips, read_data


def make_tree(root, *names):
    """Makes empty files, and folders for the names that end with a slash."""
    for name in names:
        path = root / name
        if name.endswith("/"):
            path.mkdir(parents=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return root


def test_a_tree_of_classes(tmp_path):
    make_tree(
        tmp_path,
        *["10_run/b/", "10_run/v10.mp4", "10_run/v2.AVI", "3_walk/a/1.jpg", "3_walk/clip.v1/"],
        *["3_walk/loop.gif", "3_walk/x.tar.mkv", "3_walk/poster.jpg", "3_walk/notes.txt"],
        *["README.txt", "Thumbs.db", "classes.txt", "top.jpg", ".hidden/a/", "3_walk/.DS_Store"],
        *["3_walk/._v.mp4", "empty_class/", "docs/list.txt", "__MACOSX/3_walk/a/"],
        *["@eaDir/a.mp4/", "3_walk/@eaDir/a.mp4/1.jpg"],
    )
    clips, root = read_data(tmp_path)
    assert root == tmp_path
    assert clips == [
        Clip("3_walk/a", "3_walk/a", "3_walk"),
        Clip("3_walk/clip.v1", "3_walk/clip.v1", "3_walk"),
        Clip("3_walk/loop", "3_walk/loop.gif", "3_walk"),
        Clip("3_walk/x.tar", "3_walk/x.tar.mkv", "3_walk"),
        Clip("10_run/b", "10_run/b", "10_run"),
        Clip("10_run/v2", "10_run/v2.AVI", "10_run"),
        Clip("10_run/v10", "10_run/v10.mp4", "10_run"),
    ]


def test_videos_that_the_readme_names_are_clips(tmp_path):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (suffixes,) = re.findall("a video is a clip: (.*) and others too", text)
    names = [f"walk/clip_{i}{suffix}" for i, suffix in enumerate(suffixes.split(", "))]
    make_tree(tmp_path, *names)
    assert [clip.path for clip in find_clips(tmp_path)] == names


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look into every folder")
def test_a_class_folder_that_may_not_be_looked_into_is_named(tmp_path):
    make_tree(tmp_path, "a/x.mp4", "b/")
    (tmp_path / "b").chmod(0)
    with refusal(f"Permission denied: '{tmp_path}/b'", PermissionError):
        find_clips(tmp_path)


def test_what_is_passed_over_is_said(tmp_path, caplog):
    make_tree(tmp_path, "a/x.mp4", "a/y.mp5", "b/readme.txt", "lost.mp4", "a/.hidden")
    assert [clip.clip_id for clip in find_clips(tmp_path)] == ["a/x"]
    assert "not where clips are or no videos by their names: 3, such as" in caplog.text
    assert "such as lost.mp4" in caplog.text
    caplog.clear()
    for name in ("a/y.mp5", "b/readme.txt", "lost.mp4"):
        (tmp_path / name).unlink()
    (tmp_path / "b").rmdir()
    make_tree(tmp_path, "a/Thumbs.db", "a/desktop.ini", "$RECYCLE.BIN/", "a/$RECYCLE.BIN/x.mp4")
    make_tree(tmp_path, "System Volume Information/", "lost+found/a/")
    make_tree(tmp_path, "#recycle/a/x.mp4", "@Recycle/a/x.mp4")
    assert [clip.clip_id for clip in find_clips(tmp_path)] == ["a/x"]
    assert not caplog.text


def test_classes_without_clips_are_named(tmp_path, caplog):
    make_tree(tmp_path, "jump/a.y4m", "walk/a.mp4", "run/", "stand/a/")
    assert {clip.label for clip in find_clips(tmp_path)} == {"walk", "stand"}
    assert caplog.messages[0].startswith(
        f"{tmp_path}: class folders without a clip (2): jump, run. Expected folders of frames, or"
    )
    caplog.clear()
    make_tree(tmp_path / "splits", "train/a/x.mp4", "test/a/x.y4m")
    make_tree(tmp_path / "splits", *[f"train/b{i}/" for i in range(12)])
    assert len(find_clips(tmp_path / "splits")) == 1
    assert "class folders without a clip (13): test/a, train/b0, train/b1," in caplog.messages[0]
    assert "train/b7, train/b8 and 3 more. Expected" in caplog.messages[0]


def test_what_lies_beside_the_frames_of_clips_is_said_once(tmp_path, caplog):
    for i in (1, 2, 10):
        make_tree(tmp_path, f"a/c{i}/thumb.jpg", f"a/c{i}/frames/1.jpg", f"a/c{i}/frames/2.jpg")
    make_tree(tmp_path, "a/x.mp4", "a/y/1.jpg", "a/y/notes.txt", "a/z/frames/1.jpg")
    read_data(tmp_path)
    assert caplog.messages == [
        f"{tmp_path}/a/c1: taken for one clip. Images in it: 1; folders and videos beside them, "
        "which are passed over: 1, such as frames. Other such clips: 2. Name those that are clips, "
        "or move them out of there"
    ]


def test_images_of_other_formats_among_the_frames_of_clips_are_said_once(tmp_path, caplog):
    names = ("1.jpg", "2.jpg", "3.HEIC", "4.heic", "notes.txt", "labels.json")
    for folder in ("a/c1", "a/c2"):
        make_tree(tmp_path, *[f"{folder}/{name}" for name in names])
    (tmp_path / "a/c2/5.cr2").touch()
    make_tree(tmp_path, "a/c3/1.jpg", "a/c3/1.xml")
    rows = [f"{clip},a/{clip},a" for clip in ("c1", "c2", "c3")]
    manifest = write_csv(tmp_path, "\n".join(["clip_id,path,label", *rows, "c1b,a/c1,a"]))
    for data in (tmp_path, manifest):
        caplog.clear()
        read_data(data)
        assert caplog.messages == [
            f"{tmp_path}/a/c1: taken for one clip. Images in it: 2; images of formats that are not "
            "read, which are passed over: 2, such as 3.HEIC. Other such clips: 1. Convert those "
            "that are frames to JPEG or PNG, or move them out of there"
        ]


@pytest.mark.parametrize(
    ("train", "val", "test"),
    [("train", "val", "test"), ("Training", "valid", "testing"), ("TRAIN", "validation", "Test")],
)
def test_a_tree_with_splits(tmp_path, train, val, test):
    make_tree(tmp_path, f"{train}/walk/a.mp4", f"{val}/walk/a/", f"{test}/walk/a.mp4")
    make_tree(tmp_path, "docs/list.txt")
    assert sorted(find_clips(tmp_path), key=lambda clip: clip.split) == [
        Clip(f"{test}/walk/a", f"{test}/walk/a.mp4", "walk", "test"),
        Clip(f"{train}/walk/a", f"{train}/walk/a.mp4", "walk", "train"),
        Clip(f"{val}/walk/a", f"{val}/walk/a", "walk", "val"),
    ]


def test_links_are_followed_and_a_broken_one_is_left_to_the_decoder(tmp_path):
    store = make_tree(tmp_path / "store", "walk/a/1.jpg", "v.mp4")
    data = make_tree(tmp_path / "data", "run/")
    (data / "walk").symlink_to(store / "walk")
    (data / "run" / "v.mp4").symlink_to(store / "v.mp4")
    (data / "run" / "w.mp4").symlink_to(store / "gone.mp4")
    (data / "run" / "x.mp4").symlink_to("x.mp4")  # around to itself
    assert [clip.clip_id for clip in find_clips(data)] == ["run/v", "run/w", "run/x", "walk/a"]


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], "expected clips in class folders, found none. Arrange them so"),
        (["walk/", "run/"], "DATA/walk/clip_2.mp4"),
        (["v1.mp4", "v2.mp4"], "no videos by their names: 2, such as v1.mp4. Arrange them so, or"),
        (["train/v1.mp4"], "found none. Passed over, as not where clips are or no videos by"),
        (["walk/a.npy"], "by their names: 1, such as walk/a.npy. Arrange them so, or give a .csv"),
        (["1.jpg", "2.JPG"], "received images, the frames of one clip. Give the folder two levels"),
        (["walk/a.mp4", "run/1.png"], "or a video file. If this is one, move it into a folder of"),
        (["train/walk/a.mp4", "run/b.mp4"], "since there is 'train', received the class 'run'"),
        (["train/walk/a.mp4", "dev/walk/b.mp4"], "a split, rename it to train, val or test; if"),
        (["walk/v.mp4", "walk/v.avi"], "'v.avi' and 'v.mp4' would both have the clip_id walk/v."),
        (["walk/v.mp4", "walk/v/"], "'v' and 'v.mp4' would both have the clip_id walk/v."),
        (["walk/v.mp4", "Walk/v.mp4"], "differ only by case or Unicode form"),
        (["walk /v.mp4"], "expected a class name, not empty and without white space"),
        (["walk/a\nb.mp4"], "expected clip_id to be a relative path"),
        (["walk/" + os.fsdecode(b"\xff.mp4")], "byte that is not UTF-8"),
    ],
)
def test_trees_without_clear_clips_are_refused(tmp_path, names, text):
    make_tree(tmp_path, *names)
    if "Walk/v.mp4" in names and len(os.listdir(tmp_path)) == 1:
        pytest.skip("This file system ignores case.")
    with refusal(text) as caught:
        find_clips(tmp_path)
    assert str(caught.value).startswith(str(tmp_path))


@pytest.mark.parametrize("names", [["a.mp4"], ["a.mp4", "a.avi"], ["1.png"]])
def test_a_class_folder_whose_name_breaks_a_line_is_named_in_one(tmp_path, names):
    make_tree(tmp_path, *[f"wa\nlk/{name}" for name in names])
    with refusal(f"{tmp_path}/wa\\nlk") as caught:
        find_clips(tmp_path)
    assert "\nlk" not in str(caught.value)


def test_a_manifest_has_its_own_folder_or_the_data_root(tmp_path):
    path = write_csv(tmp_path, "clip_id,path,label\na,a.mp4,walk\n")
    (tmp_path / "videos").mkdir()
    assert read_data(path) == ([Clip("a", "a.mp4", "walk")], tmp_path)
    assert read_data(str(path), data_root=tmp_path / "videos")[1] == tmp_path / "videos"
    with pytest.raises(
        NotADirectoryError, match="--data_root, given or remembered by the cache, to"
    ):
        read_data(path, data_root=tmp_path / "gone")


def test_a_cache_or_run_within_the_data_is_no_class_and_is_named(tmp_path, caplog):
    make_tree(tmp_path, "walk/v.mp4", "run/v.mp4")
    expected = read_data(tmp_path)
    make_tree(tmp_path, "cache/cache.json", "cache/clips/walk/v.h5", "mine/contract.json", "mine/a")
    assert not caplog.text
    with caplog.at_level("INFO"):
        assert read_data(tmp_path) == expected
    assert f"{tmp_path}: no classes, having a cache.json or contract.json: cache, mine" in (
        caplog.text
    )
    make_tree(tmp_path, "walk/cache/cache.json", "walk/cache/1.png")  # nor a clip of a class
    assert read_data(tmp_path) == expected
    assert "Passed over, as not where clips are" in caplog.text and "walk/cache" in caplog.text


def test_data_that_is_neither_folder_nor_manifest(tmp_path):
    make_tree(tmp_path, "walk/v.mp4", "walk/README")
    with pytest.raises(FileNotFoundError, match="gone: no such file or folder"):
        read_data(tmp_path / "gone")
    with refusal("received a .mp4 file. A folder looks like this:"):
        read_data(tmp_path / "walk" / "v.mp4")
    with refusal("received a suffixless file"):
        read_data(tmp_path / "walk" / "README")
    with refusal("is for a manifest, but --data is a folder"):
        read_data(tmp_path, data_root=tmp_path)


@pytest.mark.parametrize(
    ("row", "group_regex", "group"),
    [
        ("walk/v_HandStand_g07_c02,", None, "HandStand_g07"),
        ("v_HandStand_g07_c02,", None, "HandStand_g07"),
        ("walk/v_HandStand_g07_c02,mine", None, "mine"),
        ("walk/my_v_HandStand_g07_c02,", None, ""),
        ("walk/v_HandStand_g07,", None, ""),
        ("walk/April_09_walk_u_nm_np1_ba_goo_0,", None, "walk/April_09"),
        ("April_09_walk_u_nm_np1_ba_goo_12,", None, "walk/April_09"),
        ("walk/April_09_hike_u_nm_np1_ba_goo_0,", None, "walk/April_09_hike"),
        ("walk/April_09_walk_u_nm_np1_ba_goo_0,mine", None, "mine"),
        ("walk/person03_a1,", None, ""),
        ("walk/person03_a1,", "person[0-9]+", "person03"),
        ("walk/person03_a1,", "person([0-9]+)_a([0-9])", "03_1"),
        ("walk/person03_a1,", "person([0-9]+)(_b)?", "03"),
        ("walk/person03_a1,mine", "no match", "mine"),
        ("walk/v_HandStand_g07_c02,", "_g([0-9]+)", "07"),
    ],
)
def test_a_given_group_wins_then_the_regex_then_a_known_name(tmp_path, row, group_regex, group):
    path = write_csv(tmp_path, f"clip_id,group,path,label\n{row},a.mp4,walk\n")
    assert read_data(path, group_regex=group_regex)[0][0].group == group


def test_a_group_regex_must_fit(tmp_path):
    make_tree(tmp_path, "walk/person1.mp4", "walk/other.mp4")
    with refusal("clip 'walk/other': --group_regex='person([0-9]+)' finds no group in it."):
        read_data(tmp_path, group_regex="person([0-9]+)")
    with refusal("--group_regex='(': expected a regular expression, but: "):
        read_data(tmp_path, group_regex="(")
