"""Names of images that are not those of one sequence, or do not tell its order."""

import os

import pytest
from media import decode, make_numbered_frames, read_frame_numbers, write_frame_folder

from lrcn.common.clips.frame_names import check_frame_names
from lrcn.common.files.natural_sort import natural_key
from lrcn.common.pixels.decode import UnreadableClipError, count_frames, estimate_num_frames
from lrcn.common.pixels.source_stat import read_source_stat


def write_frames(folder, names):
    """Writes a frame for each name; its number is its place among the names."""
    write_frame_folder(folder, make_numbered_frames(len(names)))
    for i, name in enumerate(names):
        (folder / f"{i}.png").rename(folder / f".{name}")
    for name in names:
        (folder / f".{name}").rename(folder / name)
    return folder


@pytest.mark.parametrize(
    ("names", "received"),
    [
        (
            ["img_00001.png", "img_00002.png", "flow_x_00001.png", "flow_x_00002.png"],
            "2 with 2 numbers in common: flow_x_#.png, img_#.png. Keep one of them",
        ),
        # Optical flow has a picture less than the video, and only some frames have a mask.
        (
            [*[f"img_{i}.png" for i in range(5)], *[f"flow_{i}.png" for i in range(4)]],
            "2 with 4 numbers in common: flow_#.png, img_#.png.",
        ),
        (
            [*[f"{i}.png" for i in range(5)], "0_mask.png", "4_mask.png"],
            "2 with 2 numbers in common: #.png, #_mask.png.",
        ),
        (
            ["img_1.png", "img_2.png", *[f"f{x}_{i}.png" for x in "xy" for i in (1, 2, 3)]],
            "3 with 3 numbers in common: fx_#.png, fy_#.png, img_#.png.",
        ),
        (["1.png", "2.png", "01.jpg", "02.JPG"], "2 with 2 numbers in common: #.jpg, #.png."),
        (
            ["1_depth.png", "2_depth.png", "1.png", "2.png"],
            "2 with 2 numbers in common: #.png, #_depth.png.",
        ),
        (
            [f"{x}{i}.png" for x in "abcdef" for i in (1, 2)],
            "6 with 2 .* a#.png, b#.png, c#.png, d#.p",
        ),
    ],
)
def test_several_sequences_in_one_folder_are_refused(tmp_path, names, received):
    folder = write_frames(tmp_path / "clip", names)
    for call in (decode, count_frames, estimate_num_frames, read_source_stat):
        with pytest.raises(
            UnreadableClipError,
            match=f"clip: expected the frames of one sequence, received {received}",
        ):
            call(folder)


@pytest.mark.parametrize(
    ("names", "received"),
    [
        # As a program leaves them that was to rename the files, or to convert them in place.
        (["1.JPG", "1.jpg", "2.JPG", "2.jpg", "3.jpg"], "2 .* such as '1.JPG' and '1.jpg'"),
        # Copied once more by way of a Mac.
        (["u\u0308.png", "\xfc.png", "z.png"], r"1 .* such as 'u\\u0308.png' and '\\xfc.png'"),
    ],
)
def test_a_frame_twice_by_names_that_look_alike_is_refused(tmp_path, names, received):
    text = f"clip: expected every frame once, received {received}. Remove one of each pair."
    with pytest.raises(UnreadableClipError, match=text):
        check_frame_names(tmp_path / "clip", names)


def test_names_of_two_unicode_forms_are_in_the_order_of_their_numbers(tmp_path):
    names = ["\xfc1.png", "u\u03082.png", "\xfc3.png", "u\u030810.png"]
    folder = write_frames(tmp_path / "clip", names)
    assert read_frame_numbers(frame.pixels for frame in decode(folder)) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "names",
    [
        ["2020-01-01_12-00-59.png", "2020-01-01_12-01-00.png", "2020-01-02_00-00-00.png"],
        ["1.png", "2.jpg", "3.png", "4.jpg"],
        ["1.png", "1.jpg"],
        ["cover.png", "img_1.png", "img_2.png", "thumb_1.png"],
        ["a.png", "b.png", "c.png"],
        ["cam1_1.png", "cam1_2.png", "cam2_1.png", "cam2_2.png"],
        ["0.05.png", "0.10.png", "0.15.png"],
        ["1.0.png", "2.0.png", "10.0.png"],
        ["1.0s.png", "2.0s.png", "10.0s.png"],
        ["v1.1_left.png", "v1.2_left.png", "v1.10_left.png"],
        ["0.png", "0.5.png", "1.png"],
        ["1.1.png", "1.2.png", "1.9.png", "1.10.png"],  # The tenth of the first, or a tenth?
        ["v1.2.9.png", "v1.2.10.png"],
        ["v.1.2.9.png", "v.1.2.10.png"],
        ["img.9.png", "img.10.png", "img.0011.png"],
        ["a0.5.png", "b0.25.png"],
        ["1.png", "2_0.5.png", "3.png"],
        ["1_0.1.png", "01_0.5.png", "2_0.05.png", "10_0.25.png"],
        ["a1_1.png", "a1_2.png", "b2-1.png", "b2-2.png"],
        ["1_1.9.png", "1_1.10.png", "2_1.1.png", "2_1.10.png"],  # Tenths of the first again.
        ["0,1.png", "0,9.png", "0,10.png"],
        ["img-1.png", "img-2.png", "img-10.png"],  # All have the dash.
        ["10a0.png", "10ff.png", "20a0.png"],  # Hexadecimal or not, it is the same order.
        ["cafe.png", "9b.png", "9a.png", "10.png"],
        ["at 9.00 AM.png", "at 11.59 AM.png", "at 12.00 PM.png"],
        ["2024-01-01 9 am.png", "2024-01-01 9 pm.png", "2024-01-02 9 am.png"],
        ["2024-01-01-11-00 am.png", "2024-01-01-01-00 pm.png"],  # Which number is the hour?
        ["01-02-2024.png", "05-01-2024.png", "06-01-2024.png"],  # The first of February, or not?
        ["30-01-2024_1.png", "31-01-2024_1.png", "31-01-2024_2.png"],
        ["13-31-2024.png", "14-31-2024.png"],  # No date in either order.
        ["cam1.png", "cam2.png", "campm.png"],
    ],
)
def test_other_names_are_taken_in_natural_order(tmp_path, names):
    folder = write_frames(tmp_path / "clip", names)
    in_order = sorted(names, key=lambda name: (natural_key(os.path.splitext(name)[0]), name))
    found = read_frame_numbers(frame.pixels for frame in decode(folder))
    assert [names[i] for i in found] == in_order


@pytest.mark.parametrize("others", [["shot (1)", "shot (2)"], ["shot-1", "shot-2"], ["shot1"]])
def test_a_name_without_a_number_comes_before_those_with_one(tmp_path, others):
    folder = write_frames(tmp_path / "clip", [f"{stem}.png" for stem in ["shot", *others]])
    found = read_frame_numbers(frame.pixels for frame in decode(folder))
    assert found == sorted(found)


@pytest.mark.parametrize(
    ("names", "first", "second"),
    [
        (["0.05.png", "0.1.png", "0.15.png"], "0.1.png", "0.05.png"),
        (["t=9.5.png", "t=9.75.png", "t=10.0.png", "t=10.25.png", "t=10.5.png"], "", ""),
        (["0.png", "0.25.png", "0.5.png"], "0.5.png", "0.25.png"),
        (["1,5.png", "1,75.png", "2,0.png", "1,25.png"], "1,5.png", "1,25.png"),
        (["rgb.0.05.png", "rgb.0.1.png", "rgb.0.15.png"], "rgb.0.1.png", "rgb.0.05.png"),
        (["0.04s.png", "0.08s.png", "0.12s.png", "0.2s.png"], "0.2s.png", "0.04s.png"),
        # Of two cameras, and of two minutes with their seconds.
        (["c1_0.05.png", "c1_0.1.png", "c2_0.05.png"], "c1_0.1.png", "c1_0.05.png"),
        (["0_59.5.png", "1_0.5.png", "1_0.25.png"], "1_0.5.png", "1_0.25.png"),
        (["-2.png", "-1.png", "0.png"], "0.png", "-1.png"),
        (["-1_ms.png", "0_ms.png", "1_ms.png"], "1_ms.png", "-1_ms.png"),
        (["t-s_-10.5.png", "t-s_0.5.png"], "t-s_0.5.png", "t-s_-10.5.png"),
        ([f"Frame_{i:02X}.png" for i in range(17)], "Frame_0F.png", "Frame_01.png"),
        # The white space before AM is a narrow one on a Mac.
        (["9.00.05\u202fAM.png", "1.00.05\u202fPM.png"], "1.00.05\u202fPM", "9.00.05\u202fAM.png"),
        (["12_30am.png", "1_00am.png"], "1_00am.png", "12_30am.png"),
        (["c_31-01-2024_2.png", "c_01-02-2024_1.png"], "c_01-02-2024_1", "c_31-01-2024_2.png"),
        (["5.31.2023.png", "12.31.2023.png", "1.1.2024.png"], "1.1.2024.png", "5.31.2023.png"),
    ],
)
def test_numbers_that_rise_otherwise_than_whole_ones_are_refused(tmp_path, names, first, second):
    folder = write_frames(tmp_path / "clip", names)
    with pytest.raises(
        UnreadableClipError,
        match=f"clip: .* order of the frames, .* {first}.* comes before .*{second} as whole",
    ):
        decode(folder)
