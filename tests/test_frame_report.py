"""Tests the report of a run with a label for every frame: its bands, and the page in a browser."""

import dataclasses
import tracemalloc

import numpy as np
import pytest
from refusals import refusal
from small_data import train, write_cache
from small_labels import FRAME_COLUMNS, write_csv

from lrcn.common.cache.clip_features import ClipClock
from lrcn.common.cache.run_dir import read_json, write_json
from lrcn.common.clips.clip import Clip
from lrcn.common.clips.manifest import read_manifest
from train_head.reports.frame_report import find_least_right
from train_head.reports.reporting import write_report
from train_head.run.provenance import describe_data
from train_head.scores.frame_prediction_file import (
    FramePredictions,
    read_frame_predictions,
    write_frame_predictions,
)

HOSTILE_CLIP = "<script>alert(1)</script>"
HOSTILE_CLASS = "</script><img src=x onerror=alert(2)>"


@pytest.fixture(scope="module")
def run_and_cache(tmp_path_factory):
    """A run, and its cache, of a class and test clips of hostile names; with its report."""
    folder = tmp_path_factory.mktemp("frames")
    random = np.random.RandomState(0)
    names = {"train": ["a", "b"], "val": ["c"], "test": [HOSTILE_CLIP, "d"]}
    features, lines = {}, []
    for split, clip_ids in names.items():
        for i, clip_id in enumerate(clip_ids):
            features[Clip(clip_id, clip_id, "x", split, f"{split}{i}")] = random.normal(
                size=(10, 3)
            )
            lines += [f"{clip_id},0,0.4,{HOSTILE_CLASS}", f"{clip_id},0.5,1,calm"]
    cache = write_cache(folder / "cache", features, fps=10)
    settings = {"labels": "frame", "sequence": "ragged", "rnn": "gru", "epochs": 2}
    run = train(cache, folder / "run", frame_labels_path=write_csv(folder, *lines), **settings)
    write_report(run, cache)
    return run, cache


def test_the_page_works_in_a_browser(run_and_cache, page):
    run, _ = run_and_cache
    scores = read_json(run.metrics_path("test"))
    page.resize(1200, 900)
    page.open(run.report_path)
    text = page.evaluate("document.body.innerText")
    assert f"{scores['frame_accuracy']:.1%}".replace("%", " %") in text
    assert "of 18 frames of 2 test clips named right" in text
    assert HOSTILE_CLIP in text and HOSTILE_CLASS in text
    # Of 8 frames that are all wrong there are fewer mistakes than in 21 of 50.
    assert "the largest share of mistakes first" in text
    assert "of the frames that are read" not in text  # all are
    for name in ("segment_f1_10", "segment_f1_25", "segment_f1_50"):
        assert f"{scores[name]:.1%}".replace("%", " %") in text
    count = "document.querySelectorAll('{}').length"
    # Two bands of labels for each clip, and curves of train and val.
    assert page.evaluate(count.format(".timeline .bands:nth-of-type(1) i")) == 4
    assert page.evaluate(count.format("#top1-curve path")) == 2
    # Their names are on top of both lines, where one crosses them.
    names = "#top1-curve :is(text.fill-true, text.fill-guess)"
    assert page.evaluate(count.format(names)) == 2
    assert page.evaluate(count.format(f"{names} ~ path")) == 0
    cells = page.evaluate("[...document.querySelectorAll('.matrix td')].map(x => x.innerText)")
    matrix = [str(n) if n else "" for row in scores["confusion_matrix"] for n in row]
    assert cells == ["", *matrix]
    first = "document.querySelector('.sortable tbody th').innerText"
    before = page.evaluate(first)
    page.evaluate("document.querySelector('.sortable th button').click()")
    page.evaluate("document.querySelector('.sortable th button').click()")
    assert page.evaluate(first) != before
    # A band is as wide as it is long, be it of one frame before others without a label, and never
    # out of sight.
    band = "document.querySelector('.timeline .bands i')"
    for width, shown in (("2px", 2), ("0.02px", 1)):
        page.evaluate(f"{band}.style.width = '{width}'")
        assert page.evaluate(f"{band}.getBoundingClientRect().width") == shown
    page.resize(390, 844)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390, "as wide as a phone"
    assert page.problems == []
    assert page.requests == [run.report_path.as_uri()]


def test_it_says_how_to_make_the_run_again(run_and_cache):
    run, _ = run_and_cache
    text = run.report_path.read_text(encoding="utf-8")
    assert f"--frame_labels={run.frame_labels_path}" in text


def test_frames_that_were_sorted_are_no_report(run_and_cache):
    run, cache = run_and_cache
    path = run.predictions_path("test")
    content = path.read_text()
    header, *rows = content.splitlines(keepends=True)
    path.write_text("".join([header, *rows[::2], *rows[1::2]]))
    with refusal(f"{path}: expected the 2 test clips of {run.manifest_path}"):
        write_report(run, cache)
    path.write_text(content)


def test_of_many_classes_the_page_has_the_most_frequent_confusions(tmp_path):
    num_classes, lines = 120, []
    clips = [Clip("a", "a", "x", "train")]
    clips += [Clip(f"b/{i}", f"b/{i}", "x", "val") for i in range(41)]
    for clip in clips:
        lines += [f"{clip.clip_id},{t},{t + 1},class {t}" for t in range(num_classes)]
    # All frames are alike, so that all have one answer.
    cache = write_cache(tmp_path / "cache", {clip: np.ones((num_classes, 2)) for clip in clips})
    labels_path = write_csv(tmp_path, *lines, columns=FRAME_COLUMNS)
    settings = {"labels": "frame", "sequence": "ragged", "epochs": 1}
    run = train(cache, tmp_path / "run", frame_labels_path=labels_path, **settings)
    write_report(run, cache)
    text = run.report_path.read_text(encoding="utf-8")
    assert '<table class="matrix">' not in text
    assert "; metrics_val.json has a matrix of all 120 classes" in text
    rows = text.partition("<th>called</th>")[2].partition("</tbody>")[0]
    assert rows.count("<tr>") == 12 and '<td class="number">41</td>' in rows
    assert "of 41 clips, so that the page stays small; predictions_val.csv has them all" in text


def test_what_is_of_other_data_or_of_clips_is_left_out(run_and_cache, tmp_path, caplog):
    run, cache = run_and_cache
    before = run.report_path.read_bytes()
    clips = read_manifest(run.manifest_path)
    # One clip was tested on that the run has learnt from.
    number = next(i for i, clip in enumerate(clips) if clip.split == "train")
    others = [*clips]
    others[number] = dataclasses.replace(clips[number], split="test")
    write_json(tmp_path / "compare.json", {"data": describe_data(cache, others)})
    write_report(run, cache, compare_dir=tmp_path)
    assert "compare.json: is of other features, clips or splits than the run" in caplog.text
    write_json(tmp_path / "compare.json", {"data": describe_data(cache, clips)})
    write_report(run, cache, compare_dir=tmp_path)
    assert "compares heads that give each clip one label" in caplog.text
    assert run.report_path.read_bytes() == before


def make_predictions():
    """Two clips of four frames at 2 a second, of which the second has the more mistakes."""
    clock = ClipClock(np.arange(4, dtype=np.int32), np.arange(4) / 2)
    untimed = ClipClock(np.array([0, 2, 4, 6], np.int32), np.full(4, np.nan))
    class_ids = [np.array([0, 0, 1, 1]), np.array([0, -1, 1, 1])]
    probabilities = [np.eye(2)[[0, 0, 0, 1]], np.eye(2)[[1, 1, 1, 0]]]
    return FramePredictions(["a", "b"], ["x", "y"], [clock, untimed], class_ids, probabilities)


def test_bands_of_the_clips_with_most_mistakes_first():
    second, first = find_least_right(make_predictions())[::-1]
    assert (first["clip_id"], first["num_frames"]) == ("b", 3)
    assert first["accuracy"] == pytest.approx(1 / 3)
    assert (first["start"], first["end"]) == ("frame 0", "frame 7")
    shown = [(x["class_id"], x["left"], x["width"], x["span"]) for x in first["true"]]
    assert shown == [(0, 0, 25, "frame 0 to frame 2"), (1, 50, 50, "frame 4 to frame 7")]
    assert [(x["class_id"], x["left"], x["width"]) for x in first["predicted"]] == [
        (1, 0, 75),
        (0, 75, 25),
    ]
    # A frame without a label is not wrong.
    assert [(x["left"], x["width"]) for x in first["wrong"]] == [(0, 25), (75, 25)]
    assert [(x["left"], x["span"]) for x in second["wrong"]] == [(50, "1.00 s to 1.50 s")]
    assert (second["start"], second["end"]) == ("0.00 s", "2.00 s")


def test_clips_that_a_page_has_no_room_for_take_no_memory():
    num_clips, num_frames = 30, 1000
    clock = ClipClock(np.arange(num_frames, dtype=np.int32), np.arange(num_frames) / 25)
    class_ids = np.arange(num_frames) % 2
    predictions = FramePredictions(
        [str(i) for i in range(num_clips)],
        ["x", "y"],
        [clock] * num_clips,
        [class_ids] * num_clips,
        [np.eye(2)[1 - class_ids]] * num_clips,
    )
    tracemalloc.start()
    shown = find_least_right(predictions)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [clip["clip_id"] for clip in shown] == ["0"]  # a band for each frame
    assert peak_bytes < 5e6


def test_predictions_are_read_as_they_were_written(tmp_path):
    path, written = tmp_path / "predictions.csv", make_predictions()
    write_frame_predictions(path, written)
    found = read_frame_predictions(path)
    assert (found.clip_ids, found.class_names) == (written.clip_ids, written.class_names)
    for a, b in zip(found.clocks, written.clocks, strict=True):
        np.testing.assert_array_equal(a.frame_index, b.frame_index)
        np.testing.assert_array_equal(a.timestamp_sec, b.timestamp_sec)
    for a, b in zip(found.class_ids, written.class_ids, strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(found.probabilities, written.probabilities, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("text", "received"),
    [
        ("", r"the header \[\]"),
        ("clip_id,label,predicted,x\n", r"the header \['clip_id', 'label', 'predicted'\]"),
        ("clip_id,frame_index,timestamp_sec,label,predicted,x\n", "no frames"),
        ("clip_id,frame_index,timestamp_sec,label,predicted,x\n\n", ".*"),
        (
            "clip_id,frame_index,timestamp_sec,label,predicted,x,y\nc,0,,x,x,1,0\nc,1,,x,x,1,1\n",
            "1, 1 as probabilities of row 2 of c, which do not add up to 1",
        ),
        (
            "clip_id,frame_index,timestamp_sec,label,predicted,x,y\nc,0,,x,y,1,0\n",
            "'y' as predicted in row 1 of c, where 'x' is most probable",
        ),
        ("clip_id,frame_index,timestamp_sec,label,predicted,\xe9\n", "'utf-8' codec can't .*"),
        pytest.param('clip_id,"' + "y" * 200_000, "field larger than .*", id="quote"),
    ],
)
def test_what_are_no_predictions_is_named(tmp_path, text, received):
    path = tmp_path / "predictions.csv"
    path.write_text(text, encoding="latin-1")
    message = rf"csv: expected a table of frames with the columns clip_id, fr.*: {received}\. Score"
    with pytest.raises(ValueError, match=message):
        read_frame_predictions(path)


def test_predictions_are_read_clip_by_clip(tmp_path):
    path, num_clips, num_frames = tmp_path / "predictions.csv", 20, 200
    clock = ClipClock(np.arange(num_frames, dtype=np.int32), np.arange(num_frames) / 25)
    columns = [clock, np.zeros(num_frames, int), np.eye(2)[[0] * num_frames]]
    names = [str(i) for i in range(num_clips)]
    written = FramePredictions(names, ["x", "y"], *([column] * num_clips for column in columns))
    write_frame_predictions(path, written)
    tracemalloc.start()
    try:
        read_frame_predictions(path)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Numbers take 32 bytes a frame, and the text of its row some 500.
    assert peak_bytes < 150 * num_clips * num_frames
