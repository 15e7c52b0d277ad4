"""Manifests, class names and folder trees: what is read, and what is refused."""

import os
import re

import pytest

from lrcn.common.clip import Clip
from lrcn.common.discover import find_clips, read_data
from lrcn.common.manifest import (
    COLUMNS,
    find_class_ids,
    find_class_names,
    read_class_names,
    read_manifest,
    write_class_names,
    write_manifest,
)
from lrcn.common.natural_sort import natural_key


def write_csv(folder, text, *, encoding="utf-8"):
    path = folder / "manifest.csv"
    path.write_bytes(text.encode(encoding))
    return path


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


def refusal(text):
    return pytest.raises(ValueError, match=re.escape(text))


# Natural order


def test_natural_order_counts_and_ignores_case():
    names = ["10_run", "3_walk", "Frame10", "frame2", "frame02", "a", "B", "x²", "x٣", ""]
    expected = ["", "3_walk", "10_run", "a", "B", "frame02", "frame2", "Frame10", "x²", "x٣"]
    assert sorted(names, key=natural_key) == expected
    names.reverse()
    assert sorted(names, key=natural_key) == expected


def test_natural_order_takes_longer_numbers_than_int_does():
    assert natural_key("1" + "0" * 5000) < natural_key("2" + "0" * 5000)


# Manifest


def test_round_trip_is_exact(tmp_path):
    clips = [
        Clip("walk/b 1", "walk/b 1.mp4", "walk"),
        Clip('say "hi", twice', 'x,"y".mp4', 'say "hi", twice', "val", "s,1", 0.1, 1 / 3),
        Clip("歩く/клип ٣", "歩く/клип.mp4", "歩く", "train", "مجموعة", 0.0, 1e-9),
        Clip(" a;'", "./ a;'", "#1", "test", " ", None, 1e300),
        Clip("b/c", "walk/b 1.mp4", "walk", "", "", 2.5, None),
    ]
    write_manifest(tmp_path / "m.csv", clips)
    assert read_manifest(tmp_path / "m.csv") == clips
    assert [path.name for path in tmp_path.iterdir()] == ["m.csv"]


def test_columns_come_in_any_order_and_the_last_four_may_lack(tmp_path):
    path = write_csv(tmp_path, "label,clip_id,path\r\nwalk,a,a.mp4\r\n\r\nrun,b,b.mp4")
    assert read_manifest(path) == [Clip("a", "a.mp4", "walk"), Clip("b", "b.mp4", "run")]


def test_a_byte_order_mark_is_taken(tmp_path):
    path = write_csv(tmp_path, "clip_id,path,label\na,a.mp4,é\n", encoding="utf-8-sig")
    assert read_manifest(path) == [Clip("a", "a.mp4", "é")]


@pytest.mark.parametrize(
    "clip_id",
    ["a", "a/b", "a b", "a.h5", "..a", "a..b/...", "v_é", "歩く", "-rf", "C:", "a/.hidden", "~"],
)
def test_safe_clip_ids(tmp_path, clip_id):
    path = write_csv(tmp_path, f"clip_id,path,label\n{clip_id},a.mp4,walk\n")
    assert read_manifest(path)[0].clip_id == clip_id


@pytest.mark.parametrize(
    "clip_id",
    [
        *["", ".", "..", "/a", "a/", "a//b", "../a", "a/../b", "a/..", "./a", "a/./b", "a\\b"],
        *["a\tb", "a\x00", "\x7f", "a\x85", "a\u2028b", '"a\nb"', "\ufeffa"],
    ],
)
def test_unsafe_clip_ids(tmp_path, clip_id):
    path = write_csv(tmp_path, f"clip_id,path,label\nok,a.mp4,walk\n{clip_id},a.mp4,walk\n")
    with refusal(f"{path}:3: expected clip_id to be a relative path such as walk/clip_1"):
        read_manifest(path)


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ("a,,walk,,,,", "expected path to be relative to the data root"),
        ("a,/a.mp4,walk,,,,", "received '/a.mp4'. Shorten it, and name the folder that the paths"),
        ("a,x/../../a.mp4,walk,,,,", "start from with --data_root"),
        ("n" * 248 + ",a.mp4,walk,,,,", "a name of at most 247 bytes, received 248. Rename it"),
        ("a,x\\a.mp4,walk,,,,", "backslash or control character, received 'x\\\\a.mp4'"),
        ("a,a\x01.mp4,walk,,,,", "received 'a\\x01.mp4'"),
        ("a,a.mp4,,,,,", "expected a class name, not empty"),
        ("a,a.mp4, walk,,,,", "without white space around it or control characters"),
        ("a,a.mp4,wa\x02lk,,,,", "received 'wa\\x02lk'. Rename it"),
        ("a,a.mp4,walk,Train,,,", "split to be train, val, test or empty, received 'Train'"),
        ("a,a.mp4,walk,,g\x03,,", "expected group without control characters"),
        ("a,a.mp4,walk,,,now,", "expected start_sec in seconds, such as 1.5, received 'now'"),
        ("a,a.mp4,walk,,,nan,", "expected start_sec to be finite and at least 0, received nan"),
        ("a,a.mp4,walk,,,,inf", "expected end_sec to be finite and at least 0, received inf"),
        ("a,a.mp4,walk,,,-1,", "expected start_sec to be finite and at least 0, received -1.0"),
        ("a,a.mp4,walk,,,2,2", "end_sec after start_sec, received start_sec=2.0 and end_sec=2.0"),
        ("a,a.mp4,walk,,,,0", "expected end_sec after start_sec, received start_sec=None"),
        ("a,a.mp4,walk", "expected 7 cells as in the header, received 3. Quote cells"),
        ('a,"a"b.mp4,walk,,,,', "expected a row of CSV, but: "),
        ("ok,a.mp4,walk,,,,", "expected unique clip_ids, but 'ok' stands also at "),
        ("OK,a.mp4,walk,,,,", "clip_id 'OK' and 'ok' ("),
    ],
)
def test_bad_rows_are_named_by_file_and_line(tmp_path, row, text):
    path = write_csv(tmp_path, f"{','.join(COLUMNS)}\nok,ok.mp4,walk,,,,\n\n{row}\n")
    with refusal(text) as caught:
        read_manifest(path)
    assert str(caught.value).startswith(f"{path}:4: ")


def test_a_duplicate_names_both_lines(tmp_path):
    path = write_csv(tmp_path, "clip_id,path,label\na,a.mp4,walk\nb,b.mp4,walk\na,c.mp4,run\n")
    with refusal(f"{path}:4: expected unique clip_ids, but 'a' stands also at {path}:2. Rename"):
        read_manifest(path)


def test_a_row_that_spans_lines_is_named_by_its_first(tmp_path):
    path = write_csv(tmp_path, 'clip_id,path,label\na,"a\n\nb",walk\nb,b.mp4\n')
    with refusal(f"{path}:5: expected 3 cells"):
        read_manifest(path)
    path = write_csv(tmp_path, 'clip_id,path,label\na,"a\n\nb",walk\n')
    with refusal(f"{path}:2: expected path"):
        read_manifest(path)


def test_ids_that_one_file_system_holds_for_one_are_refused(tmp_path):
    path = write_csv(tmp_path, "clip_id,path,label\ncaf\u00e9,a.mp4,walk\ncafe\u0301,b.mp4,walk\n")
    with refusal("differ only by case or Unicode form"):
        read_manifest(path)


def test_an_id_may_be_the_folder_of_another(tmp_path):
    path = write_csv(tmp_path, "clip_id,path,label\na,a.mp4,walk\na/b,b.mp4,walk\n")
    assert [clip.clip_id for clip in read_manifest(path)] == ["a", "a/b"]


@pytest.mark.parametrize(
    ("header", "text"),
    [
        ("clip_id,path,label,fps", ":1: unknown column 'fps'. Expected the columns clip_id,path,"),
        ("clip_id;path;label", "separated by commas. Rename or remove what is not among them"),
        ("clip_id,path", ":1: no column 'label'. Expected"),
        ("", ":1: no column 'clip_id', 'path', 'label'"),
        ("clip_id,path,label,path", ":1: a column stands twice"),
        ("clip_id,path,label", ": expected a row for each clip below the header, but there is no"),
    ],
)
def test_bad_headers(tmp_path, header, text):
    path = write_csv(tmp_path, header)
    with refusal(f"{path}{text}" if text[0] == ":" else text):
        read_manifest(path)


def test_files_that_are_not_utf8(tmp_path):
    path = write_csv(tmp_path, "clip_id,path,label\na,é.mp4,walk\n", encoding="latin-1")
    with refusal(f"{path}:2: expected UTF-8 text, received byte 0xe9. Save the file as UTF-8"):
        read_manifest(path)
    path.write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00")
    with refusal(f"{path}:1: expected UTF-8 text, received byte 0x89"):
        read_manifest(path)
    path.write_bytes(b"\x00\x00\x00 ftypisom")
    with refusal(f"{path}:1: unknown column"):
        read_manifest(path)


@pytest.mark.parametrize(
    ("clips", "text"),
    [
        ([Clip("a", "a", "walk"), Clip("a", "b", "run")], "m.csv: clip 2: expected unique"),
        ([Clip("a", "a", "")], "m.csv: clip 1: expected a class name"),
        ([Clip("\udcff", "a", "walk")], "byte that is not UTF-8"),
        ([], "there is no clip"),
    ],
)
def test_a_refused_write_keeps_the_old_manifest(tmp_path, clips, text):
    old = [Clip("old", "old.mp4", "walk")]
    write_manifest(tmp_path / "m.csv", old)
    with refusal(text):
        write_manifest(tmp_path / "m.csv", clips)
    assert read_manifest(tmp_path / "m.csv") == old
    assert [path.name for path in tmp_path.iterdir()] == ["m.csv"]


# Class names


def test_class_names_and_ids(tmp_path):
    clips = [Clip(label, label, label) for label in ["10_run", "3_walk", "Ärger", "3_walk"]]
    names = find_class_names(clips)
    assert names == ["3_walk", "10_run", "Ärger"]
    assert find_class_ids(clips, names) == [1, 0, 2, 0]
    write_class_names(tmp_path / "classes.txt", names)
    assert (tmp_path / "classes.txt").read_bytes() == "3_walk\n10_run\nÄrger\n".encode()
    assert read_class_names(tmp_path / "classes.txt") == names
    (tmp_path / "classes.txt").write_bytes("\ufeff3_walk\r\n10_run\r\nÄrger".encode())
    assert read_class_names(tmp_path / "classes.txt") == names


def test_an_unknown_label_lists_the_known_ones():
    with refusal("clip 'c1': unknown label 'hop'. The classes are 'walk', 'run'."):
        find_class_ids([Clip("c1", "c1", "hop")], ["walk", "run"])


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["walk", "", "run"], "classes.txt:2: expected a class name, not empty"),
        (["walk", "run", "walk"], "classes.txt:3: expected a class name once, but 'walk' stands"),
        (["walk "], "classes.txt:1: expected a class name"),
        ([], "classes.txt:1: expected a class name"),
    ],
)
def test_bad_class_names(tmp_path, names, text):
    path = tmp_path / "classes.txt"
    with refusal(text):
        write_class_names(path, names)
    assert not path.exists()
    path.write_text("\n".join(names) + "\n")
    with refusal(text):
        read_class_names(path)


# Folder tree


def test_a_tree_of_classes(tmp_path):
    make_tree(
        tmp_path,
        *["10_run/b/", "10_run/v10.mp4", "10_run/v2.AVI", "3_walk/a/1.jpg", "3_walk/clip.v1/"],
        *["3_walk/loop.gif", "3_walk/x.tar.mkv", "3_walk/poster.jpg", "3_walk/notes.txt"],
        *["README.txt", "Thumbs.db", "classes.txt", "top.jpg", ".hidden/a/", "3_walk/.DS_Store"],
        *["3_walk/._v.mp4", "empty_class/", "docs/list.txt", "__MACOSX/3_walk/a/"],
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


def test_a_tree_with_splits(tmp_path):
    make_tree(tmp_path, "Training/walk/a.mp4", "valid/walk/a/", "test/walk/a.mp4", "docs/list.txt")
    assert sorted(find_clips(tmp_path), key=lambda clip: clip.split) == [
        Clip("test/walk/a", "test/walk/a.mp4", "walk", "test"),
        Clip("Training/walk/a", "Training/walk/a.mp4", "walk", "train"),
        Clip("valid/walk/a", "valid/walk/a", "walk", "val"),
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
        (["v1.mp4", "v2.mp4"], "expected clips in class folders, found none"),
        (["train/v1.mp4"], "expected clips in class folders, found none"),
        (["1.jpg", "2.JPG"], "received images, the frames of one clip. Give the folder two levels"),
        (["walk/a.mp4", "run/1.png"], "found only still images. A clip is a folder of frames or"),
        (["train/walk/a.mp4", "run/b.mp4"], "since there is 'train', received the class 'run'"),
        (["walk/v.mp4", "walk/v.avi"], "'v.avi' and 'v.mp4' would both have the clip_id walk/v."),
        (["walk/v.mp4", "walk/v/"], "'v' and 'v.mp4' would both have the clip_id walk/v."),
        (["walk/v.mp4", "Walk/v.mp4"], "differ only by case or Unicode form"),
        (["walk /v.mp4"], "expected a class name, not empty and without white space"),
        (["walk/a\nb.mp4"], "expected clip_id to be a relative path"),
        (["walk/" + os.fsdecode(b"\xff.mp4")], "byte that is not UTF-8"),
    ],
)
def test_bad_trees(tmp_path, names, text):
    make_tree(tmp_path, *names)
    if "Walk/v.mp4" in names and len(os.listdir(tmp_path)) == 1:
        pytest.skip("This file system ignores case.")
    with refusal(text) as caught:
        find_clips(tmp_path)
    assert str(caught.value).startswith(str(tmp_path))


# --data


def test_a_manifest_has_its_own_folder_or_the_data_root(tmp_path):
    path = write_csv(tmp_path, "clip_id,path,label\na,a.mp4,walk\n")
    (tmp_path / "videos").mkdir()
    assert read_data(path) == ([Clip("a", "a.mp4", "walk")], tmp_path)
    assert read_data(str(path), data_root=tmp_path / "videos")[1] == tmp_path / "videos"
    with pytest.raises(NotADirectoryError, match="expected --data_root to be a folder"):
        read_data(path, data_root=tmp_path / "gone")


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
        ("walk/person03_a1,", None, ""),
        ("walk/person03_a1,", "person[0-9]+", "person03"),
        ("walk/person03_a1,", "person([0-9]+)_a([0-9])", "03_1"),
        ("walk/person03_a1,", "person([0-9]+)(_b)?", "03"),
        ("walk/person03_a1,mine", "no match", "mine"),
        ("walk/v_HandStand_g07_c02,", "_g([0-9]+)", "07"),
    ],
)
def test_groups(tmp_path, row, group_regex, group):
    path = write_csv(tmp_path, f"clip_id,group,path,label\n{row},a.mp4,walk\n")
    assert read_data(path, group_regex=group_regex)[0][0].group == group


def test_a_group_regex_must_fit(tmp_path):
    make_tree(tmp_path, "walk/person1.mp4", "walk/other.mp4")
    with refusal("clip 'walk/other': --group_regex='person([0-9]+)' finds no group in it."):
        read_data(tmp_path, group_regex="person([0-9]+)")
    with refusal("--group_regex='(': expected a regular expression, but: "):
        read_data(tmp_path, group_regex="(")
