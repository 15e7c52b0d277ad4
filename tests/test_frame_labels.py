"""Tests how labels of frames are read, mapped to cached frames and kept by a run."""

import re

import numpy as np
import pytest
from small_data import write_cache

from lrcn.common.clip import Clip
from train_head.frame_labels import (
    check_trainable,
    find_runs,
    format_frame_labels,
    read_frame_labels,
    write_frame_labels,
)

# Six frames at 10 a second, and four.
CLIPS = [Clip("walk/a", "a", "x", "train"), Clip("b", "b", "x", "test")]
FEATURES = {CLIPS[0]: np.ones((6, 2)), CLIPS[1]: np.ones((4, 2))}
IDS = [clip.clip_id for clip in CLIPS]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return write_cache(tmp_path_factory.mktemp("timed") / "cache", FEATURES, fps=10)


@pytest.fixture(scope="module")
def untimed(tmp_path_factory):
    return write_cache(tmp_path_factory.mktemp("untimed") / "cache", FEATURES)


@pytest.fixture(scope="module")
def strided(tmp_path_factory):
    """Every second frame of clips of 11 and 7 frames at 10 a second."""
    folder = tmp_path_factory.mktemp("strided") / "cache"
    return write_cache(folder, FEATURES, fps=10, frame_stride=2)


def read(path, cache, *, clip_ids=IDS, **options):
    return read_frame_labels(path, clip_ids=clip_ids, known_ids=IDS, cache=cache, **options)


def write_csv(folder, *rows, columns="clip_id,start_sec,end_sec,label"):
    path = folder / "labels.csv"
    path.write_text("\n".join([columns, *rows]) + "\n", encoding="utf-8")
    return path


def write_files(folder, texts):
    for clip_id, text in texts.items():
        path = folder / f"{clip_id}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    return folder


def show(labels, clip_id="walk/a"):
    """Renders labels as a letter a frame, and `-` for none."""
    return "".join(
        "-" if k == -1 else labels.class_names[k][0] for k in labels.class_ids[clip_id].tolist()
    )


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (["walk/a,0,0.6,sit"], "ssssss"),
        (["walk/a,0.1,0.3,sit"], "-ss---"),  # the end is not part of it
        (["walk/a,0.31,0.39,sit", "walk/a,0.5,0.6,run"], "-----r"),  # between two frames
        (["walk/a,0.3,0.6,run", "walk/a,0,0.3,sit"], "sssrrr"),  # in any order
        (["walk/a,0,0.4,sit", "walk/a,0.2,0.5,sit"], "sssss-"),  # overlap with one label
        (["walk/a,0,0.30000000000000004,sit", "walk/a,0.3,0.4,run"], "sssr--"),  # 3 * 0.1
        (['walk/a,0,1,"sit, or lie"'], "ssssss"),
    ],
)
def test_intervals_in_seconds(cache, tmp_path, rows, expected):
    path = write_csv(tmp_path, *rows)
    labels = read(path, cache)
    assert show(labels) == expected
    assert show(labels, "b") == "----"
    assert labels.class_ids["b"].dtype == np.int32


def test_times_are_compared_to_the_microsecond(tmp_path):
    cache = write_cache(tmp_path / "cache", FEATURES, fps=30)
    # The second frame is at 0.0333333..., the third at 0.0666666...
    labels = read(write_csv(tmp_path, "walk/a,0.033333,0.066667,sit"), cache)
    assert show(labels) == "-s----"


FRAME_COLUMNS = "clip_id,start_frame,end_frame,label"


def test_intervals_in_frames_need_no_times(untimed, tmp_path):
    path = write_csv(tmp_path, "walk/a,1,3,sit", "walk/a,5,99,run", columns=FRAME_COLUMNS)
    assert show(read(path, untimed)) == "-ss--r"


def test_label_files(untimed, tmp_path):
    folder = write_files(tmp_path, {"walk/a": "sit\n\nrun\r\nrun\n\n\n", "b": "sit\nsit\nsit\nrun"})
    labels = read(folder, untimed)
    assert show(labels) == "s-rr--"
    assert show(labels, "b") == "sssr"


def test_labels_of_a_cache_with_some_frames_are_those_of_its_frames(strided, tmp_path):
    folder = write_files(tmp_path / "x", {"walk/a": "".join(f"c{i}\n" for i in range(11))})
    labels = read(folder, strided, clip_ids=["walk/a"])
    assert [labels.class_names[k] for k in labels.class_ids["walk/a"]] == [
        "c0",
        "c2",
        "c4",
        "c6",
        "c8",
        "c10",
    ]
    rows = ["walk/a,0,0.4,sit", "walk/a,0.4,0.7,run"]
    assert show(read(write_csv(tmp_path, *rows), strided)) == "ssrr--"
    rows = ["walk/a,0,4,sit", "walk/a,4,7,run"]
    path = write_csv(tmp_path, *rows, columns=FRAME_COLUMNS)
    assert show(read(path, strided)) == "ssrr--"


def test_class_names_are_in_natural_order_and_those_of_the_clips_wanted(cache, tmp_path):
    rows = ["walk/a,0,0.1,10_run", "walk/a,0.1,0.2,3_sit", "walk/a,0.2,0.3,Lie", "b,0,1,other"]
    path = write_csv(tmp_path, *rows)
    labels = read(path, cache, clip_ids=["walk/a"])
    assert labels.class_names == ["3_sit", "10_run", "Lie"]
    assert labels.class_ids["walk/a"].tolist() == [1, 0, 2, -1, -1, -1]
    labels = read(path, cache, clip_ids=["b"], class_names=["zzz", "other"])
    assert labels.class_ids["b"].tolist() == [1, 1, 1, 1]


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
            r"csv:2: expected numbers start_sec .* Received: '0\.3' and",
        ),
        (["walk/a,-1,1,sit"], r"csv:2: expected numbers start_sec from 0 on and end_sec"),
        (["walk/a,0,nan,sit"], r"csv:2: expected numbers .* 'nan'\. Correct them"),
        (["walk/a,0,1:30,sit"], r"csv:2: expected numbers .* '1:30'"),
        (["walk/a,0,1,sit", "c,0,1,sit"], r"csv:3: unknown clip 'c'\. Expected a clip_id of"),
        (["walk/a,0,1,"], r"csv:2: expected a class name, not empty"),
        (["walk/a,0,1"], r"csv:2: expected as many cells as the header has"),
        (["walk/a,0,1,sit,x"], r"csv:2: expected as many cells as the header has"),
        (['walk/a,0,1,"sit" x'], r"csv:2: expected a row of CSV, but: .* Quote cells"),
    ],
)
def test_bad_intervals_are_named(cache, tmp_path, rows, message):
    with pytest.raises(ValueError, match=message):
        read(write_csv(tmp_path, *rows), cache)


@pytest.mark.parametrize(
    "columns", ["clip_id,start_sec,end_frame,label", "clip_id,start_sec,end_sec", "clip,a,b,label"]
)
def test_missing_columns_are_named(cache, tmp_path, columns):
    message = rf"csv:1: Expected the columns clip_id,start_sec.* Received: {columns}\. Correct"
    with pytest.raises(ValueError, match=message):
        read(write_csv(tmp_path, columns=columns), cache)


@pytest.mark.parametrize(
    "columns",
    [
        "clip_id,start_sec,end_sec,label,label",
        "clip_id,start_sec,end_sec,start_frame,label",
        "clip_id,start_sec,end_sec,start_frame,end_frame,label",
    ],
)
def test_columns_that_say_two_things_are_refused(cache, tmp_path, columns):
    row = ",".join({"clip_id": "b", "label": "sit"}.get(x, "0") for x in columns.split(","))
    message = rf"csv:1: Expected .*, each once, and not both .* Received: {columns}\. Remove"
    with pytest.raises(ValueError, match=message):
        read(write_csv(tmp_path, row, columns=columns), cache)


def test_other_columns_are_passed_over(cache, tmp_path):
    path = write_csv(tmp_path, "b,0,1,sit,why", columns="clip_id,start_sec,end_sec,label,note")
    assert show(read(path, cache), "b") == "ssss"


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


def test_label_that_the_run_does_not_have_is_named(cache, tmp_path):
    path = write_csv(tmp_path, "walk/a,0,1,sit")
    with pytest.raises(ValueError, match=r"unknown label 'sit'\. The classes are 'run'\. Correct"):
        read(path, cache, class_names=["run"])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            ["walk/a,0,1,sit", "b,0,1,sit"],
            r"labels of at least two classes\. Received: \['sit'\]\. Label",
        ),
        (
            ["walk/a,0,0.1,sit", "walk/a,0.1,0.2,run"],
            r"a labelled frame in every clip\. Received none in 1 of 2, such as 'b'\. Label some",
        ),
        (
            ["walk/a,0,0.1,sit", "b,0.1,0.2,run"],
            r"train frames of every class\. Received none of \['run'\]\. Label some",
        ),
    ],
)
def test_labels_that_do_not_allow_training_are_refused(cache, tmp_path, rows, message):
    path = write_csv(tmp_path, *rows)
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: expected {message}"):
        check_trainable(read(path, cache), CLIPS, where=path)


def test_what_a_run_keeps_is_read_as_it_was(strided, tmp_path):
    rows = ["walk/a,0.1,0.5,sit", "walk/a,0.5,0.7,run", "walk/a,0.95,2,run", "b,0,9,sit"]
    labels = read(write_csv(tmp_path, *rows), strided)
    assert show(labels) == "-ssr-r"
    kept = tmp_path / "kept.csv"
    write_frame_labels(kept, labels)
    expected = ["walk/a,2,5,sit", "walk/a,6,7,run", "walk/a,10,11,run", "b,0,7,sit"]
    assert kept.read_text() == "\n".join([FRAME_COLUMNS, *expected]) + "\n"
    again = read(kept, strided)
    assert again.class_names == labels.class_names
    for clip_id in IDS:
        np.testing.assert_array_equal(again.class_ids[clip_id], labels.class_ids[clip_id])
    assert format_frame_labels(again) == kept.read_text()


def test_runs_of_equal_elements():
    assert find_runs(np.array([3, 3, -1, 3, 0])) == [(0, 2), (2, 3), (3, 4), (4, 5)]
    assert find_runs(np.array([1])) == [(0, 1)]
    assert find_runs(np.array([], int)) == []
