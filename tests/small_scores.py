"""Answers whose scores can be checked by hand."""

import numpy as np

NAMES = ["walk", "run", "jump"]
# Rows are clips. Predicted: walk, walk, run, run, walk.
PROBABILITIES = np.array(
    [[0.7, 0.2, 0.1], [0.5, 0.3, 0.2], [0.1, 0.8, 0.1], [0.2, 0.5, 0.3], [0.6, 0.3, 0.1]]
)
CLASS_IDS = np.array([0, 0, 1, 2, 2])
SIX_PROBABILITIES = np.array([[0.3, 0.25, 0.2, 0.12, 0.08, 0.05]] * 3)
