"""Labels of frames that cannot be read, or not be trained on, are refused by their place."""

import re

import pytest
from small_data import make_config
from small_labels import CLIPS, read, show, write_csv, write_files

from train_head.training.label_coverage import check_trainable


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            ["walk/a,0.2,0.4,sit", "walk/a,0,0.3,run"],
            r"labels\.csv:2: 'sit' from 0\.2 to 0\.4 overlaps with 'run' from 0 to 0\.3 "
            r"\(.*labels\.csv:3\)\. Expected one label for a frame\. Shorten one",
        ),
        # Not with the one before it, which ends first.
        (["walk/a,0,9,sit", "walk/a,1,2,sit", "walk/a,3,4,run"], r"csv:4: 'run' .*csv:2\)"),
        (
            ["walk/a,0.3,0.3000001,sit"],
            r"csv:2: .* end_sec behind it, which is not part .* Received: '0\.3' and",
        ),
        (["walk/a,-1,1,sit"], r"csv:2: expected numbers start_sec from 0 on and end_sec"),
        (["walk/a,0,nan,sit"], r"csv:2: expected numbers .* 'nan'\. Correct them"),
        (["walk/a,0,inf,sit"], r"csv:2: expected numbers .* 'inf'"),
        (["walk/a,0,1_0,sit"], r"csv:2: expected numbers .* '0' and '1_0'\. Correct them"),
        (["walk/a,0,1:30,sit"], r"csv:2: expected numbers .* '1:30'"),
        (
            ["walk/a,0,1,sit", "c,0,1,sit"],
            r"csv:3: unknown clip 'c'\. Expected a clip_id of the cache's manifest, such as 'b'\. "
            r"If the clip is new, extract or import it first; else correct the name, or remove",
        ),
        (["walk/a,0,1,"], r"csv:2: expected a class name, not empty"),
        (["walk/a,0,1"], r"csv:2: expected 4 cells as in the header, received 3\. Add the others"),
        (["walk/a,0,1,sit,x"], r"csv:2: expected 4 cells as in the header, received 5\. Quote"),
        (['walk/a,0,1,"sit" x'], r"csv:2: expected a row of CSV, but: .* Quote cells"),
    ],
)
def test_bad_intervals_are_named(timed, tmp_path, rows, message):
    with pytest.raises(ValueError, match=message):
        read(write_csv(tmp_path, *rows), timed)


def test_labels_that_look_alike_are_told_of(timed, tmp_path, caplog):
    rows = ["walk/a,0,0.2,Sit", "walk/a,0.2,0.4,sit", "b,0,1,run"]
    assert read(write_csv(tmp_path, *rows), timed).class_names == ["run", "Sit", "sit"]
    assert caplog.messages == [
        "Labels that differ by case, zeros (01, 1.0) or unseen signs alone count as several (1): "
        "'Sit' and 'sit'. Write them alike if they are meant as one"
    ]
    caplog.clear()
    path = write_csv(tmp_path, "walk/a,0,0.2,caf\u00e9", "walk/a,0.2,0.4,cafe\u0301")
    with pytest.raises(ValueError, match=r"labels\.csv: label .* Write both in one Unicode form"):
        read(path, timed)


@pytest.mark.parametrize(
    "columns", ["clip_id,start_sec,end_frame,label", "clip_id,start_sec,end_sec"]
)
def test_missing_columns_are_named(timed, tmp_path, columns):
    message = rf"csv:1: Expected the .* or semicolons. Received: {columns}\. Correct the header\."
    with pytest.raises(ValueError, match=message):
        read(write_csv(tmp_path, columns=columns), timed)


@pytest.mark.parametrize(
    "columns",
    [
        "clip_id,start_sec,end_sec,label,label",
        "clip_id,start_sec,end_sec,start_frame,label",
        "clip_id,start_sec,end_sec,start_frame,end_frame,label",
    ],
)
def test_columns_that_say_two_things_are_refused(timed, tmp_path, columns):
    row = ",".join({"clip_id": "b", "label": "sit"}.get(x, "0") for x in columns.split(","))
    message = rf"csv:1: Expected .*, each once, and not both .* Received: {columns}\. Remove"
    with pytest.raises(ValueError, match=message):
        read(write_csv(tmp_path, row, columns=columns), timed)


def test_seconds_of_frames_without_times_are_refused(untimed, tmp_path):
    path = write_csv(tmp_path, "walk/a,0,1,sit")
    message = r"csv: walk/a: expected frames with times.* folder of images.* folder of label files"
    with pytest.raises(ValueError, match=message):
        read(path, untimed)


def test_label_file_with_too_few_lines_is_named(strided, tmp_path):
    folder = write_files(tmp_path, {"walk/a": "sit\n" * 10, "b": "sit\n" * 7})
    with pytest.raises(ValueError, match=r"a\.txt: expected a line for .* frame 10.* 10 lines\."):
        read(folder, strided)
    write_files(tmp_path, {"walk/a": "sit\n" * 11})
    assert show(read(folder, strided)) == "ssssss"


def test_bad_label_files_are_named(untimed, tmp_path):
    folder = write_files(tmp_path, {"walk/a": "sit\n sit\n" * 3})
    with pytest.raises(ValueError, match=r"walk/a\.txt:2: expected a class name, .* ' sit'"):
        read(folder, untimed)
    write_files(tmp_path, {"walk/a": "sit\n" * 6})
    with pytest.raises(FileNotFoundError, match=r"b\.txt: missing\. Expected a class name a line"):
        read(folder, untimed)
    with pytest.raises(FileNotFoundError, match=r"gone: no such file or folder\. Expected the col"):
        read(tmp_path / "gone", untimed)


def test_label_that_the_run_does_not_have_is_named(timed, tmp_path):
    path = write_csv(tmp_path, "walk/a,0,1,sit")
    with pytest.raises(ValueError, match=r"unknown label 'sit'\. The classes are 'run'\. Correct"):
        read(path, timed, class_names=["run"])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            ["walk/a,0,1,sit", "b,0,1,sit"],
            r"labels of at least two classes\. Received: \['sit'\]\. Label",
        ),
        (
            ["walk/a,0,0.1,sit", "walk/a,0.1,0.2,run"],
            r"a labelled frame in every clip\. Received none in 1 of 2, such as 'b'\. Label some, "
            r"or name a manifest without them \(--manifest, of cross_validate --manifests\)\.",
        ),
        (
            ["walk/a,0,0.1,sit", "b,0.1,0.2,run"],
            r"train frames of every class\. Received none of 'run'\. Label some",
        ),
    ],
)
def test_labels_that_do_not_allow_training_are_refused(timed, tmp_path, rows, message):
    path = write_csv(tmp_path, *rows)
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: expected {message}"):
        check_trainable(read(path, timed), CLIPS, make_config(), where=path)
