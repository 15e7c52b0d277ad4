"""Tests the intervals: how often they hold what is true, and what they may not depend on."""

import numpy as np
import pytest
from interval_coverage import cover
from scipy import stats

from train_head.scores.confidence_intervals import (
    find_exact_interval,
    find_grouped_mean_interval,
    find_mean_interval,
    find_ratio_interval,
)


# As R's binom.test gives them.
@pytest.mark.parametrize(
    ("num_right", "num_drawn", "wanted"),
    [
        (4, 4, [0.3976, 1]),
        (0, 10, [0, 0.3085]),
        (99, 100, [0.9455, 0.9997]),
        (100, 100, [0.9638, 1]),
        (7, 20, [0.1539, 0.5922]),
        (1, 20, [0.0013, 0.2487]),
    ],
)
def test_exact_intervals_are_those_of_clopper_and_pearson(num_right, num_drawn, wanted):
    assert find_exact_interval(num_right, num_drawn) == pytest.approx(wanted, abs=1e-4)


def test_one_more_right_clip_never_lowers_a_limit():
    limits = np.array([find_exact_interval(x, 50) for x in range(51)])
    assert (np.diff(limits, axis=0) > 0)[1:-1].all()
    assert (np.diff(limits, axis=0) >= 0).all()


@pytest.mark.parametrize("num_groups", [2, 3, 6, 30])
def test_groups_that_are_alike_inside_are_worth_little_more_than_a_clip_each(num_groups):
    def draw(rng):
        skill, size = rng.beta(4, 1, num_groups), rng.integers(2, 12, num_groups)
        return rng.binomial(size, skill).astype(float), size.astype(float)

    def draw_classes(rng):
        skill, size = rng.beta(4, 1, num_groups), rng.integers(1, 4, (num_groups, 5))
        return rng.binomial(size, skill[:, None]).astype(float), size.astype(float)

    assert cover(lambda rng: find_ratio_interval(*draw(rng)), 0.8) > 0.92
    assert cover(lambda rng: find_grouped_mean_interval(*draw_classes(rng)), 0.8) > 0.92
    of_many = np.diff(find_ratio_interval(*draw(np.random.default_rng(1))))[0]
    assert of_many > {2: 0.9, 3: 0.5, 6: 0.2, 30: 0.1}[num_groups]


@pytest.mark.parametrize("num_groups", [8, 30])
def test_a_large_group_beside_small_ones_is_hardly_more_than_one(num_groups):
    def draw(rng):
        skill = rng.beta(2, 2, (num_groups, 1))
        size = rng.choice([1, 100], (num_groups, 1), p=[0.8, 0.2]) * np.ones((1, 2), int)
        return rng.binomial(size, skill).astype(float), size.astype(float)

    assert cover(lambda rng: find_ratio_interval(*(x[:, 0] for x in draw(rng))), 0.5) > 0.93
    assert cover(lambda rng: find_grouped_mean_interval(*draw(rng)), 0.5) > 0.93
    # Of 90 clips in one group, and 10 in as many, the one decides.
    sizes = np.array([90.0, *np.ones(10)])
    low, high = find_ratio_interval(sizes * [0.8, *np.arange(10) % 2], sizes)
    assert low < 0.1 and high == 1


def test_groups_that_are_good_or_bad_at_all_classes_alike_are_a_draw_each():
    is_good, has_clips = np.arange(40) % 2, np.array([1.0, 0, 1, 1])  # no clip of the second class
    right, total = np.outer(is_good, has_clips), np.outer(np.ones(40), has_clips)
    reach = 2.0227 * is_good.std(ddof=1) / np.sqrt(40)  # Student's t of 39 degrees of freedom
    found = find_grouped_mean_interval(right, total)
    assert found == pytest.approx([0.5 - reach, 0.5 + reach], abs=1e-4)


def test_a_mean_over_classes_takes_none_for_more_than_another():
    is_good, sizes = np.arange(12) % 2, np.stack([np.arange(12) % 3 + 1, np.arange(12) // 3 + 1])
    total = sizes.T.astype(float)
    right = total * is_good[:, None]
    wanted = find_grouped_mean_interval(right, total)
    assert 0.05 < wanted[0] < 0.3 and 0.7 < wanted[1] < 0.95
    assert find_grouped_mean_interval(right * [1, 9], total * [1, 9]) == pytest.approx(wanted)


def test_a_class_of_one_clip_leaves_its_mean_in_doubt_by_group_too():
    total = np.array([[5.0, 1], [5, 0], [5, 0]])
    low = 1 - np.hypot(1 - find_exact_interval(3, 3)[0], 1) / 2
    assert find_grouped_mean_interval(total, total) == pytest.approx([low, 1])


def test_one_group_says_nothing_of_others():
    assert find_ratio_interval(np.array([52.0]), np.array([100.0])) == [0, 1]


def test_unlike_groups_are_worth_what_leaving_each_out_tells():
    right, size = np.array([3.0, 1, 4, 2, 5, 0]), np.array([4.0, 3, 4, 6, 5, 2])
    share, without = right.sum() / 24, (right.sum() - right) / (24 - size)
    variance = 5 / 6 * np.square(without - share).sum()
    num_equal = 24**2 / np.square(size).sum()
    of_clips, of_groups = stats.t.ppf(0.975, [23, num_equal - 1])
    num_drawn = share * (1 - share) / variance * (of_clips / of_groups) ** 2
    wanted = find_exact_interval(share * num_drawn, num_drawn)
    assert find_ratio_interval(right, size) == pytest.approx(wanted)


def test_groups_of_a_clip_each_are_clips():
    parts = (np.arange(50) < 40).astype(float)
    assert find_ratio_interval(parts, np.ones(50)) == pytest.approx(
        find_exact_interval(40, 50), abs=0.005
    )


def test_groups_that_are_all_right_count_as_one_clip_each():
    size = np.array([5.0, 3.0, 9.0])
    assert find_ratio_interval(size, size) == find_exact_interval(3, 3)
    assert find_ratio_interval(0 * size, size) == find_exact_interval(0, 3)
    assert find_ratio_interval(size[:2], size[:2]) == find_exact_interval(2, 2)


def test_a_class_of_two_clips_leaves_its_mean_in_doubt():
    low, high = find_mean_interval([1, 1], [find_exact_interval(98, 98), find_exact_interval(2, 2)])
    # Of the second class nothing below 0.158 is ruled out: half of that is lost at most.
    assert (low, high) == (pytest.approx(0.579, abs=1e-3), 1)
    sizes, recalls = (30, 30, 30, 2), (0.95, 0.95, 0.95, 0.5)

    def draw(rng):
        right = rng.binomial(sizes, recalls)
        intervals = [find_exact_interval(*x) for x in zip(right, sizes, strict=True)]
        return find_mean_interval(right / sizes, intervals)

    assert cover(draw, np.mean(recalls)) > 0.95


def test_groups_that_are_alike_tell_no_more_than_as_many_clips():
    low, high = find_ratio_interval(np.array([5.0, 5, 5, 4]), np.full(4, 10.0))
    of_clips = find_exact_interval(19, 40)
    assert low < of_clips[0] and high > of_clips[1]
