"""The official lists of UCF101 and HMDB51, and the manifests that are made of them."""

import collections
import dataclasses
import re

import pytest
from commands import kill_at_first_manifest, run_program
from refusals import refusal

from extract_features.official_manifests import write_official_manifests
from lrcn.common.clips.clip import Clip
from lrcn.common.clips.manifest import read_manifest, write_manifest
from lrcn.common.clips.official_lists import ListedVideo, find_official_clips, read_official_lists
from train_head.studies.cross_validation import find_manifests

UCF101_CLASSES = ("ApplyLipstick", "HandstandPushups")
# The folder's name and the videos' differ in one letter, as in the data set itself.
UCF101_NAMES = ("ApplyLipstick", "HandStandPushups")
HMDB51_LINES = (
    "A_Beautiful_Mind_1_shake_hands_u_nm_np2_le_med_1.avi 1 ",
    "Meet_shake_hands_-_Jan_24__08_shake_hands_u_cm_np2_fr_med_0.avi 1 ",
    "Meet_shake_hands_-_Jan_24__08_shake_hands_u_cm_np2_fr_med_12.avi 1 ",
    "#122_Speech_(Part_9)_[_NEW_]!_shake_hands_f_nm_np12_le_bad_0.avi 2 ",
    "no_known_pattern.avi 2 ",
    "left_out_shake_hands_f_nm_np1_le_bad_0.avi 0 ",
)


def write_ucf101_lists(folder, *, newline="\n"):
    """Writes two splits of 2 classes x 6 groups x 2 clips; split n tests groups n and n + 1."""
    folder.mkdir()
    text = {"classInd.txt": ["1 ApplyLipstick", "2 HandstandPushups"]}
    for split in (1, 2):
        train, test = [], []
        for number, (label, name) in enumerate(zip(UCF101_CLASSES, UCF101_NAMES, strict=True), 1):
            for group in range(1, 7):
                for i in (1, 2):
                    path = f"{label}/v_{name}_g{group:02}_c{i:02}.avi"
                    if group in (split, split + 1):
                        test.append(path)
                    else:
                        train.append(f"{path} {number}")
        text[f"trainlist{split:02}.txt"] = train
        text[f"testlist{split:02}.txt"] = [*test, "", "  "]
    for name, lines in text.items():
        (folder / name).write_bytes("".join(f"{x}{newline}" for x in lines).encode())
    return folder


def make_ucf101_videos(folder):
    """Makes the tree of empty videos, one of them as a folder of frames, and one that is new."""
    for label, name in zip(UCF101_CLASSES, UCF101_NAMES, strict=True):
        (folder / label).mkdir(parents=True)
        for group in range(1, 7):
            for i in (1, 2):
                (folder / label / f"v_{name}_g{group:02}_c{i:02}.avi").touch()
    (folder / "ApplyLipstick" / "v_ApplyLipstick_g09_c01.avi").touch()
    (folder / "ApplyLipstick" / "v_ApplyLipstick_g01_c01.avi").unlink()
    (folder / "ApplyLipstick" / "v_ApplyLipstick_g01_c01").mkdir()
    return folder


def write_hmdb51_lists(folder, lines=HMDB51_LINES):
    folder.mkdir()
    (folder / "shake_hands_test_split1.txt").write_text("".join(f"{x}\n" for x in lines))
    return folder


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_lists_of_ucf101_are_read(tmp_path, newline):
    lists = write_ucf101_lists(tmp_path / "lists", newline=newline)
    splits = read_official_lists(lists)
    assert list(splits) == [1, 2] and {len(videos) for videos in splits.values()} == {24}
    place = f"{lists / 'testlist01.txt'}:5"
    assert splits[1]["v_HandStandPushups_g01_c01"] == ListedVideo(
        "HandstandPushups", "test", "HandStandPushups_g01", place
    )
    assert splits[2]["v_HandStandPushups_g01_c01"].split == "train"


def test_lists_of_hmdb51_are_read(tmp_path):
    lists = write_hmdb51_lists(tmp_path / "lists")
    (lists / "._shake_hands_test_split1.txt").write_bytes(b"\0\5\26\7")  # as Macs leave them
    (videos,) = read_official_lists(lists).values()
    assert [(x.split, x.group) for x in videos.values()] == [
        ("train", "shake_hands/A_Beautiful_Mind_1"),
        ("train", "shake_hands/Meet_shake_hands_-_Jan_24__08"),
        ("train", "shake_hands/Meet_shake_hands_-_Jan_24__08"),
        ("test", "shake_hands/#122_Speech_(Part_9)_[_NEW_]!"),
        ("test", ""),
        ("", "shake_hands/left_out"),
    ]
    assert {x.label for x in videos.values()} == {"shake_hands"}
    assert list(videos)[3] == "#122_Speech_(Part_9)_[_NEW_]!_shake_hands_f_nm_np12_le_bad_0"


@pytest.mark.parametrize(
    ("name", "line", "text"),
    [
        ("trainlist01.txt", "v_X_g01_c01.avi 1", r"trainlist01.txt:17: expected a line such as"),
        ("trainlist01.txt", "X/v_X_g01_c01 1", r":17: expected a line .* Received: 'X/v_X_g01_c01"),
        ("trainlist01.txt", "X/v_X_g01_c01.avi 2", r":17: says class 2, which is 'HandstandPush"),
        (
            "trainlist01.txt",
            "ApplyLipstick/v_ApplyLipstick_g01_c01.avi 1",
            r"trainlist01.txt:17: expected every video once .* also at \S+testlist01.txt:1\. Remov",
        ),
        (
            "testlist01.txt",
            "ApplyLipstick/v_ApplyLipstick_g01_c01.avi",
            r"testlist01.txt:11: expected every video once .* also at \S+testlist01.txt:1\. Remove",
        ),
        ("trainlist03.txt", "X/v_X_g01_c01.avi 7", "lists: split 3 lists no test video. Complete"),
        ("X_test_split1.txt", "a.avi 3", r"X_test_split1.txt:1: expected a video and 0 \(not used"),
        ("X_test_split1.txt", "a 1", "Received: 'a 1'. Download the lists again"),
    ],
)
def test_lines_that_are_not_as_they_should_be(tmp_path, name, line, text):
    lists = write_ucf101_lists(tmp_path / "lists")
    with open(lists / name, "a") as file:
        file.write(f"{line}\n")
    with pytest.raises(ValueError, match=text):
        read_official_lists(lists)


def test_folders_without_lists(tmp_path):
    with pytest.raises(NotADirectoryError, match="gone: expected --lists to be a folder"):
        read_official_lists(tmp_path / "gone")
    with pytest.raises(ValueError, match=r"expected UCF101's trainlist01\.txt, .* HMDB51's"):
        read_official_lists(tmp_path)


@pytest.mark.parametrize(
    ("clips", "text"),
    [
        ([Clip("a/x", "a/x", "a"), Clip("b/x", "b/x", "a")], "'a/x' and 'b/x' are both the video"),
        ([Clip("a/x", "a/x", "b")], r"clip 'a/x': has the class 'b', but list:1 says 'a'\. Name"),
        ([Clip("a/y", "a/y", "a")], "such as 'x'. Received: 1 clips, none of which is listed"),
    ],
)
def test_clips_that_do_not_fit_the_lists(clips, text):
    with pytest.raises(ValueError, match=text):
        find_official_clips(clips, {"x": ListedVideo("a", "train", "", "list:1")})


def test_program_makes_a_manifest_of_each_split(tmp_path):
    flags = (
        f"--lists={write_ucf101_lists(tmp_path / 'lists')}",
        f"--data={make_ucf101_videos(tmp_path / 'videos')}",
        f"--output_dir={tmp_path / 'manifests'}",
        "--val_fraction=0.3",
    )
    done = run_program("extract_features.official_splits", *flags)
    paths = [tmp_path / "manifests" / f"split_{number}.csv" for number in (1, 2)]
    assert done.stdout == "".join(f"{path}\n" for path in paths)
    assert "split 1: 8 train, 8 val, 8 test; clips of --data that are not used: 1" in done.stderr
    videos = tmp_path / "videos"
    assert f"paths start from {videos}: to extract one, give it with --data_root={videos}" in (
        done.stderr
    )
    for number, path in enumerate(paths, start=1):
        splits_of = collections.defaultdict(set)
        for clip in read_manifest(path):
            group = int(re.search("_g([0-9]+)_", clip.clip_id)[1])
            assert (clip.split == "test") == (group in (number, number + 1))
            splits_of[clip.group].add(clip.split)
        assert len(splits_of) == 12 and all(len(splits) == 1 for splits in splits_of.values())
    frames = {clip.clip_id: clip.path for clip in read_manifest(paths[0])}
    name = "ApplyLipstick/v_ApplyLipstick_g01_c01"
    assert frames[name] == name and frames[f"{name[:-1]}2"] == f"{name[:-1]}2.avi"
    # Again is nothing new; other content is never overwritten.
    contents = [path.read_bytes() for path in paths]
    assert run_program("extract_features.official_splits", *flags).stdout == done.stdout
    without_val = flags[:-1]
    done = run_program("extract_features.official_splits", *without_val, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "split 1: 16 train, 0 val, 8 test;" in done.stderr
    assert "split_1.csv: holds other clips or splits than these. Name another" in done.stderr
    assert [path.read_bytes() for path in paths] == contents


def test_a_kill_leaves_manifests_that_are_not_taken_for_all(tmp_path):
    output_dir = tmp_path / "manifests"
    flags = (
        f"--lists={write_ucf101_lists(tmp_path / 'lists')}",
        f"--data={make_ucf101_videos(tmp_path / 'videos')}",
        f"--output_dir={output_dir}",
    )
    kill_at_first_manifest("extract_features.official_splits", *flags)
    written = [path.name for path in output_dir.glob("split_*.csv")]
    assert len(written) == 1
    lacking = output_dir / {"split_1.csv": "split_2.csv", "split_2.csv": "split_1.csv"}[written[0]]
    with refusal(f"{lacking}: expected a manifest. Received: a hidden file", FileNotFoundError):
        find_manifests([str(output_dir)])
    run_program("extract_features.official_splits", *flags)
    assert find_manifests([str(output_dir)]) == [output_dir / f"split_{i}.csv" for i in (1, 2)]
    assert len(list(output_dir.iterdir())) == 2


def test_a_manifest_of_some_clips_will_do_and_what_lacks_is_said(tmp_path, caplog):
    names = [line.partition(".avi")[0] for line in HMDB51_LINES]
    clips = [Clip(f"any/of/{x}", x, "shake_hands", "val") for x in [*names[:-2], "new"]]
    clips[0] = dataclasses.replace(clips[0], group="mine")
    write_manifest(tmp_path / "clips.csv", clips)
    lists = write_hmdb51_lists(tmp_path / "lists")
    (path,) = write_official_manifests(
        lists, data=tmp_path / "clips.csv", output_dir=tmp_path / "out", val_fraction=0.0, seed=0
    )
    found = read_manifest(path)
    assert [x.clip_id for x in found] == [f"any/of/{x}" for x in names[:-2]]
    assert [x.split for x in found] == ["train", "train", "train", "test"]
    assert [x.group.rpartition("/")[2] for x in found[:2]] == [
        "mine",
        "Meet_shake_hands_-_Jan_24__08",
    ]
    assert (
        "split 1: listed videos that are not in --data: 1, such as no_known_pattern. "
        in caplog.text
    )


def test_leaks_of_the_lists_themselves_are_said(tmp_path, caplog):
    lines = [*HMDB51_LINES, "A_Beautiful_Mind_1_shake_hands_u_nm_np2_le_med_2.avi 2"]
    clips = [Clip(x.partition(".avi")[0], "x", "shake_hands") for x in lines]
    write_manifest(tmp_path / "clips.csv", clips)
    write_official_manifests(
        write_hmdb51_lists(tmp_path / "lists", lines),
        data=tmp_path / "clips.csv",
        output_dir=tmp_path / "out",
        val_fraction=0.3,
        seed=0,
    )
    assert "both in train and in test: 1, such as shake_hands/A_" in caplog.text
