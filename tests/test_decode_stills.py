"""A single image file as a clip, such as a photo to predict."""

import numpy as np
import pytest
from image_data import decode_one
from media import decode, make_numbered_frames, read_frame_numbers
from PIL import Image

from lrcn.common.clips.span import Span
from lrcn.common.pixels.decode import UnreadableClipError, count_frames, estimate_num_frames
from lrcn.common.pixels.frame_selection import FrameSelection


def make_16_bit():
    levels = np.random.default_rng(0).integers(0, 65536, (50, 70), np.uint16)
    return Image.fromarray(levels)


def make_turned():
    exif = Image.Exif()
    exif[0x0112] = 5
    return {"exif": exif}


NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8))


@pytest.mark.parametrize(
    ("name", "image", "options"),
    [
        ("0.png", make_16_bit(), {}),
        ("0.png", NOISE, make_turned()),
        ("0.webp", NOISE, {}),
        ("0.jpg", NOISE, make_turned()),
        ("0.JPEG", NOISE.convert("CMYK"), {}),
        ("0.bmp", NOISE, {}),
        ("0.tif", NOISE, make_turned()),
    ],
)
def test_a_still_image_has_the_pixels_that_it_has_in_a_folder(tmp_path, name, image, options):
    expected = decode_one(tmp_path / "clip", image, name=name, **options)
    path = tmp_path / "clip" / name
    (frame,) = decode(path)
    assert (frame.index, frame.timestamp_sec) == (0, 0)
    np.testing.assert_array_equal(frame.pixels, expected)
    assert count_frames(path) == estimate_num_frames(path)[0] == 1
    assert len(decode(path, selection=FrameSelection(fps=5))) == 1
    assert len(decode(path, Span(0, 1))) == 1


def test_a_still_image_that_does_not_decode(tmp_path):
    for name in ("cut.png", "cut.jpg"):
        NOISE.save(tmp_path / name)
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:2000])
        with pytest.raises(UnreadableClipError, match=rf"{name} \(frame 0\): .* a whole image"):
            decode(tmp_path / name)
    NOISE.save(tmp_path / "whole.png")
    for call in (decode, count_frames, estimate_num_frames):
        with pytest.raises(UnreadableClipError, match=r"png: .* a still image, whose one frame is"):
            call(tmp_path / "whole.png", span=Span(0.5))


def test_an_animated_png_is_a_video(tmp_path):
    first, *others = map(Image.fromarray, make_numbered_frames(4))
    durations_ms = [40, 80, 40, 40]
    path = tmp_path / "clip.png"
    first.save(path, save_all=True, append_images=others, duration=durations_ms)
    frames = decode(path)
    assert read_frame_numbers(frame.pixels for frame in frames) == [0, 1, 2, 3]
    assert np.allclose([frame.timestamp_sec for frame in frames], [0, 0.04, 0.12, 0.16])


@pytest.mark.parametrize("name", ["clip.tif", "clip.webp"])
def test_other_files_of_several_pictures_are_refused(tmp_path, name):
    first, *others = map(Image.fromarray, make_numbered_frames(4))
    first.save(tmp_path / name, save_all=True, append_images=others)
    with pytest.raises(UnreadableClipError, match=r"of several.*export the pictures as single"):
        decode(tmp_path / name)
