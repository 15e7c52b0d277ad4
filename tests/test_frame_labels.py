"""Tests how labels of frames are read, mapped to cached frames and kept by a run."""

import re

import numpy as np
import pytest
from refusals import refusal
from small_data import copy_cache, write_cache
from small_labels import CLIPS, FEATURES, FRAME_COLUMNS, IDS, read, show, write_csv, write_files

from lrcn.common.cache.run_dir import RunDir
from lrcn.common.clips.clip import Clip, SourceStat
from lrcn.common.clips.manifest import write_manifest
from train_head.labels.frame_labels import find_runs, format_frame_labels, read_run_labels


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
        (["walk/a,0,0.1,sit", ",,,", "walk/a,0.5,0.6,run", ",,,"], "s----r"),
        (["walk/a,0.3,1.7976931348623157e308,sit"], "---sss"),  # to the end, as programs write it
    ],
)
@pytest.mark.filterwarnings("error")
def test_intervals_in_seconds(timed, tmp_path, rows, expected):
    path = write_csv(tmp_path, *rows)
    labels = read(path, timed)
    assert show(labels) == expected
    assert show(labels, "b") == "----"
    assert labels.class_ids["b"].dtype == np.int32


@pytest.mark.parametrize("span", ["0.033,0.067", "0.033333,0.066667", "0.0333333,0.0666667"])
def test_times_are_compared_to_the_millisecond(tmp_path, span):
    cache = write_cache(tmp_path / "cache", FEATURES, fps=30)
    # The second frame is at 0.0333333..., the third at 0.0666666...
    labels = read(write_csv(tmp_path, f"walk/a,{span},sit"), cache)
    assert show(labels) == "-s----"


def test_frames_whose_times_go_back_have_the_labels_of_their_times(timed, tmp_path):
    cache = copy_cache(timed, tmp_path / "cache")
    writer = cache.open_writer("b")
    times = [0.0, 0.2, 0.1, 0.3]
    writer.append(np.ones((4, 2), np.float16), frame_index=[0, 1, 2, 3], timestamp_sec=times)
    writer.commit(SourceStat(0, 0))
    labels = read(write_csv(tmp_path, "b,0.1,0.2,sit", "b,0.2,9,run"), cache)
    assert show(labels, "b") == "-rsr"


def test_empty_columns_of_a_spreadsheet_are_none(timed, tmp_path):
    rows = ["walk/a,0,0.1,sit,,", "walk/a,0.5,0.6,run", ",,,,,,,", "b,0,0.1,run,,,"]
    labels = read(write_csv(tmp_path, *rows, columns="clip_id,start_sec,end_sec,label,,"), timed)
    assert (show(labels), show(labels, "b")) == ("s----r", "r---")


def test_intervals_of_a_spreadsheet_whose_decimals_have_commas(timed, tmp_path):
    rows = ["walk/a;0,1;0,3;sit", "walk/a;0.5;0.6;run, slowly", ";;;"]
    labels = read(write_csv(tmp_path, *rows, columns="clip_id;start_sec;end_sec;label"), timed)
    assert show(labels) == "-ss--r"


def test_intervals_in_frames_need_no_times(untimed, tmp_path):
    path = write_csv(tmp_path, "walk/a,1,3,sit", "walk/a,5,99,run", columns=FRAME_COLUMNS)
    assert show(read(path, untimed)) == "-ss--r"


def test_label_files_have_a_line_for_each_frame(untimed, tmp_path):
    folder = write_files(tmp_path, {"walk/a": "sit\n\nrun\r\nrun\n\n\n", "b": "sit\nsit\nsit\nrun"})
    labels = read(folder, untimed)
    assert show(labels) == "s-rr--"
    assert show(labels, "b") == "sssr"
    write_files(tmp_path, {"walk/a": "sit\r\rrun\rrun\r\r\r"})
    assert show(read(folder, untimed)) == "s-rr--"


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


def test_class_names_are_in_natural_order_and_those_of_the_clips_wanted(timed, tmp_path):
    rows = ["walk/a,0,0.1,10_run", "walk/a,0.1,0.2,3_sit", "walk/a,0.2,0.3,Lie", "b,0,1,other"]
    path = write_csv(tmp_path, *rows)
    labels = read(path, timed, clip_ids=["walk/a"])
    assert labels.class_names == ["3_sit", "10_run", "Lie"]
    assert labels.class_ids["walk/a"].tolist() == [1, 0, 2, -1, -1, -1]
    labels = read(path, timed, clip_ids=["b"], class_names=["zzz", "other"])
    assert labels.class_ids["b"].tolist() == [1, 1, 1, 1]


def test_other_columns_are_passed_over(timed, tmp_path):
    path = write_csv(tmp_path, "b,0,1,sit,why", columns="clip_id,start_sec,end_sec,label,note")
    assert show(read(path, timed), "b") == "ssss"


def test_what_a_run_keeps_is_read_as_it_was(strided, tmp_path):
    rows = ["walk/a,0.1,0.5,sit", "walk/a,0.5,0.7,run", "walk/a,0.95,2,run", "b,0,9,sit"]
    labels = read(write_csv(tmp_path, *rows), strided)
    assert show(labels) == "-ssr-r"
    kept = tmp_path / "kept.csv"
    kept.write_text(format_frame_labels(labels))
    expected = ["walk/a,2,5,sit", "walk/a,6,7,run", "walk/a,10,11,run", "b,0,7,sit"]
    assert kept.read_text() == "\n".join([FRAME_COLUMNS, *expected]) + "\n"
    again = read(kept, strided)
    assert again.class_names == labels.class_names
    for clip_id in IDS:
        np.testing.assert_array_equal(again.class_ids[clip_id], labels.class_ids[clip_id])
    assert format_frame_labels(again) == kept.read_text()


def test_labels_of_some_clips_of_a_run_have_the_numbers_of_its_classes(timed, tmp_path):
    run = RunDir(tmp_path)
    write_manifest(run.manifest_path, CLIPS)
    run.classes_path.write_text("run\nsit\n")
    path = write_csv(tmp_path, "walk/a,0,9,run", "b,0,9,sit", columns=FRAME_COLUMNS)
    path.rename(run.frame_labels_path)
    labels = read_run_labels(run, timed, CLIPS[1:])
    assert labels.class_names == ["run", "sit"]
    assert labels.class_ids["b"].tolist() == [1, 1, 1, 1]
    # A score would be of fewer clips without a word.
    write_csv(tmp_path, "walk/a,0,9,run", columns=FRAME_COLUMNS).rename(run.frame_labels_path)
    with refusal(
        f"{run.frame_labels_path}: expected a labelled frame in every clip. Received none in 1 of "
        "2, such as 'b'. Undo what was changed there, or"
    ):
        read_run_labels(run, timed, CLIPS)


def test_runs_of_equal_elements():
    assert find_runs(np.array([3, 3, -1, 3, 0])) == [(0, 2), (2, 3), (3, 4), (4, 5)]
    assert find_runs(np.array([1])) == [(0, 1)]
    assert find_runs(np.array([], int)) == []


SEC_COLUMNS = "clip_id,start_sec,end_sec,label"


@pytest.mark.parametrize(
    ("columns", "rows", "found"),
    [
        (
            SEC_COLUMNS,
            ["walk/a,0,300,sit", "walk/a,300,600,run", "b,0,400,sit"],
            r"1 of 3 intervals lie before or behind all .*labels\.csv:3: 300 to 600, where the "
            r"frames are from 0 to 0\.5\. .* they are seconds from the first frame of the",
        ),
        (SEC_COLUMNS, ["walk/a,0,0.3,sit", "b,0.4,0.5,run"], r":3: 0\.4 to 0\.5, .* to 0\.3\."),
        (
            FRAME_COLUMNS,
            ["walk/a,0,3,sit", "b,4,9,run"],
            r":3: 4 to 9, .* from 0 to 3\. .* they are numbers of frames in the clip, from 0",
        ),
        (FRAME_COLUMNS, ["walk/a,0,99,sit", "b,3,9,run"], None),
    ],
)
def test_intervals_behind_the_clip_are_told_of(timed, tmp_path, caplog, columns, rows, found):
    with caplog.at_level("WARNING", logger="absl"):
        read(write_csv(tmp_path, *rows, columns=columns), timed)
    assert bool(caplog.text) == (found is not None)
    if found is not None:
        assert re.search(found, caplog.text)


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        # Counted from the start of the span, they are labels of other moments.
        (["walk/a,0,26,sit", "walk/a,30,60,run"], r"1 of 2 .*:2: 0 to 26, .* from 30 to 50\. "),
        # At frames beside those that the cache has.
        (["walk/a,27,29,sit", "walk/a,51,54,run"], None),
        (["walk/a,54,56,sit"], r":2: 54 to 56"),
    ],
)
def test_intervals_before_a_span_are_told_of(tmp_path, caplog, rows, found):
    span = Clip("walk/a", "a", "x", "train", "", 30.0, 54.0)
    cache = write_cache(
        tmp_path / "cache", {span: np.ones((6, 2))}, fps=25, frame_stride=100, start_sec=30
    )
    with caplog.at_level("WARNING", logger="absl"):
        read(write_csv(tmp_path, *rows), cache, clip_ids=["walk/a"])
    assert bool(caplog.text) == (found is not None)
    if found is not None:
        assert re.search(found, caplog.text)


@pytest.mark.parametrize(("fps", "frame"), [(10, 12), (10, 13), (25, 31), (30, 40), (29.97, 47)])
def test_a_label_of_one_frame_more_than_the_clip_has_is_told_of(tmp_path, caplog, fps, frame):
    cache = write_cache(tmp_path / "cache", {CLIPS[0]: np.ones((frame, 2))}, fps=fps)
    last = f"walk/a,{frame / fps:.3f},{(frame + 1) / fps:.3f},run"
    with caplog.at_level("WARNING", logger="absl"):
        read(write_csv(tmp_path, "walk/a,0,0.3,sit", last), cache, clip_ids=["walk/a"])
    assert "1 of 2 intervals lie before or behind all frames of their clip" in caplog.text


@pytest.mark.parametrize(
    ("num_lines", "found"),
    [
        ({"walk/a": 12, "b": 4}, r"1 of 2 label files .*walk/a\.txt: .* in line 12, .* 6\. "),
        ({"walk/a": 7, "b": 5}, r"2 of 2 label files .*walk/a\.txt: .* in line 7, .* 6\. "),
        ({"walk/a": 6, "b": 4}, None),
    ],
)
def test_labels_of_more_frames_than_the_clip_has_are_told_of(
    untimed, tmp_path, caplog, num_lines, found
):
    texts = {clip_id: "sit\n" * number + "\n\n" for clip_id, number in num_lines.items()}
    with caplog.at_level("WARNING", logger="absl"):
        read(write_files(tmp_path, texts), untimed)
    assert bool(caplog.text) == (found is not None)
    if found is not None:
        assert re.search(found, caplog.text)


def test_the_only_frame_of_a_clip_may_have_a_label(tmp_path, caplog):
    cache = write_cache(tmp_path / "cache", {CLIPS[1]: np.ones((1, 2))}, fps=10)
    with caplog.at_level("WARNING", logger="absl"):
        for path in (
            write_files(tmp_path / "x", {"b": "sit\n"}),
            write_csv(tmp_path, "b,0,1,sit", columns=FRAME_COLUMNS),
        ):
            assert show(read(path, cache, clip_ids=["b"]), "b") == "s"
    assert not caplog.text


def test_frames_behind_the_last_that_is_selected_may_have_labels(strided, tmp_path, caplog):
    with caplog.at_level("WARNING", logger="absl"):
        read(write_files(tmp_path, {"walk/a": "sit\n" * 12}), strided, clip_ids=["walk/a"])
        assert not caplog.text
        read(write_files(tmp_path, {"walk/a": "sit\n" * 13}), strided, clip_ids=["walk/a"])
    assert "in line 13, where the last frame that the cache has is in line 11." in caplog.text
