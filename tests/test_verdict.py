"""What a comparison of heads concludes from which clips each is right on."""

import re

import numpy as np
import pytest

from train_head.studies.comparison_text import find_verdict


def answer(num_right, num_clips=200, num_seeds=3):
    return np.tile(np.arange(num_clips) < num_right, (num_seeds, 1))


@pytest.mark.parametrize(
    ("num_right", "pattern"),
    [
        (
            {"gru": 180, "mean_pool": 150, "gru_shuffled": 140},
            r"The GRU is better than mean pooling by 15\.0 \[9\.6, 20\.0\] points, and loses "
            r"20\.0 \[14\.\d, 25\.\d\] on shuffled frames: order matters here\.",
        ),
        (
            {"gru": 180, "mean_pool": 150, "gru_shuffled": 179},
            r"The GRU is better than mean pooling by .* points; on shuffled frames it is as good "
            r"\(0\.5 \[-1\.6, 1\.5\]\): order plays no part\.",
        ),
        (
            {"gru": 150, "mean_pool": 180, "gru_shuffled": 150},
            r"The GRU is worse than mean pooling \(-15\.0 \[.*\] points\): use the mean; on "
            r"shuffled frames it is as good \(0\.0 \[-1\.8, 1\.8\]\): order plays no part\.",
        ),
        (
            {"gru": 160, "mean_pool": 150, "gru_shuffled": 190},
            r"The GRU is better than mean pooling by 5\.0 .* points; on shuffled frames it is "
            r"better \(-15\.0 \[.*\]\): their order misleads it\.",
        ),
        (
            {"gru": 151, "mean_pool": 150, "gru_shuffled": 120},
            r"The GRU is no better than mean pooling \(0\.5 \[-1\.6, 1\.5\] points\): use the "
            r"mean; it does read the order, and loses 15\.5 \[.*\] on shuffled frames\.",
        ),
    ],
    ids=["order", "size", "worse", "misled", "level"],
)
def test_the_verdict_says_whether_size_or_order_helps(num_right, pattern):
    assert re.fullmatch(pattern, find_verdict({k: answer(n) for k, n in num_right.items()}))


def test_a_handful_of_clips_gives_no_certain_verdict():
    is_right = {name: np.array([[x] * 3]) for name, x in (("gru", True), ("mean_pool", False))}
    verdict = find_verdict({**is_right, "gru_shuffled": is_right["gru"]})
    assert verdict.startswith("The GRU is no better than mean pooling (100.0 [-41.5, 100.0] p")
    assert verdict.count("3 clips are too few to") == 2


def test_few_clips_are_said_to_be_few():
    is_right = {
        "gru": np.array([[True, False] * 8]),
        "mean_pool": np.array([[False, True] * 8]),
        "gru_shuffled": np.array([[False, True] * 8]),
    }
    assert find_verdict(is_right).startswith("The GRU is no better than mean pooling (0.0 [-")
    assert re.search(
        r"use the mean, though 16 clips are too few to rule out a gain; 16 clips are too few to "
        r"tell whether order plays a part \(0\.0 \[-.*\]\)\.$",
        find_verdict(is_right),
    )
    one = {name: x[:, :1] for name, x in is_right.items()}
    assert "; 1 clip is too few to tell whether order plays a part (100.0 [" in find_verdict(one)


def test_that_order_misleads_may_be_left_open():
    clips = np.arange(200)
    is_right = {
        "gru": (clips >= 7)[None],
        "mean_pool": answer(150, num_seeds=1),
        "gru_shuffled": ((clips < 7) | (clips >= 9))[None],
    }
    assert find_verdict(is_right).endswith(
        "; 200 clips are too few to tell whether order plays a part (-2.5 [-5.4, 0.4])."
    )
