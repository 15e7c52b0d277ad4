"""How scores are told: the headline, the table, and what is confused."""

import numpy as np
import pytest
from small_scores import CLASS_IDS, NAMES, PROBABILITIES, SIX_PROBABILITIES

from train_head.scores.metrics import compute_metrics
from train_head.scores.score_table import format_headline, format_metrics, list_confusions


def add_origin(scores, *, leaking_groups=0):
    """Adds what evaluation knows beside the scores."""
    return {"split": "test", **scores, "provenance": {"leaking_groups": leaking_groups}}


def test_the_headline_and_the_table_have_the_scores():
    groups = ["a", "a", "b", "c", "c"]
    scores = compute_metrics(PROBABILITIES, CLASS_IDS, NAMES, groups=groups)
    scores |= {"top1_interval": [0.2, 1.0], "mean_class_accuracy_interval": [0.25, 0.875]}
    headline = format_headline(add_origin(scores))
    assert headline == "top-1 60.0% [0.0, 100.0] of 5 test clips of 3 groups"
    table = format_metrics(add_origin(scores, leaking_groups=1))
    assert table.splitlines() == [
        "clips                5 of the split test",
        "top-1                 60.0% [20.0, 100.0], by group [0.0, 100.0]",
        "mean class accuracy   66.7% [25.0, 87.5], by group [19.5, 100.0]",
        "calibration error     22.0%",
        "[low, high]: 95 % interval over the clips; by group: over the 3 groups",
        "groups in several splits: 1, so the scores are too good",
        "",
        "class  clips  precision  recall      F1  average precision",
        "walk       2      66.7%  100.0%   80.0%              83.3%",
        "run        1      50.0%  100.0%   66.7%             100.0%",
        "jump       2         --    0.0%    0.0%              70.0%",
        "",
        "true class  predicted     % of the true class",
        "              0  1  2       0    1    2",
        "walk          2  0  0     100    0    0  = 0",
        "run           0  1  0       0  100    0  = 1",
        "jump          1  1  0      50   50    0  = 2",
    ]


def test_one_group_alone_is_said():
    scores = compute_metrics(PROBABILITIES, CLASS_IDS, NAMES, groups=["a"] * 5)
    headline, table = (f(add_origin(scores)) for f in (format_headline, format_metrics))
    assert headline.endswith(" of 5 test clips of one group")
    assert table.splitlines()[4:6] == [
        "[low, high]: 95 % interval over the clips",
        "all clips are of one group: intervals say nothing of other groups",
    ]
    del scores["of_one_group"]  # as an earlier version wrote them
    assert format_headline(add_origin(scores)).endswith(" of 5 test clips")


def test_a_class_without_clips_has_dashes():
    scores = compute_metrics(PROBABILITIES, np.array([0, 1, 1, 1, 0]), NAMES)
    lines = format_metrics(add_origin(scores)).splitlines()
    assert "jump       0         --      --      --                 --" in lines
    assert "jump          0  0  0      --   --   --  = 2" in lines


def test_top5_is_shown_from_six_classes_on():
    scores = compute_metrics(SIX_PROBABILITIES, np.array([0, 4, 5]), list("abcdef"))
    assert "top-5                 66.7%\n" in format_metrics(add_origin(scores))
    scores = compute_metrics(SIX_PROBABILITIES[:, :5], np.array([0, 4, 1]), list("abcde"))
    assert "top-5" not in format_metrics(add_origin(scores)), "of five classes it is always right"


@pytest.mark.parametrize(("split", "why"), [("train", "were trained on"), ("val", "chose the ep")])
def test_table_of_clips_that_training_knew_says_so(split, why):
    scores = compute_metrics(PROBABILITIES, CLASS_IDS, NAMES)
    note = format_metrics(add_origin(scores) | {"split": split}).splitlines()[5]
    assert note.startswith(f"these clips {why}") and note.endswith("so the scores are too good")


def test_table_of_many_classes_names_what_is_confused_and_fits_a_terminal():
    class_ids = np.repeat(np.arange(101), np.where(np.arange(101) == 3, 50, 5))
    predicted = class_ids.copy()
    predicted[np.flatnonzero(class_ids == 3)[:3]] = 100
    predicted[np.flatnonzero(class_ids == 7)[0]] = 8
    names = [f"class {k}" for k in range(101)]
    scores = compute_metrics(np.eye(101)[predicted], class_ids, names)
    lines = format_metrics(add_origin(scores)).splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[-4:] == [
        "clips confused most, of the true class",
        "",
        "    3 of 50    class 3  taken for class 100",
        "    1 of 5     class 7  taken for class 8",
    ]
    assert sum(line.startswith("class ") for line in lines) == 102
    perfect = compute_metrics(np.eye(101)[class_ids], class_ids, names)
    assert format_metrics(add_origin(perfect)).splitlines()[-1] == "No class is taken for another."
    # Of ten there is a matrix.
    for num_classes in (10, 11):
        scores = compute_metrics(np.eye(num_classes), np.arange(num_classes), names[:num_classes])
        text = format_metrics(add_origin(scores))
        assert ("% of the true class" in text) == (num_classes == 10)


def test_confusions_are_by_number_then_share_then_in_the_order_of_classes():
    matrix = [[5, 1, 2], [2, 0, 0], [0, 7, 1]]
    shown = [tuple(pair.values()) for pair in list_confusions(matrix)]
    assert shown == [(2, 1, 7, 8), (1, 0, 2, 2), (0, 2, 2, 8), (0, 1, 1, 8)]
    assert list_confusions([[3, 0], [0, 0]]) == []
