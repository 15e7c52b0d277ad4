"""Manifests: what is read, and what is refused."""

import os

import pytest
from commands import find_readme_program
from refusals import refusal
from small_data import write_csv

from lrcn.common.clips.clip import Clip
from lrcn.common.clips.manifest import (
    COLUMNS,
    find_lines,
    read_manifest,
    write_manifest,
)


def test_one_path_written_in_two_ways_is_one_source():
    clips = [Clip("a", path, "walk") for path in ("sub/v.mp4", "./sub/v.mp4", "sub//v.mp4")]
    assert {clip.source_group for clip in clips} == {"sub/v.mp4"}


def test_round_trip_is_exact(tmp_path):
    clips = [
        Clip("walk/b 1", "walk/b 1.mp4", "walk"),
        Clip('say "hi", twice', 'x,"y".mp4', 'say "hi", twice', "val", "s,1", 0.1, 1 / 3),
        Clip("歩く/клип ٣", "歩く/клип.mp4", "歩く", "train", "مجموعة", 0.0, 1e-9),
        Clip(" a;'", "./ a;'", "#1", "test", "s 1", None, 1e8),
        Clip("b/c", "walk/b 1.mp4", "walk", "", "", 2.5, None),
    ]
    write_manifest(tmp_path / "m.csv", clips)
    assert read_manifest(tmp_path / "m.csv") == clips
    assert [path.name for path in tmp_path.iterdir()] == ["m.csv"]


def test_columns_come_in_any_order_and_the_last_four_may_lack(tmp_path):
    path = write_csv(tmp_path, "label,clip_id,path\r\nwalk,a,a.mp4\r\n\r\nrun,b,b.mp4")
    assert read_manifest(path) == [Clip("a", "a.mp4", "walk"), Clip("b", "b.mp4", "run")]


def test_rows_of_empty_cells_are_no_clips_and_lines_stay_true(tmp_path):
    text = "clip_id,path,label,split\na,a.mp4,walk,\n,,,\nb,b.mp4,run,\n,,,\n,,,,,\n"
    path = write_csv(tmp_path, text)
    assert read_manifest(path) == [Clip("a", "a.mp4", "walk"), Clip("b", "b.mp4", "run")]
    assert find_lines(path) == {"a": 2, "b": 4}


def test_empty_columns_behind_all_others_are_none(tmp_path):
    path = write_csv(tmp_path, "clip_id,path,label,,\na,a.mp4,walk,,\nb,b.mp4,run\n,,,,\n")
    assert read_manifest(path) == [Clip("a", "a.mp4", "walk"), Clip("b", "b.mp4", "run")]
    path = write_csv(tmp_path, "clip_id,path,label,,\na,a.mp4,walk,,x\n")
    with refusal(f"{path}:2: expected 3 cells as in the header, received 5. Quote cells"):
        read_manifest(path)
    with refusal(":1: unknown column ''. Expected"):
        read_manifest(write_csv(tmp_path, ",clip_id,path,label\n0,a,a.mp4,walk\n"))


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
        ("a,/a.mp4,walk,,,,", "received '/a.mp4'. Write it so, and at extraction name the folder"),
        ("a,x/../../a.mp4,walk,,,,", "that the paths start from: --data_root=... (with make: make"),
        ("n" * 248 + ",a.mp4,walk,,,,", "parts of at most 247 bytes, received one of 248."),
        ("n" * 248 + "/n,a.mp4,walk,,,,", "parts of at most 247 bytes, received one of 248."),
        ("a,x\\a.mp4,walk,,,,", "backslash or control character, received 'x\\\\a.mp4'"),
        ("a,a\x01.mp4,walk,,,,", "received 'a\\x01.mp4'"),
        ("a,a.mp4,,,,,", "expected a class name, not empty"),
        ("a,a.mp4, walk,,,,", "without white space around it or control characters"),
        ("a,a.mp4,wa\x02lk,,,,", "received 'wa\\x02lk'. Rename it"),
        ("a,a.mp4,walk,Train,,,", "received 'Train'. Correct it, or at extraction leave it empty"),
        ("a,a.mp4,walk,,g\x03,,", "expected a group without white space around it or control ch"),
        ("a,a.mp4,walk,,s0 ,,", "or control characters, received 's0 '. Rename it, or have"),
        ("a,a.mp4,walk,,\u00a0,,", "expected a group without white space around it"),
        ("a,a.mp4,walk,,,now,", "expected start_sec in seconds, such as 1.5, received 'now'"),
        ("a,a.mp4,walk,,,1_0,", "expected start_sec in seconds, such as 1.5, received '1_0'"),
        ("a,a.mp4,walk,,,nan,", "expected start_sec from 0 to 1e+08 seconds, received nan"),
        ("a,a.mp4,walk,,,,inf", "expected end_sec from 0 to 1e+08 seconds, received inf"),
        ("a,a.mp4,walk,,,1.7e15,", "expected start_sec from 0 to 1e+08 seconds, received 17000"),
        ("a,a.mp4,walk,,,-1,", "expected start_sec from 0 to 1e+08 seconds, received -1.0"),
        ("a,a.mp4,walk,,,2,2", "end_sec after start_sec, received start_sec=2.0 and end_sec=2.0"),
        ("a,a.mp4,walk,,,,0", "expected end_sec after start_sec, received start_sec=None"),
        ("a,a.mp4,walk", "expected 7 cells as in the header, received 3. Add the others, of e"),
        ('a,"a"b.mp4,walk,,,,', "expected a row of CSV, but: "),
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
    # Also where a quote is never closed, and takes all that follows into its cell.
    path = write_csv(tmp_path, 'clip_id,path,label\na,a.mp4,walk\nb,"b.mp4,walk\nc,c.mp4,run\n')
    with refusal(f"{path}:3: expected a row of CSV, but: unexpected end of data. Quote cells"):
        read_manifest(path)
    path = write_csv(tmp_path, 'clip_id,"path,label\na,a.mp4,walk\n')
    with refusal(f"{path}:1: expected a row of CSV, but: unexpected end of data. Quote cells"):
        read_manifest(path)


def test_ids_that_one_file_system_holds_for_one_are_refused(tmp_path):
    path = write_csv(tmp_path, "clip_id,path,label\ncaf\u00e9,a.mp4,walk\ncafe\u0301,b.mp4,walk\n")
    with refusal("differ only by case or Unicode form"):
        read_manifest(path)


def test_an_id_may_be_the_folder_of_another(tmp_path):
    path = write_csv(
        tmp_path, "clip_id,path,label\na,a.mp4,walk\na/b,b.mp4,walk\nc.h5/b,c.mp4,walk\n"
    )
    assert [clip.clip_id for clip in read_manifest(path)] == ["a", "a/b", "c.h5/b"]


def test_an_id_may_not_be_below_the_file_of_another(tmp_path):
    path = write_csv(tmp_path, "clip_id,path,label\nx/a.h5/b/c,b.mp4,walk\nx/a,a.mp4,walk\n")
    with refusal(
        f"{path}:2: clip_id 'x/a.h5/b/c' needs a folder 'x/a.h5', which is the cache file of 'x/a'."
    ):
        read_manifest(path)


@pytest.mark.parametrize(
    ("header", "text"),
    [
        ("clip_id,path,label,fps", ":1: unknown column 'fps'. Expected the columns clip_id,path,"),
        ("clip_id;path;fps", ":1: unknown column 'fps'. Expected the columns clip_id,path,"),
        ("clip_id,path", ":1: no column 'label'. Expected"),
        ("", ":1: no header, as in an empty file"),
        ("clip_id,path,label,path", ":1: a column stands twice"),
        ("clip_id,path,label", ": expected a row for each clip below the header, but there is no"),
    ],
)
def test_bad_headers_are_refused(tmp_path, header, text):
    path = write_csv(tmp_path, header)
    with refusal(f"{path}{text}" if text[0] == ":" else text):
        read_manifest(path)


@pytest.mark.parametrize(("separator", "line_end"), [(";", "\r\n"), (";", "\r"), ("\t", "\r\n")])
def test_a_spreadsheet_whose_decimals_have_commas_separates_cells_otherwise(
    tmp_path, separator, line_end
):
    rows = ["clip_id,path,label,start_sec,end_sec,,", "a,a.mp4,walk,0/5,1.25,,", ",,,,,,"]
    text = "\ufeff" + "".join(f"{row}{line_end}" for row in rows)
    path = write_csv(tmp_path, text.replace(",", separator).replace("/", ","))
    assert read_manifest(path) == [Clip("a", "a.mp4", "walk", start_sec=0.5, end_sec=1.25)]
    name = {";": "semicolons", "\t": "tabs"}[separator]
    path = write_csv(tmp_path, separator.join(["clip_id", "path", "label\na", "a, b.mp4"]))
    with refusal(f"received 2. Add the others, of empty ones the {name} before them."):
        read_manifest(path)


def test_a_comma_is_no_point_where_it_separates_cells(tmp_path):
    path = write_csv(tmp_path, 'clip_id,path,label,start_sec\na,a.mp4,walk,"1,234"\n')
    with refusal(f"{path}:2: expected start_sec in seconds, such as 1.5, received '1,234'"):
        read_manifest(path)


def test_a_pipe_is_refused_without_waiting_for_it(tmp_path):
    os.mkfifo(tmp_path / "clips.csv")
    with refusal(f"{tmp_path}/clips.csv: expected a file, received a pipe, device or socket."):
        read_manifest(tmp_path / "clips.csv")


def test_files_that_are_not_utf8(tmp_path):
    path = write_csv(tmp_path, "clip_id,path,label\na,é.mp4,walk\n", encoding="latin-1")
    with refusal(f"{path}:2: expected UTF-8 text, received byte 0xe9. Save the file as UTF-8"):
        read_manifest(path)
    path.write_bytes(b"\xef\xbb\xbfclip_id,path,label\n\xe9,a.mp4,walk\n")  # behind a mark
    with refusal(f"{path}:2: expected UTF-8 text, received byte 0xe9."):
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


def test_the_readme_writes_a_manifest_of_folders_within_classes(tmp_path, monkeypatch):
    for name in ("walk/day 1/a.mp4", "walk/day 2/a.mp4", "run/day 1/b, c.mp4", "run/day 1/d.txt"):
        path = tmp_path / "clips" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    exec(find_readme_program("csv.writer"), {})
    assert read_manifest("clips.csv") == [
        Clip("clips/run/day 1/b, c", "clips/run/day 1/b, c.mp4", "run", "", "day 1"),
        Clip("clips/walk/day 1/a", "clips/walk/day 1/a.mp4", "walk", "", "day 1"),
        Clip("clips/walk/day 2/a", "clips/walk/day 2/a.mp4", "walk", "", "day 2"),
    ]
