"""Tests the report of a run in a real browser, and that it does without pictures."""

import base64
import dataclasses
import io
import json
import shutil

import numpy as np
import pytest
from commands import run_program
from PIL import Image
from small_data import make_ramps, train, write_cache

from lrcn.common.cache.open_cache import read_cache
from lrcn.common.cache.run_dir import RunDir, read_json, write_json
from lrcn.common.clips.clip import Clip
from lrcn.common.clips.manifest import read_manifest, write_class_names, write_manifest
from lrcn.common.pixels.source_stat import read_source_stat
from train_head.reports.reporting import write_report
from train_head.run.provenance import describe_data
from train_head.scores.score_file import read_scores

HOSTILE_CLIP = "<script>alert(1)</script>"
HOSTILE_CLASS = "</script><img src=x onerror=alert(2)>"


def copy_run(run_dir, cache_dir, folder):
    """Copies a run and its cache, to be changed."""
    run = RunDir(shutil.copytree(run_dir, folder / "run"))
    return run, read_cache(shutil.copytree(cache_dir, folder / "cache"))


@pytest.fixture(scope="module")
def hostile_report(run_dir, cache_dir, tmp_path_factory):
    """The report of a run with a clip and a class of hostile names, by the command line."""
    folder = tmp_path_factory.mktemp("hostile")
    run, cache = copy_run(run_dir, cache_dir, folder)
    clips = read_manifest(run.manifest_path)
    rename = {"left": HOSTILE_CLASS, "right": "right"}
    clips = [Clip(x.clip_id, x.path, rename[x.label], x.split) for x in clips]
    twin = next(x for x in clips if x.split == "test" and x.label == HOSTILE_CLASS)
    clips.append(Clip(HOSTILE_CLIP, twin.path, twin.label, "test"))
    writer = cache.open_writer(HOSTILE_CLIP)
    features = cache.read_clip(twin.clip_id)
    writer.append(
        features.feature_maps,
        frame_index=features.frame_index,
        timestamp_sec=features.timestamp_sec,
    )
    writer.commit(read_source_stat(f"{cache.data_root}/{twin.path}"))
    before = [dataclasses.replace(clip, path=f"before/{clip.path}") for clip in clips]
    for place, listed in ((run, before), (cache, clips)):  # sources moved after training
        write_manifest(place.manifest_path, listed)
    write_class_names(cache.classes_path, [HOSTILE_CLASS, "right"])
    run.write_class_names([HOSTILE_CLASS, "right"])
    run.metrics_path("test").unlink()
    data = {"data": describe_data(cache, clips)}
    write_json(folder / "compare.json", make_compare() | data)
    write_json(folder / "audit.json", make_audit(clips) | data)
    flags = (f"--run_dir={run.path}", f"--cache_dir={cache.cache_dir}")
    also = (f"--compare_dir={folder}", f"--audit_dir={folder}")
    done = run_program("train_head.report", *flags, *also)
    assert done.stdout == f"{run.report_path}\n"
    return run


def make_compare():
    model = {"top1": [0.9, 0.8], "mean": 0.85, "std": 0.07}
    difference = {"mean": 0.05, "low": -0.01, "high": 0.1}
    return {
        "split": "test",
        "num_clips": 5,
        "seeds": [0, 1],
        "models": [
            {"name": "mean_pool", "title": "mean pool", "difference": None, **model},
            {"name": "gru", "title": "GRU <b>", "difference": difference, **model},
        ],
        "verdict": "The mean & its <b>friends</b> are enough.",
    }


def make_audit(clips):
    a, b = clips[0], clips[-1]
    sides = {"a": a, "b": b}
    pair = {"similarity": 0.991, "frame_similarity": 0.999}
    for side, clip in sides.items():
        pair |= {f"clip_{side}": clip.clip_id, f"split_{side}": clip.split}
        pair |= {f"label_{side}": clip.label, f"frame_{side}": 1}
    return {"num_clips": len(clips), "threshold": 0.95, "num_pairs": 1, "pairs": [pair]}


def test_the_page_works_in_a_browser(hostile_report, page):
    page.resize(1200, 900)
    page.open(hostile_report.report_path)
    scores = read_json(hostile_report.metrics_path("test"))
    text = page.evaluate("document.body.innerText")
    assert f"{scores['top1']:.1%}".replace("%", " %") in text
    assert "The mean & its <b>friends</b> are enough." in text
    assert "0.991" in text
    assert page.evaluate("document.querySelectorAll('#wrong .card, #unsure .card').length") > 0
    widths = page.evaluate(
        """Promise.all([...document.images].map(async image => {
          await image.decode(); return image.naturalWidth; }))"""
    )
    assert len(widths) > 1 and min(widths) > 0
    assert page.evaluate("document.querySelectorAll('.twins').length") == 1

    # Every clip of a cell is shown when the cell is clicked.
    clips = page.read_data()["clips"]
    true, predicted = next(row[1:3] for row in clips if row[0] == HOSTILE_CLIP)
    assert page.evaluate("document.querySelector('#cell-clips').innerText") == ""
    page.click(f'rect[data-cell="{true},{predicted}"]')
    names = page.evaluate("[...document.querySelectorAll('#cell-clips h4')].map(x => x.innerText)")
    assert sorted(names) == sorted(row[0] for row in clips if row[1:3] == [true, predicted])
    assert HOSTILE_CLIP in names, "shown as text"
    shown = page.evaluate("document.querySelector('#cell-clips img').naturalWidth")
    assert shown > 0

    page.click("table.sortable button")
    assert page.evaluate("document.querySelector('th[aria-sort=ascending]').innerText") == "class"
    assert page.problems == []
    assert {x for x in page.requests if not x.startswith("data:")} == {
        hostile_report.report_path.resolve().as_uri()
    }


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_has_nothing_to_scroll_sideways(hostile_report, page, scheme):
    page.resize(390, 844)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    page.call("Emulation.setEmulatedMedia", features=features)
    page.open(hostile_report.report_path)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    heights = page.evaluate(
        "[...document.querySelectorAll('.chart text')].map(x => x.getBoundingClientRect().height)"
    )
    assert min(heights) > 10, "as large as letters can be read"
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = np.mean([int(x) for x in colour[4:-1].split(",")])
    assert (brightness < 60) if scheme == "dark" else (brightness > 200)
    assert page.problems == []


def test_frames_are_those_of_the_clip(hostile_report, clips_dir):
    """A strip's pictures are the frames whose numbers stand below it."""
    text = hostile_report.report_path.read_text(encoding="utf-8")
    data = json.loads(text.split('id="data">')[1].split("</script>")[0])
    listed = read_manifest(hostile_report.path.parent / "cache" / "manifest.csv")
    paths = {clip.clip_id: clip.path for clip in listed}
    for i, card in data["cards"].items():
        strip = np.asarray(read_picture(card["strip"])).astype(int)
        assert strip.shape == (56, 56 * len(card["frames"]), 3)
        source = clips_dir / paths[data["clips"][int(i)][0]]
        if source.suffix:
            continue
        for t, frame in enumerate(card["frames"]):
            expected = Image.open(source / f"{frame}.png").resize((56, 56), Image.BILINEAR)
            found = strip[:, 56 * t : 56 * (t + 1)]
            assert np.abs(found - np.asarray(expected)).mean() < 8
        # The last frame is the end of what the head saw, so it says what evaluation said.
        true = data["clips"][int(i)][1]
        assert card["classes"][0] == true
        assert card["over_time"][0][-1] == pytest.approx(data["clips"][int(i)][3], abs=2e-3)


def read_picture(uri):
    return Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))


def test_a_moved_data_set_and_an_older_score(run_dir, cache_dir, page, tmp_path):
    """Without its sources it has no pictures and says so; what the score lacks is computed."""
    run, cache = copy_run(run_dir, cache_dir, tmp_path)
    whole = read_scores(run.metrics_path("test"))
    write_json(run.metrics_path("test"), {x: whole[x] for x in ("split", "num_clips", "top1")})
    write_json(
        cache.cache_dir / "cache.json",
        {**read_json(cache.cache_dir / "cache.json"), "data_root": str(tmp_path / "gone")},
    )
    write_report(run, read_cache(cache.cache_dir))
    page.resize(1200, 900)
    page.open(run.report_path)
    note = page.evaluate("document.querySelector('#missing').innerText")
    assert "clips go without pictures." in note and str(tmp_path / "gone") in note
    assert "If the clips are elsewhere now, tell the cache once: extract_features with" in note
    assert page.evaluate("document.images.length") == 0
    assert page.evaluate("document.querySelectorAll('.card').length") > 0
    assert page.problems == []
    found = read_scores(run.metrics_path("test"))
    assert found.pop("provenance") and whole.pop("provenance")
    assert found == whole

    lines = run.predictions_path("test").read_text().splitlines()
    run.predictions_path("test").write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(ValueError, match=r"predictions\.csv: expected the \d+ test clips of .*man"):
        write_report(run, cache)


def test_imported_features_with_attention_and_only_val_clips(page, tmp_path):
    clips = {**make_ramps(3, split="train"), **make_ramps(2, split="val")}
    maps = {clip: x[:, None, None, :] * np.ones((1, 2, 3, 1)) for clip, x in clips.items()}
    cache = write_cache(tmp_path / "cache", maps)
    settings = {"output": "mean", "frame_pooling": "attention", "epochs": 1}
    run = train(cache, tmp_path / "run", **settings)
    write_report(run, cache)
    page.open(run.report_path)
    assert "The features were imported" in page.evaluate("document.body.innerText")
    assert "These clips chose the epoch" in page.evaluate("document.body.innerText")
    cards = page.read_data()["cards"]
    frames = next(iter(cards.values()))["frames"]
    veil = read_picture(next(iter(cards.values()))["attention"])
    assert veil.size == (16 * len(frames), 16)
    assert page.problems == []


@pytest.mark.parametrize("has_val", [True, False])
def test_overfitting_is_spoken_of_where_val_clips_tell(tmp_path, has_val):
    clips = {**make_ramps(3, split="train"), **make_ramps(1, split="test")}
    if has_val:
        clips |= make_ramps(1, split="val")
    cache = write_cache(tmp_path / "cache", clips)
    run = train(cache, tmp_path / "run", epochs=1)
    write_report(run, cache)
    page = run.report_path.read_text(encoding="utf-8")
    assert ("A loss on val that rises" in page) == has_val
    assert ("No val clips judged the epochs" in page) != has_val


def test_named_results_that_are_missing_are_asked_for(run_dir, cache_dir, tmp_path):
    for name in ("compare", "audit"):
        with pytest.raises(
            FileNotFoundError, match=rf"{name}\.json: missing\. Expected the folder that `python"
        ):
            write_report(
                RunDir(run_dir), read_cache(cache_dir), **{f"{name}_dir": tmp_path / "gone"}
            )
