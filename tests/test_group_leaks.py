"""Groups that straddle splits are named, or kept where they are allowed."""

from made_clips import make_clips
from refusals import refusal

from lrcn.common.clips.group_leaks import check_group_leaks
from lrcn.common.clips.manifest import read_manifest, write_manifest
from lrcn.common.clips.splits import count_splits, draw_splits


def make_leaking_clips(num_groups):
    clips = make_clips("walk", 2, group="ok", split="train") + make_clips("walk", 2, group="ok")
    for i in range(1, num_groups + 1):
        clips += make_clips("walk", 3, group=f"g{i}", split="test")
        clips += make_clips("run", 1, group=f"g{i}", split="train")
    return clips


def test_leaks_are_named_with_their_lines(tmp_path):
    path = tmp_path / "manifest.csv"
    write_manifest(path, make_leaking_clips(0))
    check_group_leaks(read_manifest(path), source=path)
    write_manifest(path, make_leaking_clips(10))
    with refusal(f"{path}: expected every group in one split, received 10 in several:") as caught:
        check_group_leaks(read_manifest(path), source=path)
    lines = str(caught.value).splitlines()
    assert lines[1:3] == [
        "  'g1' (train: line 9 'run/g1train0'; test: line 6 'walk/g1test0', line 7 "
        "'walk/g1test1' and 1 more)",
        "  'g2' (train: line 13 'run/g2train0'; test: line 10 'walk/g2test0', line 11 "
        "'walk/g2test1' and 1 more)",
    ]
    assert lines[5].startswith("  'g5' (") and lines[6] == "  5 more"
    assert "--allow_group_leak" in lines[7]


def test_leaks_of_a_folder_tree_are_named_by_clip(tmp_path):
    with refusal(
        "'g1' (train: 'run/g1train0'; test: 'walk/g1test0', 'walk/g1test1' and 1 more)"
    ) as caught:
        check_group_leaks(make_leaking_clips(1), source=tmp_path)
    assert "0 more" not in str(caught.value)


def test_allowed_leaks_keep_their_splits_and_val_is_drawn_from_train_alone():
    clips = [x for x in make_leaking_clips(20) if x.split]
    drawn = draw_splits(clips, seed=0, val_fraction=0.2)
    assert [x.group for x in drawn] == [x.group for x in clips]
    for clip, given in zip(drawn, clips, strict=True):
        assert (clip.split == "test") == (given.split == "test")
    assert count_splits(drawn)["run"] == {"train": 16, "val": 4, "test": 0}
