"""Times rows of a table in turn, so that a machine whose speed drifts slows all of them alike."""

import time
from collections.abc import Callable

from absl import flags, logging

_ROUNDS = flags.DEFINE_integer("rounds", 3, "Times that each row is timed.", lower_bound=1)


def measure_rates(rows: dict[str, Callable[[], int]]) -> dict[str, list[float]]:
    """Runs every row once to warm up, and then once a round.

    Args:
        rows: By name, functions that process frames and return how many they were.

    Returns:
        By name, the frames a second of each of `--rounds` rounds.
    """
    rates: dict[str, list[float]] = {name: [] for name in rows}
    for name, run in rows.items():
        logging.info("Warming up: %s", name)
        run()
    for number in range(_ROUNDS.value):
        logging.info("Round %d of %d", number + 1, _ROUNDS.value)
        for name, run in rows.items():
            start_sec = time.perf_counter()
            num_frames = run()
            rates[name].append(num_frames / (time.perf_counter() - start_sec))
    return rates
