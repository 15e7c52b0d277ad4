"""Images as frames: formats, modes, orientation and size."""

import math
from pathlib import Path

import numpy as np
import pytest
from image_data import decode_one, write_raw_png
from media import SIZE, decode, make_numbered_frames, read_frame_numbers, write_frame_folder
from PIL import Image

from lrcn.common.clips.clip_folder import IMAGE_SUFFIXES
from lrcn.common.pixels.decode import UnreadableClipError, count_frames


def make_smooth_picture(height, width):
    y, x = np.mgrid[:height, :width] / [[[height]], [[width]]]
    red, green = 127 + 120 * np.sin(5 * x + 2 * y), 127 + 120 * np.cos(4 * y)
    return np.stack([red, green, 255 * x * y], axis=-1).astype(np.uint8)


def make_quarters():
    """An image whose corners are black, red, green and blue."""
    pixels = np.zeros((SIZE, SIZE, 3), np.uint8)
    half = SIZE // 2
    pixels[:half, half:, 0] = pixels[half:, :half, 1] = pixels[half:, half:, 2] = 255
    return pixels


def test_folder_is_read_in_natural_order(tmp_path):
    folder = write_frame_folder(tmp_path / "clip", make_numbered_frames(12))
    frames = decode(folder)
    assert [frame.index for frame in frames] == list(range(12))
    assert read_frame_numbers(frame.pixels for frame in frames) == list(range(12))
    assert all(math.isnan(frame.timestamp_sec) for frame in frames)
    assert frames[0].pixels.shape == (SIZE, SIZE, 3)
    assert frames[0].pixels.dtype == np.uint8
    assert count_frames(folder) == 12


def test_picture_of_the_right_size_is_untouched(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    assert np.array_equal(decode_one(tmp_path / "clip", Image.fromarray(pixels)), pixels)


def test_picture_is_stretched_without_aliasing(tmp_path):
    stripes = np.zeros((64, 256, 3), np.uint8)
    stripes[:, ::2] = 254
    stripes[:, 128:] //= 2
    pixels = decode_one(tmp_path / "clip", Image.fromarray(stripes)).astype(int)
    assert np.abs(pixels[:, 2:14] - 127).max() < 4
    assert np.abs(pixels[:, 18:30] - 63).max() < 4


def test_sizes_may_differ_within_a_clip(tmp_path):
    frames = make_numbered_frames(3)
    folder = write_frame_folder(tmp_path / "clip", [frames[0], frames[1, :20], frames[2, :, :9]])
    assert read_frame_numbers(frame.pixels for frame in decode(folder)) == [0, 1, 2]


@pytest.mark.parametrize("suffix", sorted(IMAGE_SUFFIXES | {".JPG"}))
def test_images_of_all_formats_are_frames(tmp_path, suffix):
    folder = write_frame_folder(tmp_path / "clip", make_numbered_frames(3), suffix=suffix)
    assert read_frame_numbers(frame.pixels for frame in decode(folder)) == [0, 1, 2]


@pytest.mark.parametrize(
    ("mode", "color", "expected"),
    [
        ("1", 1, (255, 255, 255)),
        ("L", 100, (100, 100, 100)),
        ("LA", (100, 0), (100, 100, 100)),
        ("RGBA", (10, 20, 30, 0), (10, 20, 30)),
        ("I;16", 0, (0, 0, 0)),
        ("I;16", 100 * 257, (100, 100, 100)),
        ("I;16", 65535, (255, 255, 255)),
    ],
)
def test_pngs_of_all_modes_become_rgb(tmp_path, mode, color, expected):
    pixels = decode_one(tmp_path / "clip", Image.new(mode, (40, 40), color))
    assert (pixels == expected).all()


def test_a_png_of_16_bits_a_colour_becomes_rgb(tmp_path):
    folder = write_frame_folder(tmp_path / "clip", [])
    row = b"\0" + b"".join((level * 257).to_bytes(2, "big") for level in (250, 100, 5)) * 4
    write_raw_png(folder / "0.png", width=4, height=4, bit_depth=16, color_type=2, rows=row * 4)
    assert (decode(folder)[0].pixels == (250, 100, 5)).all()


def test_jpeg_with_several_pictures_gives_the_first(tmp_path):
    first, second = map(Image.fromarray, make_numbered_frames(2, height=400, width=400))
    pixels = decode_one(
        tmp_path / "clip", first, name="0.jpg", format="MPO", save_all=True, append_images=[second]
    )
    assert read_frame_numbers([pixels]) == [0]


@pytest.mark.parametrize("mode", ["L", "I;16"])
def test_tiff_in_which_zero_is_white(tmp_path, mode):
    levels = (
        np.arange(SIZE * SIZE, dtype=np.uint16).reshape(SIZE, SIZE) // 4 * (1 + 256 * (mode != "L"))
    )
    picture = Image.fromarray(levels.astype(np.uint8) if mode == "L" else 65535 - levels)
    pixels = decode_one(tmp_path / "clip", picture, name="0.tif", tiffinfo={262: 0})
    with Image.open(tmp_path / "clip" / "0.tif") as image:
        assert (image.mode, image.tag_v2[262]) == (mode, 0)
    assert np.array_equal(pixels[..., 0].ravel(), np.arange(SIZE * SIZE) // 4)


@pytest.mark.parametrize("name", ["0.gif", "0.png", "0.tif", "0.webp"])
def test_a_file_of_several_pictures_is_no_frame(tmp_path, name):
    first, *others = map(Image.fromarray, make_numbered_frames(3))
    with pytest.raises(
        UnreadableClipError,
        match=rf"{name} \(frame 0\): expected a file of one picture, received a .* of several\. An "
        "animated GIF is a clip by itself: put it right into the folder of its class",
    ):
        decode_one(tmp_path / "clip", first, name=name, save_all=True, append_images=others)


@pytest.mark.parametrize("level", [0, 100 * 257, 65535])
def test_32_bit_mode_with_16_bit_levels(tmp_path, level):
    pixels = decode_one(tmp_path / "clip", Image.new("I", (40, 40), level), name="0.tif")
    assert (pixels == level // 257).all()


def test_levels_of_a_sensor_of_fewer_bits_are_said_to_be_nearly_black(tmp_path, caplog):
    levels = np.linspace(7000, 8400, SIZE * SIZE).astype(np.uint16).reshape(SIZE, SIZE)
    for i in range(2):
        assert decode_one(tmp_path / f"{i}", Image.fromarray(levels)).max() == 8400 // 256
    text = "0.png (frame 0): of 16-bit levels from 7000 to 8400, of which the high byte is taken, 6"
    assert [text in message for message in caplog.messages] == [True]  # once, not for each frame
    caplog.clear()
    decode_one(tmp_path / "wide", Image.fromarray(levels * 7))
    decode_one(tmp_path / "blank", Image.new("I;16", (40, 40), 3))
    assert not caplog.messages


@pytest.mark.parametrize("transparency", [None, 0, bytes([0, 128])])
def test_palette_with_and_without_transparency(tmp_path, transparency, recwarn):
    image = Image.new("P", (40, 40), 1)
    image.putpalette([1, 2, 3, 200, 100, 50])
    options = {} if transparency is None else {"transparency": transparency}
    pixels = decode_one(tmp_path / "clip", image, **options)
    assert (pixels == (200, 100, 50)).all()
    # Of Pillow. What tests before left behind, in this process and its threads, may warn meanwhile.
    assert [str(x) for x in recwarn.list if Path(x.filename).parent.name == "PIL"] == []


def test_cmyk_jpeg_is_not_inverted(tmp_path):
    image = Image.new("CMYK", (40, 40), (0, 255, 255, 0))
    pixels = decode_one(tmp_path / "clip", image, name="0.jpg", quality=95)
    assert np.abs(pixels.astype(int) - (255, 0, 0)).max() < 6


@pytest.mark.parametrize("name", ["0.jpg", "0.png"])
@pytest.mark.parametrize("scale", [1, 8])
@pytest.mark.parametrize(
    ("orientation", "turn"),
    [
        (1, lambda p: p),
        (2, lambda p: p[:, ::-1]),
        (3, lambda p: p[::-1, ::-1]),
        (4, lambda p: p[::-1]),
        (5, lambda p: p.swapaxes(0, 1)),
        (6, lambda p: p[::-1].swapaxes(0, 1)),
        (7, lambda p: p[::-1, ::-1].swapaxes(0, 1)),
        (8, lambda p: p[:, ::-1].swapaxes(0, 1)),
    ],
)
def test_exif_orientation_is_applied(tmp_path, orientation, turn, scale, name):
    image = Image.fromarray(make_quarters()).resize((SIZE * scale, SIZE * scale), 0)
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = decode_one(tmp_path / "clip", image, name=name, exif=exif)
    differences = np.abs(pixels.astype(int) - turn(make_quarters()))
    assert differences[2:14, 2:14].max() < 30 and differences[18:30, 2:14].max() < 30
    assert differences[2:14, 18:30].max() < 30 and differences[18:30, 18:30].max() < 30


@pytest.mark.parametrize(("height", "width"), [(600, 800), (140, 130), (66, 70)])
def test_reduced_jpeg_decoding_stays_close_to_the_full_one(tmp_path, height, width):
    large = Image.fromarray(make_smooth_picture(height, width))
    pixels = decode_one(tmp_path / "clip", large, name="0.jpg", quality=95)
    with Image.open(tmp_path / "clip" / "0.jpg") as image:
        full = np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BILINEAR))
    assert np.abs(pixels.astype(int) - full).mean() < 2
