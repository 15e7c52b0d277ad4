"""How far an extraction is, is told in a terminal and in a log."""

import sys

import pytest

from extract_features import progress
from extract_features.summary import ExtractionResult, Summary, report_summary


@pytest.mark.parametrize("is_terminal", [True, False])
def test_clips_and_frames_are_counted_as_they_come(monkeypatch, caplog, capsys, is_terminal):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    monkeypatch.setattr(progress, "_PLAIN_INTERVAL_SEC", 0.0)
    with caplog.at_level("INFO", logger="absl"), progress.ExtractionProgress(2) as shown:
        shown.add_frames(3)
        shown.add_clip()
        shown.add_clip()
    if is_terminal:
        assert "2 of 2 clips" in capsys.readouterr().err and not caplog.messages
        return
    parts = [message.split(", ") for message in caplog.messages]
    assert [part[0] for part in parts] == ["0 of 2 clips", "1 of 2 clips", "2 of 2 clips"]
    assert [part[-1] for part in parts[::2]] == ["unknown time left", "0:00:00 left"]
    assert not any(part[1] == "0.0 frames/s" for part in parts)


@pytest.mark.parametrize(
    ("elapsed_sec", "forward_sec", "is_advised"),
    [(200, 50, True), (200, 150, False), (20, 5, False)],
)
def test_where_vgg16_waits_for_long_it_is_said_what_helps(
    elapsed_sec, forward_sec, is_advised, tmp_path, caplog
):
    result = ExtractionResult(1, 100, elapsed_sec=elapsed_sec, forward_sec=forward_sec)
    with caplog.at_level("INFO", logger="absl"):
        report_summary(Summary(result, 0, elapsed_sec, skip_unreadable=False), tmp_path)
    share = round(100 * forward_sec / elapsed_sec)
    assert f"VGG16 computed in {forward_sec:.1f} s ({share} %)" in caplog.text
    assert ("Several processes may share the work" in caplog.text) == is_advised


def test_frames_a_second_are_those_of_the_time_that_is_told():
    result = ExtractionResult(3, 100, size_bytes=2_000_000, elapsed_sec=5.0)
    assert str(Summary(result, 1, elapsed_sec=12.3, skip_unreadable=False)) == (
        "3 clips done, 1 skipped (already there), 0 failed; 100 frames in 5.0 s (20.0 frames/s), "
        "2.0 MB written; 12 s with the start"
    )
