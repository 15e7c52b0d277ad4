"""Class names: their file, and their numbers."""

from pathlib import Path

import pytest
from refusals import refusal

from lrcn.common.clips.clip import Clip
from lrcn.common.clips.manifest import (
    find_class_ids,
    find_class_names,
    read_class_names,
    write_class_names,
)


def test_class_names_and_ids(tmp_path):
    clips = [Clip(label, label, label) for label in ["10_run", "3_walk", "Ärger", "3_walk"]]
    names = find_class_names(clips)
    assert names == ["3_walk", "10_run", "Ärger"]
    assert find_class_ids(clips, names) == [1, 0, 2, 0]
    write_class_names(tmp_path / "classes.txt", names)
    assert (tmp_path / "classes.txt").read_bytes() == "3_walk\n10_run\nÄrger\n".encode()
    assert read_class_names(tmp_path / "classes.txt") == names
    for text in ("\ufeff3_walk\r\n10_run\r\nÄrger", "3_walk\r10_run\rÄrger\r"):
        (tmp_path / "classes.txt").write_bytes(text.encode())
        assert read_class_names(tmp_path / "classes.txt") == names
    (tmp_path / "classes.txt").write_bytes("3_walk\r10_run\rÄrger\r".encode("mac-roman"))
    with refusal("classes.txt:3: expected UTF-8 text, received byte 0x80."):
        read_class_names(tmp_path / "classes.txt")


def test_an_unknown_label_lists_the_known_ones():
    with refusal("clip 'c1': unknown label 'hop'. The classes are 'walk', 'run'."):
        find_class_ids([Clip("c1", "c1", "hop")], ["walk", "run"])
    with refusal(
        "Correct the label, or add it to cache/classes.txt as its last line. Where a class has "
        "another name now, rename its line there."
    ):
        find_class_ids([Clip("c1", "c1", "hop")], ["walk"], where=Path("cache/classes.txt"))


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["walk", "", "run"], "classes.txt:2: expected a class name, not empty"),
        (["walk", ""], "received ''. Write one there, or take the line out."),
        (["walk", "run", "walk"], "classes.txt:3: expected a class name once, but 'walk' stands"),
        (["walk "], "received 'walk '. Rename it."),
    ],
)
def test_bad_class_names_are_neither_written_nor_read(tmp_path, names, text):
    path = tmp_path / "classes.txt"
    with refusal(text):
        write_class_names(path, names)
    assert not path.exists()
    path.write_text("\n".join(names) + "\n")
    with refusal(text):
        read_class_names(path)


def test_a_file_without_class_names_is_to_be_made_anew(tmp_path):
    path = tmp_path / "classes.txt"
    for content in ("", "\n", "\ufeff"):
        path.write_text(content)
        with refusal(f"{path}: expected a class name a line. Received: an empty file. Copy it"):
            read_class_names(path)
