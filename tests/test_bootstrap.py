"""Tests the intervals against draws of single clips, and what they may not depend on."""

import numpy as np
import pytest

from train_head.bootstrap import bootstrap_difference, draw_counts, find_interval


def make_answers(num_seeds, num_clips, *, accuracy, seed):
    return np.random.RandomState(seed).random((num_seeds, num_clips)) < accuracy


def test_a_model_does_not_differ_from_itself():
    answers = make_answers(3, 50, accuracy=0.7, seed=0)
    # Had 7.1 % of all clips differed, 50 would have shown none with a chance of 2.5 %.
    wanted = {"mean": 0, "low": pytest.approx(-0.071, abs=1e-3), "high": pytest.approx(0.071, 1e-2)}
    assert bootstrap_difference(answers, answers) == wanted
    by_group = bootstrap_difference(answers, answers, groups=np.arange(50) // 10)
    assert by_group["high"] == -by_group["low"] == pytest.approx(1 - 0.025 ** (1 / 5))


def test_a_handful_of_clips_is_certain_of_nothing():
    right, wrong = np.ones((2, 3), bool), np.zeros((2, 3), bool)
    unseen = 1 - 0.025 ** (1 / 3)
    found = bootstrap_difference(right, wrong)
    assert [found["low"], found["high"]] == pytest.approx([1 - 2 * unseen, 1])
    found = bootstrap_difference(wrong, right)
    assert [found["low"], found["high"]] == pytest.approx([-1, 2 * unseen - 1])
    one_better = np.array([[True, False, False]])
    found = bootstrap_difference(one_better, wrong[:1])
    assert [found["low"], found["high"]] == pytest.approx([-unseen, 1])
    found = bootstrap_difference(wrong[:1], one_better)
    assert [found["low"], found["high"]] == pytest.approx([-1, unseen])


def test_the_interval_is_that_of_drawing_clips_and_seeds_one_by_one():
    first = make_answers(3, 40, accuracy=0.8, seed=0)
    second = make_answers(3, 40, accuracy=0.5, seed=1)
    rng = np.random.default_rng(7)
    drawn = []
    for _ in range(4000):
        seeds, clips = rng.integers(0, 3, 3), rng.integers(0, 40, 40)
        drawn.append(first[np.ix_(seeds, clips)].mean() - second[np.ix_(seeds, clips)].mean())
    found = bootstrap_difference(first, second)
    assert found["mean"] == pytest.approx(first.mean() - second.mean())
    assert [found["low"], found["high"]] == pytest.approx(find_interval(np.array(drawn)), abs=0.02)


def test_clips_of_one_group_are_drawn_together():
    groups = np.repeat(np.arange(12), np.arange(1, 13))  # of 1 to 12 clips
    of_groups = np.random.RandomState(0).random((2, 12)) < 0.6
    first = of_groups[:, groups]  # right or wrong together
    second = make_answers(2, len(groups), accuracy=0.5, seed=1)
    rng = np.random.default_rng(7)
    drawn = []
    for _ in range(4000):
        clips = np.concatenate([np.flatnonzero(groups == x) for x in rng.integers(0, 12, 12)])
        seeds = rng.integers(0, 2, 2)
        drawn.append(first[np.ix_(seeds, clips)].mean() - second[np.ix_(seeds, clips)].mean())
    found = bootstrap_difference(first, second, groups=[f"group_{x}" for x in groups])
    assert found["mean"] == pytest.approx(first.mean() - second.mean())
    assert [found["low"], found["high"]] == pytest.approx(find_interval(np.array(drawn)), abs=0.03)
    by_clip = bootstrap_difference(first, second)
    assert found["high"] - found["low"] > 1.2 * (by_clip["high"] - by_clip["low"])


def test_clips_that_are_hard_for_both_do_not_widen_the_interval():
    shared = make_answers(1, 200, accuracy=0.5, seed=0)
    better = shared.copy()
    better[0, np.flatnonzero(~shared[0])[:10]] = True
    paired = bootstrap_difference(better, shared)
    assert 0 < paired["low"] < 0.05 == paired["mean"] < paired["high"] < 0.1
    unpaired = bootstrap_difference(better, shared[:, ::-1])
    assert unpaired["low"] < 0


def test_seeds_that_disagree_widen_the_interval():
    second = np.zeros((2, 400), bool)
    alike = make_answers(1, 400, accuracy=0.5, seed=0).repeat(2, axis=0)
    apart = np.stack([np.ones(400, bool), np.zeros(400, bool)])
    narrow, wide = bootstrap_difference(alike, second), bootstrap_difference(apart, second)
    assert narrow["high"] - narrow["low"] < 0.15
    assert [wide["low"], wide["high"]] == pytest.approx([0, 1], abs=0.01)  # both seeds drawn alike


def test_order_of_clips_and_repetition_change_nothing():
    first = make_answers(2, 60, accuracy=0.8, seed=0)
    second = make_answers(2, 60, accuracy=0.6, seed=1)
    order = np.random.RandomState(0).permutation(60)
    wanted = bootstrap_difference(first, second)
    assert bootstrap_difference(first[:, order], second[:, order]) == wanted


def test_draws_have_their_size_and_chances():
    counts = draw_counts(np.array([0.5, 0.3, 0.2]), num_drawn=100)
    assert (counts.sum(axis=1) == 100).all()
    np.testing.assert_allclose(counts.mean(axis=0), [50, 30, 20], atol=1)
    other = draw_counts(np.array([0.5, 0.3, 0.2]), num_drawn=100, stream=1)
    assert not np.array_equal(counts, other)
