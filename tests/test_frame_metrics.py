"""Tests the scores of predictions for every frame, against figures worked out by hand."""

import numpy as np
import pytest

from train_head.scores.frame_metrics import compute_frame_metrics, count_matches, find_segments

NAMES = ["a", "b", "c"]


def parse(text):
    """Turns `aab-` into class ids, `-` into no label."""
    return np.array([-1 if letter == "-" else "abc".index(letter) for letter in text], np.int32)


def predict(text):
    """Probabilities whose highest is that of each letter's class."""
    return 0.1 + 0.7 * np.eye(3)[parse(text)]


def score(*clips, **options):
    """Scores clips of (labels, predictions), both as letters."""
    true, predicted = zip(*clips, strict=True)
    return compute_frame_metrics(
        [predict(x) for x in predicted], [parse(x) for x in true], NAMES, **options
    )


@pytest.mark.parametrize(
    ("labels", "shown", "expected"),
    [
        ("aabb", "aabb", [(0, 2, 0), (2, 4, 1)]),
        ("aabb", "cccc", [(0, 4, 2)]),
        ("a-bb", "cccc", [(0, 1, 2), (2, 4, 2)]),  # a frame without a label ends a segment
        ("a--a", "aaaa", [(0, 1, 0), (3, 4, 0)]),
        ("--a-", "abab", [(2, 3, 0)]),
        ("--", "ab", []),
    ],
)
def test_segments_are_runs_of_one_class_among_labelled_frames(labels, shown, expected):
    assert find_segments(parse(shown), parse(labels)) == expected


@pytest.mark.parametrize(
    ("labels", "shown", "min_overlap", "expected"),
    [
        ("aaaabbbb", "aaaabbbb", 0.5, (2, 0, 0)),
        # a: 3 of 4 overlap, b: 4 of 5.
        ("aaaabbbb", "aaabbbbb", 0.75, (2, 0, 0)),
        ("aaaabbbb", "aaabbbbb", 0.76, (1, 1, 1)),
        # Half an overlap reaches 0.5.
        ("aaaabbbb", "aabbbbbb", 0.5, (2, 0, 0)),
        # An action in two pieces: 3 and 4 of 8, of which one counts, once.
        ("aaaaaaaa", "aaabaaaa", 0.25, (1, 2, 0)),
        ("aaaaaaaa", "aaabaaaa", 0.5, (1, 2, 0)),
        ("aaaaaaaa", "aaabaaaa", 0.51, (0, 3, 1)),
        # At the right place, but of another class.
        ("aaaa", "bbbb", 0.1, (0, 1, 1)),
        # The second a lies where no a is, so two true segments are missed.
        ("aabbaabb", "aabbbbaa", 0.1, (2, 1, 2)),
        ("aaaabaaaa", "aaaaaaaaa", 0.25, (1, 0, 2)),
    ],
)
def test_segments_match_once_from_an_overlap_on(labels, shown, min_overlap, expected):
    true, found = parse(labels), parse(shown)
    counts = count_matches(
        find_segments(found, true), find_segments(true, true), min_overlap=min_overlap
    )
    assert counts == expected


def test_segments_without_any_true_one_are_wrong():
    assert count_matches([(0, 3, 1)], [], min_overlap=0.1) == (0, 1, 0)
    assert count_matches([], [(0, 3, 1)], min_overlap=0.1) == (0, 0, 1)


@pytest.mark.parametrize("seed", range(5))
def test_matches_are_those_of_trying_every_true_segment(seed):
    random = np.random.RandomState(seed)
    true = np.repeat(random.randint(-1, 3, size=40), random.randint(1, 9, size=40))
    guess = np.repeat(random.randint(0, 3, size=200), random.randint(1, 9, size=200))[: len(true)]
    found = np.where(random.uniform(size=len(true)) < 0.8, true.clip(0), guess)
    predicted, wanted = find_segments(found, true), find_segments(true, true)
    for min_overlap in (0.1, 0.25, 0.5):
        # As published: the best of all, which is taken once.
        taken = set()
        for start, end, class_id in predicted:
            frames = set(range(start, end))
            ious = [
                len(frames & set(range(a, b))) / len(frames | set(range(a, b))) * (k == class_id)
                for a, b, k in wanted
            ]
            if max(ious) >= min_overlap:
                taken.add(int(np.argmax(ious)))
        expected = len(taken), len(predicted) - len(taken), len(wanted) - len(taken)
        assert count_matches(predicted, wanted, min_overlap=min_overlap) == expected


def test_sums_over_all_clips_are_divided_once():
    # Right frames: 2 of 2, 7 of 8 (one has no label), 0 of 1.
    scores = score(("bb", "bb"), ("aaaa-bbbb", "aaaaabbbc"), ("--c", "aaa"))
    assert scores["num_clips"] == 3
    assert scores["num_frames"] == 11
    assert scores["num_segments"] == 4
    assert scores["frame_accuracy"] == pytest.approx(9 / 11)
    assert scores["mean_class_accuracy"] == pytest.approx((4 / 4 + 5 / 6 + 0 / 1) / 3)
    assert scores["chance"] == pytest.approx(6 / 11)
    # True: b | a b | c. Predicted: b | a b c | a. TP 3, FP 2, FN 1.
    for name in ("segment_f1_10", "segment_f1_25", "segment_f1_50"):
        assert scores[name] == pytest.approx(2 * 3 / (2 * 3 + 2 + 1))
    assert scores["confusion_matrix"] == [[4, 0, 0], [0, 5, 1], [1, 0, 0]]
    assert {name: row["num_frames"] for name, row in scores["per_class"].items()} == {
        "a": 4,
        "b": 6,
        "c": 1,
    }
    assert scores["per_class"]["b"]["precision"] == 1
    assert scores["per_class"]["b"]["recall"] == pytest.approx(5 / 6)


def test_overlaps_are_told_apart():
    scores = score(("aaaaaaaa", "abbbbbbb"), ("aaabbbbbbb", "aaaaaaabbb"))
    # Overlaps: a 1/8, and the b beside it none; in the second clip a 3/7 and b 3/7.
    assert scores["segment_f1_10"] == pytest.approx(2 * 3 / (2 * 3 + 1 + 0))
    assert scores["segment_f1_25"] == pytest.approx(2 * 2 / (2 * 2 + 2 + 1))
    assert scores["segment_f1_50"] == 0


def test_a_frame_without_a_label_ends_a_predicted_segment_too():
    assert score(("a-a", "aaa"))["segment_f1_50"] == 1


def test_each_predicted_segment_looks_for_a_true_one_and_not_the_other_way_around():
    scores = score(("aaaabaaaaa", "aaaaaaaaba"))
    # The long a takes the first true one, by 4/8, and the last the second, by 1/5, although that
    # overlaps more with the long one, by 3/10.
    assert scores["segment_f1_10"] == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))


def test_average_precision_ranks_the_labelled_frames_of_all_clips():
    probabilities = [
        np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]),
        np.array([[0.7, 0.3], [0.99, 0.01]]),
    ]
    scores = compute_frame_metrics(
        probabilities, [np.array([0, 1, 1]), np.array([0, -1])], ["a", "b"]
    )
    # By the probability of a: right, right, wrong, wrong. By that of b: right, right.
    assert scores["per_class"]["a"]["average_precision"] == pytest.approx(1)
    assert scores["mean_average_precision"] == pytest.approx(1)
    probabilities[1][0] = [0.5, 0.5]
    scores = compute_frame_metrics(
        probabilities, [np.array([0, 1, 1]), np.array([0, -1])], ["a", "b"]
    )
    # a: right, wrong, right: (1 + 2/3) / 2. b: right, wrong, right.
    assert scores["per_class"]["a"]["average_precision"] == pytest.approx(5 / 6)
    assert scores["mean_average_precision"] == pytest.approx(5 / 6)


def test_class_without_frames_is_not_defined():
    scores = score(("aabb", "abbb"))
    assert scores["per_class"]["c"] == {
        "num_frames": 0,
        "precision": None,
        "recall": None,
        "f1": None,
        "average_precision": None,
    }
    assert scores["mean_class_accuracy"] == pytest.approx(0.75)
    assert scores["confusion_matrix"] == [[1, 1, 0], [0, 2, 0], [0, 0, 0]]


def test_intervals_are_by_clip_and_not_by_frame():
    # Half of the clips are right from end to end, the others wrong: 20 clips, however long.
    clips = [("a" * 50, "a" * 50 if i % 2 else "b" * 50) for i in range(20)]
    scores = score(*clips)
    low, high = scores["frame_accuracy_interval"]
    deviation = np.sqrt(0.25 / 20)
    assert low == pytest.approx(0.5 - 1.96 * deviation, abs=0.06)
    assert high == pytest.approx(0.5 + 1.96 * deviation, abs=0.06)
    assert scores["segment_f1_50_interval"] == pytest.approx([low, high], abs=0.01)
    assert scores["by_group"] is None
    # Four clips of a source are right or wrong together.
    groups = [str(i // 2 % 5 * 2 + i % 2) for i in range(20)]
    assert score(*clips, groups=["s1"] * 20)["of_one_group"]
    by_group = score(*clips, groups=groups)["by_group"]
    assert by_group["num_groups"] == 10
    assert np.ptp(by_group["frame_accuracy_interval"]) > 1.2 * (high - low)


def test_no_labelled_frame_is_an_error():
    with pytest.raises(ValueError, match=r"at least one labelled frame to score\. Received: none"):
        score(("--", "ab"))
