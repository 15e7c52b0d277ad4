"""Tests that the report of very many clips stays a page that a phone can show."""

import base64
import io

import numpy as np
from PIL import Image

from lrcn.common.clips.clip import Clip
from train_head.reports.report_data import MAX_SHOWN, ScoredClips
from train_head.reports.report_page import render_page
from train_head.scores.metrics import compute_metrics


def test_twenty_thousand_clips_of_a_hundred_classes_stay_small(page, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(make_large_page(num_classes=101, num_clips=20_000), encoding="utf-8")
    assert path.stat().st_size < 5_000_000
    page.resize(390, 844)
    page.open(path)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    true, predicted = page.read_data()["clips"][0][1:3]
    page.click(f'rect[data-cell="{true},{predicted}"]')
    assert page.evaluate("document.querySelectorAll('#cell-clips .plain li').length") > 1
    assert page.problems == []


def make_large_page(*, num_classes, num_clips):
    """A page as `write_report` makes it, of drawn predictions and strips that compress badly."""
    random = np.random.default_rng(0)
    class_names = [f"Class number {k}" for k in range(num_classes)]
    class_ids = random.integers(num_classes, size=num_clips)
    logits = random.normal(size=(num_clips, num_classes))
    logits[np.arange(num_clips), class_ids] += 4
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    clips = [
        Clip(f"{class_names[k]}/v_Clip_g{i:05d}_c01", "x", class_names[k], "test")
        for i, k in enumerate(class_ids)
    ]
    scored = ScoredClips(clips, class_names, class_ids, probabilities)
    noise = random.integers(256, size=(14, 16 * 14, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).resize((16 * 56, 56)).save(file, "JPEG", quality=75)
    strip = "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
    card = {
        "frames": list(range(0, 160, 10)),
        "over_time": random.random((4, 16)).round(3).tolist(),
        "influence": random.normal(size=16).round(3).tolist(),
        "attention": None,
        "strip": strip,
    }
    cards = {i: {**card, "classes": [int(class_ids[i]), 1, 2, 3]} for i in scored.find_shown()}
    assert len(cards) == MAX_SHOWN
    rows = [{"epoch": e, "loss": 4 / e, "top1": 1 - 1 / e} for e in range(1, 21)]
    scores = compute_metrics(probabilities, class_ids, class_names)
    return render_page(
        run_name="large",
        scores={"split": "test", "provenance": {"leaking_groups": 0}, **scores},
        scored=scored,
        cards=cards,
        failures=[],
        training={"rows": rows, "best_epoch": 20},
        compare=None,
        audit=None,
        origin={
            "commands": [],
            "flags": [],
            "contract": {},
            "data_root": "",
            "versions": {},
            "git_commit": None,
        },
    )
