"""Tests that names of any length and any writing leave a report's figures in sight and in place."""

import numpy as np
import pytest
from small_data import train, write_cache

from lrcn.common.clips.clip import Clip
from train_head.reports.reporting import write_report
from train_head.scores.prediction_file import read_run_predictions

# Long without a blank, from right to left, from right to left by a control letter, and wide.
CLASS_NAMES = ["W" * 150, "المشي في الشارع", "a\u202egnp.exe", "走る人" * 7]


@pytest.fixture(scope="module")
def report_path(tmp_path_factory):
    """The report of a run that takes every class for every other."""
    folder = tmp_path_factory.mktemp("names")
    random = np.random.RandomState(0)
    features = {}
    for split, num_clips in {"train": 2, "test": 12}.items():
        for i in range(4 * num_clips):
            clip = Clip(f"{split}_{i}", f"{split}_{i}", CLASS_NAMES[i % 4], split)
            features[clip] = random.normal(size=(3, 8))
    cache = write_cache(folder / "cache", features)
    run = train(cache, folder / "run", epochs=1)
    write_report(run, cache)
    return run.report_path


@pytest.fixture
def opened(report_path, page):
    page.resize(1200, 900)
    page.open(report_path)
    return page


def test_a_long_name_leaves_the_figures_in_sight(opened):
    for table in ("#classes", "#confusions"):
        text = opened.evaluate(f"document.querySelector('{table} tbody').textContent")
        assert CLASS_NAMES[0] in text
        beyond = f"""(() => {{
          const end = document.querySelector("{table} table").parentElement
            .getBoundingClientRect().right;
          return [...document.querySelectorAll("{table} .number")]
            .filter((cell) => cell.getBoundingClientRect().right > end + 1).length;
        }})()"""
        assert opened.evaluate(beyond) == 0
    assert opened.evaluate("document.documentElement.scrollWidth") <= 1200
    opened.resize(390, 844)
    assert opened.evaluate("document.documentElement.scrollWidth") == 390
    assert opened.problems == []


def test_labels_of_the_matrix_lie_inside_of_it(opened):
    found = opened.evaluate(
        """(() => {
          const svg = document.querySelector("#matrix svg").getBoundingClientRect();
          const labels = [...document.querySelectorAll("#matrix text")]
            .filter((text) => /\\D/.test(text.textContent));
          const cut = labels.map((text) => text.getBoundingClientRect())
            .filter((box) => box.left < svg.left || box.top < svg.top);
          return [labels.length, cut.length];
        })()"""
    )
    assert found == [8, 0]


def test_figures_stand_behind_names_that_are_read_from_the_right(opened):
    """Else the letters of a figure would go on from right to left, before the name."""
    after = """(() => {
      const place = (node, start, end) => {
        const range = document.createRange();
        range.setStart(node, start);
        range.setEnd(node, end);
        return range.getBoundingClientRect();
      };
      const cards = [...document.querySelectorAll(".card .is-true, .card .is-guess")].map(
        (name) => {
          const right = name.getBoundingClientRect().right;
          return [name.textContent, right - place(name.nextSibling, 0, 5).left];
        });
      const cells = classes.map((name, k) => {
        const cell = [...document.querySelectorAll("rect[data-cell]")]
          .find((rect) => rect.dataset.cell.startsWith(`${k},`));
        showCell(...cell.dataset.cell.split(",").map(Number));
        const node = document.querySelector("#readout").firstChild;
        const end = node.textContent.indexOf(name) + name.length;
        const colon = node.textContent.indexOf(":", end);
        return [name, place(node, end - 1, end).left - place(node, colon, colon + 4).left];
      });
      return [cards, cells];
    })()"""
    cards, cells = opened.evaluate(after)
    for found in (cards, cells):
        assert {name for name, _ in found} == set(CLASS_NAMES)
        # The long one fills lines.
        assert max(past for name, past in found if name != CLASS_NAMES[0]) < 1


def test_nearly_all_is_not_said_to_be_all(opened):
    shares = [0, 0.0004, 0.004, 0.5, 0.994, 0.996, 0.9999, 1]
    expected = ["0 %", "< 0.1 %", "0.4 %", "50 %", "99 %", "99.6 %", "> 99.9 %", "100 %"]
    assert opened.evaluate(f"{shares}.map(percent)") == expected


def test_a_clip_that_it_is_nearly_sure_of_is_not_said_to_be_all_sure(page, tmp_path):
    features = {}
    for split in ("train", "test"):
        for i in range(16):
            label = "ab"[i % 2]
            clip = Clip(f"{split}_{i}", f"{split}_{i}", label, split)
            features[clip] = np.tile([1.0, 5.0] if label == "a" else [5.0, 1.0], (3, 1))
    cache = write_cache(tmp_path / "cache", features)
    settings = {"fc_units": 0, "input_dropout": 0.0, "epochs": 30, "learning_rate": 0.2}
    run = train(cache, tmp_path / "run", **settings)
    write_report(run, cache)
    best = read_run_predictions(run, split="test").probabilities.max(axis=1)
    assert 0.9995 < best.min() <= best.max() < 1
    page.open(run.report_path)
    assert page.evaluate("clips.map((clip) => percent(clip[4]))") == ["> 99.9 %"] * 16
    last = "Object.values(cards).flatMap((card) => card.over_time.map((x) => percent(x.at(-1))))"
    assert set(page.evaluate(last)) == {"> 99.9 %", "< 0.1 %"}
