"""Natural order: frame 2 before frame 10."""

from lrcn.common.files.natural_sort import natural_key


def test_natural_order_counts_and_ignores_case():
    names = ["10_run", "3_walk", "Frame10", "frame2", "frame02", "a", "B", "x²", "x٣", ""]
    names += ["take1_c", "take1_bb"]
    expected = ["", "3_walk", "10_run", "a", "B", "frame02", "frame2", "Frame10"]
    expected += ["take1_bb", "take1_c", "x²", "x٣"]
    assert sorted(names, key=natural_key) == expected
    names.reverse()
    assert sorted(names, key=natural_key) == expected


def test_natural_order_takes_longer_numbers_than_int_does():
    assert natural_key("1" + "0" * 5000) < natural_key("2" + "0" * 5000)
