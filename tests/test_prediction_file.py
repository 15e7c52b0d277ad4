"""Tests that tables of predictions come back as they were written, and that no other is taken."""

import numpy as np
import pytest

from train_head.scores.prediction_file import Predictions, read_predictions, write_predictions


@pytest.mark.parametrize(
    ("text", "received"),
    [
        ("", "the header"),
        ("clip_id,label,predicted,a,b\n", "0 clips"),
        ("clip,predicted,a,b\nx,a,0.5,0.5\n", "the header"),
        ("clip_id,label,predicted,a,b\nx,a,a,0.5\n", "rows of different length"),
        ("clip_id,label,predicted,a,b\nx,c,a,0.5,0.5\n", r"the labels \['c'\]"),
        ("clip_id,label,predicted,a,b\nx,a,a,0.5,much\n", "could not convert"),
        # As of a spreadsheet to which a point stands before every third digit.
        (
            "clip_id,label,predicted,a,b\nx,a,a,478,0.522\n",
            r"478, 0\.522 as probabilities of row 1",
        ),
        ("clip_id,label,predicted,a,b\nx,a,a,1,0\ny,a,a,nan,1\n", "nan, 1 as .* of row 2, which"),
        ("clip_id,label,predicted,a,b\nx,a,a,2,-1\n", "2, -1 as probabilities of row 1, which do"),
        (
            "clip_id,label,predicted,a,b\nx,a,a,0.6,0.4\ny,a,b,0.5,0.5\n",
            "'b' as predicted in row 2, where 'a' is most probable",
        ),
        ("clip_id,label,predicted,a,\xe9\n", "'utf-8' codec can't decode"),
        pytest.param(
            'clip_id,label,predicted,a,b\nx,a,"' + "y" * 200_000, "field larger", id="quote"
        ),
    ],
)
def test_a_file_that_is_no_table_of_predictions_is_named(tmp_path, text, received):
    path = tmp_path / "predictions.csv"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match=rf"predictions\.csv: expected a table .*{received}"):
        read_predictions(path)


def test_names_that_csv_must_quote_come_back(tmp_path):
    odd = Predictions(['a,"b"\nc', "é"], ["x,y", "label"], ["x,y", "label"], np.eye(2))
    write_predictions(tmp_path / "odd.csv", odd)
    read = read_predictions(tmp_path / "odd.csv")
    assert (read.clip_ids, read.labels, read.class_names) == (
        odd.clip_ids,
        odd.labels,
        odd.class_names,
    )
    np.testing.assert_array_equal(read.probabilities, odd.probabilities)
