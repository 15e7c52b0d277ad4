"""How far an extraction or a training is, is told in a terminal and in a log."""

import re
import sys

import numpy as np
import pytest
from commands import run_program
from small_data import make_ramps, train, write_cache
from small_extraction import SMALL_SETTINGS
from small_imports import write_features

from extract_features.feature_import import import_features
from extract_features.given_data import DataSettings
from extract_features.planning import make_plan
from extract_features.progress import ExtractionProgress
from extract_features.summary import ExtractionResult, Summary, report_summary
from extract_features.verification import iter_findings
from lrcn.common.cache.open_cache import read_cache
from lrcn.common.clips.clip import Clip
from lrcn.common.clips.manifest import write_manifest
from lrcn.common.programs import progress
from train_head.scores.evaluation import evaluate_run
from train_head.studies.near_duplicates import find_near_duplicates


@pytest.mark.parametrize("is_terminal", [True, False])
def test_clips_and_frames_are_counted_as_they_come(monkeypatch, caplog, capsys, is_terminal):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    monkeypatch.setattr(progress, "_PLAIN_INTERVAL_SEC", 0.0)
    with caplog.at_level("INFO", logger="absl"), ExtractionProgress(2) as shown:
        shown.add_frames(3)
        shown.add_clip()
        shown.add_clip()
    if is_terminal:
        assert "2 of 2 clips" in capsys.readouterr().err and not caplog.messages
        return
    parts = [message.split(", ") for message in caplog.messages]
    assert [part[0] for part in parts] == [f"{done} of 2 clips" for done in (0, 0, 1, 2)]
    assert parts[0][1] == "0.0 frames/s" and "0.0 frames/s" not in [x[1] for x in parts[1:]]
    assert [part[-1] for part in parts[1::2]] == ["unknown time left", "0:00:00 left"]


def test_epochs_and_statistics_are_followed(tmp_path, monkeypatch, caplog):
    # A training of many clips would say nothing for minutes.
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)
    monkeypatch.setattr(progress, "_PLAIN_INTERVAL_SEC", 0.0)
    clips = make_ramps(3, split="train") | make_ramps(1, split="val")
    cache = write_cache(tmp_path / "cache", clips)
    with caplog.at_level("INFO", logger="absl"):
        train(cache, tmp_path / "run", batch_size=4, epochs=2)
    told = "\n".join(caplog.messages)
    begun = "6 train clips and 2 val clips, 2 steps an epoch, at most 2 epochs, learning rate 0.01"
    assert f"\n{begun}\n" in told
    counted = re.findall(r"^(.*): (\d) of (\d) .* left$", told, re.MULTILINE)
    parts = [("opening", 8), ("comparing sources", 8)]
    parts += [("scale of the features", 6), ("mean of the features", 6)]
    parts += [("epoch 1 of 2", 2), ("epoch 2 of 2", 2)]
    assert counted == [(x, str(i + 1), str(total)) for x, total in parts for i in range(total)]


def test_imports_audits_verifications_and_evaluations_are_followed(tmp_path, monkeypatch, caplog):
    # Of 20,000 clips each said nothing for half a minute, of long ones for as much longer.
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)
    monkeypatch.setattr(progress, "_PLAIN_INTERVAL_SEC", 0.0)
    splits = [("train", 3), ("val", 1), ("test", 2)]
    clips = {x: maps for split, n in splits for x, maps in make_ramps(n, split=split).items()}
    write_manifest(tmp_path / "clips.csv", list(clips))
    features = write_features(
        tmp_path / "features.h5", {x.clip_id: maps for x, maps in clips.items()}
    )
    settings = DataSettings(data=tmp_path / "clips.csv")

    def find_counted(do):
        caplog.clear()
        with caplog.at_level("INFO", logger="absl"):
            do()
        told = "\n".join(caplog.messages)
        return re.findall(r"^(?:(.*): )?([0-9]+) of ([0-9]+) clips, .* left$", told, re.MULTILINE)

    def count(part, total):
        return [(part, str(i + 1), str(total)) for i in range(total)]

    cache_dir = tmp_path / "cache"
    counted = find_counted(
        lambda: import_features(settings, features=features, cache_dir=cache_dir)
    )
    looked = [*count("looking at sources", 12), *count("looking into the cache", 12)]
    # First at once, then after the frames of each clip and when it is whole.
    assert list(dict.fromkeys(counted)) == [*looked, ("", "0", "12"), *count("", 12)]
    cache = read_cache(cache_dir)
    found = find_counted(lambda: list(iter_findings(cache)))
    assert found == count("verification", 12)
    found = find_counted(lambda: find_near_duplicates(cache, threshold=0.9))
    parts = ("opening", "reading", "comparing sources")
    assert found == [x for part in parts for x in count(part, 12)]
    run = train(cache, tmp_path / "run", batch_size=4, epochs=1)
    found = find_counted(lambda: evaluate_run(run, cache, split="test", num_windows=3))
    sources = "comparing sources"
    assert found == [
        *count(sources, 8),
        *count("opening", 4),
        *count("evaluation", 4),
        *count(sources, 4),
    ]


def test_what_a_plan_looks_at_is_followed(clips_dir, monkeypatch, caplog):
    # Of 13,500 folders of 180 images it said nothing for a minute and more.
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)
    monkeypatch.setattr(progress, "_PLAIN_INTERVAL_SEC", 0.0)
    settings = DataSettings(data=clips_dir)
    with caplog.at_level("INFO", logger="absl"):
        make_plan(settings, SMALL_SETTINGS, cache_dir=None, batch_size=16, compression="gzip")
    told = "\n".join(caplog.messages)
    counted = re.findall(r"^(.*): ([0-9]+) of 16 (?:clip|source)s, .* left$", told, re.MULTILINE)
    parts = ("listing folders", "looking at sources", "looking into the cache", "counting frames")
    assert counted == [(part, str(i + 1)) for part in parts for i in range(16)]


def test_what_is_found_is_printed_to_stdout_between_live_lines(tmp_path, monkeypatch, capsys):
    # While a live line is up, what is printed would be taken to stderr.
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(progress, "_PART_AFTER_SEC", 0.0)
    clips = make_ramps(2, split="train")
    cache = write_cache(tmp_path / "cache", clips)
    for clip in list(clips)[1:3]:
        cache.clip_path(clip.clip_id).unlink()
    for finding in iter_findings(cache):
        print(finding.kind)
    out, err = capsys.readouterr()
    assert out.splitlines() == ["source missing", "missing", "missing", "source missing"]
    assert "verification: 1 of 4 clips" in err and "verification: 4 of 4 clips" in err
    assert "missing" not in err


def test_one_clip_is_no_clips(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with ExtractionProgress(1) as shown:
        shown.add_clip()
    assert re.search(r"1 of 1 clip\b", capsys.readouterr().err)


def test_thousands_are_written_alike(tmp_path):
    # "No group is known of 1200 of 1,200 clips".
    clips = [Clip(f"c{i}", f"c{i}", f"class {i % 2}") for i in range(1200)]
    write_manifest(tmp_path / "clips.csv", clips)
    features = write_features(tmp_path / "features.h5", {"another": np.ones((2, 3))})
    told = run_program(
        "extract_features.import_features",
        f"--features={features}",
        f"--data={tmp_path / 'clips.csv'}",
        f"--cache_dir={tmp_path / 'cache'}",
        "--val_fraction=0",
        "--test_fraction=0",
        check=False,
    ).stderr
    assert "1,200 clips of 2 classes: 1,200 train, 0 val, 0 test\n" in told
    assert "No group is known" in told and "of none of the 1,200 clips in --data" in told
    assert not re.search("[0-9]{4}", told.replace(str(tmp_path), ""))


@pytest.mark.parametrize("sec", [0.0, 60.0])
def test_a_live_line_of_a_part_comes_where_it_lasts_and_goes(monkeypatch, capsys, sec):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(progress, "_PART_AFTER_SEC", sec)
    with progress.Progress(2000, "step", part="epoch 1 of 3") as shown:
        shown.show(1200)
    told = capsys.readouterr().err
    assert ("epoch 1 of 3: 1,200 of 2,000 steps" in told) == (sec == 0)
    # What a terminal is told to take the line away by.
    assert told.endswith("\x1b[2K") == (sec == 0)


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
