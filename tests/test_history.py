"""history.csv: what else than training's own rows is refused."""

import pytest
from refusals import refusal

from lrcn.common.cache.run_dir import RunDir
from train_head.reports.report_data import summarize_training
from train_head.run.history import write_history


@pytest.mark.parametrize(
    ("old", "new", "received"),
    [
        ("0.5", "0.5 (good)", "could not convert string to float: '0.5 (good)'"),
        ("\n1,", "\n,", "rows with empty or missing columns"),
        ("epoch,", "round,", "rows with empty or missing columns"),
        (",1\n", ",1,a note\n", "rows with more cells than columns"),
        ("\n", " ", "no rows"),
        ("\n1,", "\n2,", "rows that are not of each epoch from 1 on, in order"),
    ],
)
def test_a_history_that_was_changed_by_hand_is_named(tmp_path, old, new, received):
    run = RunDir(tmp_path)
    row = {"epoch": 1, "loss": 0.7, "top1": 0.5, "val_top1": 0.9, "learning_rate": 0.01, "phase": 1}
    write_history(run.history_path, [row])
    assert summarize_training(run)["best_epoch"] == 1
    text = run.history_path.read_text()
    assert old in text
    run.history_path.write_text(text.replace(old, new))
    with refusal(f"{run.history_path}: expected a row of numbers for each epoch") as refused:
        summarize_training(run)
    assert f"Received: {received}" in str(refused.value)
