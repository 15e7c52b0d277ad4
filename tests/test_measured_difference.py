"""Tests how much better one model is than another: the interval of a difference."""

import itertools

import numpy as np
import pytest
from interval_coverage import cover

from train_head.scores.confidence_intervals import measure_difference


def make_answers(num_seeds, num_clips, *, accuracy, seed):
    return np.random.RandomState(seed).random((num_seeds, num_clips)) < accuracy


def test_a_model_does_not_differ_from_itself():
    answers = make_answers(3, 50, accuracy=0.7, seed=0)
    # Had 7.1 % of all clips differed, 50 would have shown none with a chance of 2.5 %.
    wanted = {"mean": 0, "low": pytest.approx(-0.071, abs=1e-3), "high": pytest.approx(0.071, 1e-2)}
    assert measure_difference(answers, answers) == wanted
    by_group = measure_difference(answers, answers, groups=np.arange(50) // 10)
    assert by_group["high"] == -by_group["low"] == pytest.approx(1 - 0.025 ** (1 / 5))


def test_clips_that_differ_alike_may_have_unseen_ones_to_both_sides():
    every = np.ones((2, 50), bool)
    # Each clip is right with one of the two seeds, and each seed on half of the clips.
    half = (np.arange(50) + np.arange(2)[:, None]) % 2 == 0
    unseen = 1 - 0.025 ** (1 / 50)
    found = measure_difference(half, every)
    assert [found["low"], found["high"]] == pytest.approx([-0.5 - unseen / 2, -0.5 + unseen * 1.5])
    found = measure_difference(every, half)
    assert [found["low"], found["high"]] == pytest.approx([0.5 - unseen * 1.5, 0.5 + unseen / 2])


def test_a_handful_of_clips_is_certain_of_nothing():
    right, wrong = np.ones((2, 3), bool), np.zeros((2, 3), bool)
    unseen = 1 - 0.025 ** (1 / 3)
    found = measure_difference(right, wrong)
    assert [found["low"], found["high"]] == pytest.approx([1 - 2 * unseen, 1])
    found = measure_difference(wrong, right)
    assert [found["low"], found["high"]] == pytest.approx([-1, 2 * unseen - 1])
    found = measure_difference(right[:, :1], wrong[:, :1])
    assert found == {"mean": 1, "low": -1, "high": 1}


@pytest.mark.parametrize(("num_better", "is_better"), [(3, False), (5, False), (7, True)])
def test_a_few_clips_of_many_are_better_by_chance(num_better, is_better):
    # McNemar's exact test: 0.25, 0.06 and 0.016.
    better = np.arange(100)[None] < num_better
    assert (measure_difference(better, better & False)["low"] > 0) == is_better
    assert (measure_difference(better & False, better)["high"] < 0) == is_better


@pytest.mark.parametrize("num_groups", [8, 30])
def test_a_large_group_beside_small_ones_is_hardly_more_than_one(num_groups):
    def draw(rng):
        size = rng.choice([1, 100], num_groups, p=[0.8, 0.2])
        groups, gain = np.repeat(np.arange(num_groups), size), rng.normal(0, 0.3, num_groups)
        first, second = (
            rng.random((2, len(groups))) < np.clip(0.5 + sign * gain[groups], 0, 1)
            for sign in (1, -1)
        )
        found = measure_difference(first, second, groups=groups)
        return found["low"], found["high"]

    assert cover(draw, 0) > 0.93


@pytest.mark.parametrize("num_groups", [2, 4, 20])
def test_groups_on_which_neither_is_better_give_no_verdict(num_groups):
    def draw(rng):
        groups = np.repeat(np.arange(num_groups), rng.integers(2, 12, num_groups))
        gain = rng.normal(0, 0.25, num_groups)[groups]
        first = rng.random((3, len(groups))) < np.clip(0.5 + gain / 2, 0, 1)
        second = rng.random((3, len(groups))) < np.clip(0.5 - gain / 2, 0, 1)
        found = measure_difference(first, second, groups=groups)
        return found["low"], found["high"]

    assert cover(draw, 0) > 0.93


def test_the_interval_is_students():
    first = np.random.RandomState(0).random((1, 40)) < 0.8
    second = np.random.RandomState(1).random((1, 40)) < 0.5
    found = measure_difference(first, second)
    difference = first[0].astype(float) - second[0]
    reach = 2.0227 * difference.std(ddof=1) / np.sqrt(40)  # Student's t of 39 degrees of freedom
    mean = difference.mean()
    assert found == pytest.approx({"mean": mean, "low": mean - reach, "high": mean + reach}, 1e-3)


def test_clips_that_are_hard_for_both_do_not_widen_the_interval():
    shared = make_answers(1, 200, accuracy=0.5, seed=0)
    better = shared.copy()
    better[0, np.flatnonzero(~shared[0])[:10]] = True
    paired = measure_difference(better, shared)
    assert 0 < paired["low"] < 0.05 == paired["mean"] < paired["high"] < 0.1
    unpaired = measure_difference(better, shared[:, ::-1])
    assert unpaired["low"] < 0


def test_seeds_that_disagree_widen_the_interval():
    second = np.zeros((2, 400), bool)
    alike = make_answers(1, 400, accuracy=0.5, seed=0).repeat(2, axis=0)
    apart = np.stack([np.ones(400, bool), np.zeros(400, bool)])
    narrow, wide = measure_difference(alike, second), measure_difference(apart, second)
    assert narrow["high"] - narrow["low"] < 0.15
    assert [wide["low"], wide["high"]] == [-1, 1], "two seeds, as far apart as can be"
    one_of_ten = np.repeat(np.arange(10)[:, None] == 0, 9999, axis=1)
    found = measure_difference(one_of_ten, one_of_ten & False)
    reach = 2.2622 * 0.1  # Student's t of 9 degrees of freedom; the deviation of ten seeds' mean
    assert [found["low"], found["high"]] == pytest.approx([0.1 - reach, 0.1 + reach], abs=1e-4)


def test_groups_of_unlike_size_that_agree_are_alike():
    first, groups = np.array([[1, 0, 1, 0, 1, 0]], bool), ["a", "a", "b", "b", "b", "b"]
    found = measure_difference(first, first & False, groups=groups)
    unseen = 1 - 0.025 ** (1 / 2)
    assert [found["low"], found["high"]] == pytest.approx([0.5 - unseen * 1.5, 0.5 + unseen / 2])


def test_order_of_clips_changes_nothing():
    first = make_answers(2, 60, accuracy=0.8, seed=0)
    second = make_answers(2, 60, accuracy=0.6, seed=1)
    order = np.random.RandomState(0).permutation(60)
    wanted = measure_difference(first, second)
    assert measure_difference(first[:, order], second[:, order]) == pytest.approx(wanted)


def test_a_group_on_which_both_are_equally_good_speaks_for_neither_in_any_order():
    # Of three seeds; as thirds, which are rounded, they add up to a little less than 0 in some.
    groups, gains = np.repeat(np.arange(8), 3), np.array([1, 2, -3, *7 * [1, 2, 3]])
    better, worse = (np.arange(3)[:, None] < sign * gains for sign in (1, -1))
    wanted = measure_difference(better, worse, groups=groups)
    for first in itertools.permutations(range(3)):
        order = [*first, *range(3, 24)]
        found = measure_difference(better[:, order], worse[:, order], groups=groups)
        assert found == pytest.approx(wanted)
