"""The tour of the documentation is one that can be taken."""

import re
import textwrap

import numpy as np
from commands import ROOT

from train_head.head.model import build_head
from train_head.head.normalization import FeatureStatistics
from train_head.run.config import TrainConfig
from train_head.training.layer_table import format_layers


def test_the_tour_goes_on_from_block_to_block(
    clips_dir, cache_dir, run_dir, tmp_path, monkeypatch, capsys
):
    text = (ROOT / "docs" / "TOUR.md").read_text(encoding="utf-8")
    program = "".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    # The tests' clips in place of the sample's, which are twins alike.
    for name, ours in (("up/", "right/"), ("down/", "left/"), ("size=64", "size=32")):
        assert name in program
        program = program.replace(name, ours)
    sample = tmp_path / "work" / "sample"
    sample.mkdir(parents=True)
    for name, folder in (("data", clips_dir), ("cache", cache_dir), ("run", run_dir)):
        (sample / name).symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    exec(program, {})
    frames, features, is_twin, contract, _, classes, *orders = capsys.readouterr().out.splitlines()
    assert (frames, features) == ("5 (32, 32, 3) uint8", "(5, 1, 1, 512) float16")
    assert (is_twin, classes) == ("True", "['left', 'right']")
    assert contract.startswith("Contract(backbone='vgg16', cut='block5_pool'")
    assert len(orders) == 2 and orders[0] != orders[1]


def test_the_layers_that_the_tour_shows_are_those_of_the_head():
    shape = (2, 2, 512)
    statistics = FeatureStatistics(1.0, np.zeros(shape), 1.0)
    head = build_head(TrainConfig(), feature_shape=shape, num_classes=6, statistics=statistics)
    *layers, _ = format_layers(head, np.zeros((16, 16, *shape), np.float16)).splitlines()
    text = (ROOT / "docs" / "TOUR.md").read_text(encoding="utf-8")
    assert textwrap.indent("\n".join(layers), "    ") in text
