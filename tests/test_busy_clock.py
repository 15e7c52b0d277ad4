"""Time in which several threads are busy counts once."""

import threading
import time

from extract_features.busy_clock import BusyClock


def test_time_side_by_side_counts_once():
    clock = BusyClock()
    both_inside = threading.Barrier(2)
    start_sec = time.monotonic()

    def work():
        with clock:
            both_inside.wait()
            time.sleep(0.3)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed_sec = time.monotonic() - start_sec
    assert 0.3 <= clock.busy_sec <= elapsed_sec
    time.sleep(0.3)
    with clock:
        pass
    assert clock.busy_sec < elapsed_sec + 0.2  # time outside does not count
