"""Clips that Pillow reads: folders of images, and animated GIF."""

import math
import os
import zlib

import numpy as np
import pytest
from media import make_numbered_frames, read_frame_numbers, write_frame_folder
from PIL import Image

from lrcn.common.decode import (
    UnreadableClipError,
    count_frames,
    estimate_num_frames,
    iter_frames,
    read_source_stat,
)

SIZE = 32


def decode(source, **span):
    return list(iter_frames(source, image_size=SIZE, **span))


def decode_one(folder, image, name="0.png", **save_options):
    """Saves one image as the only frame of a clip, and decodes it."""
    folder.mkdir(exist_ok=True)
    image.save(folder / name, **save_options)
    (frame,) = decode(folder)
    return frame.pixels


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


def make_png_chunk(kind, data):
    body = kind + data
    return len(data).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")


def write_raw_png(path, *, width, height, bit_depth, color_type, rows):
    size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    header = size + bytes([bit_depth, color_type, 0, 0, 0])
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(make_png_chunk(*chunk) for chunk in chunks))


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


@pytest.mark.parametrize("suffix", [".bmp", ".gif", ".JPG", ".jpeg", ".png", ".tif", ".webp"])
def test_formats(tmp_path, suffix):
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
def test_png_modes(tmp_path, mode, color, expected):
    pixels = decode_one(tmp_path / "clip", Image.new(mode, (40, 40), color))
    assert (pixels == expected).all()


def test_16_bit_color_png(tmp_path):
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


@pytest.mark.parametrize("level", [0, 100 * 257, 65535])
def test_32_bit_mode_with_16_bit_levels(tmp_path, level):
    pixels = decode_one(tmp_path / "clip", Image.new("I", (40, 40), level), name="0.tif")
    assert (pixels == level // 257).all()


@pytest.mark.parametrize("transparency", [None, 0, bytes([0, 128])])
def test_palette_with_and_without_transparency(tmp_path, transparency, recwarn):
    image = Image.new("P", (40, 40), 1)
    image.putpalette([1, 2, 3, 200, 100, 50])
    options = {} if transparency is None else {"transparency": transparency}
    pixels = decode_one(tmp_path / "clip", image, **options)
    assert (pixels == (200, 100, 50)).all()
    assert not recwarn.list


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
def test_exif_orientation(tmp_path, orientation, turn, scale, name):
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


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (Image.new("F", (8, 8), 0.5), r"0\.tif \(frame 0\): .*floating point.*Convert"),
        (Image.new("I", (8, 8), 70000), r"0\.tif \(frame 0\): .*16-bit.*70000.*Convert"),
        (Image.new("I", (8, 8), -1), r"0\.tif \(frame 0\): .*16-bit.*-1"),
    ],
)
def test_pixels_without_defined_brightness_are_refused(tmp_path, image, message):
    with pytest.raises(UnreadableClipError, match=message):
        decode_one(tmp_path / "clip", image, name="0.tif")


def write_noise(path):
    pixels = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.mark.parametrize("name", ["1.jpg", "1.png", "1.webp", "1.bmp", "1.gif", "1.tif"])
@pytest.mark.parametrize("kept", [0, 0.02, 0.5, 0.97])
def test_cut_off_image_is_an_error_after_the_frames_before_it(tmp_path, name, kept):
    folder = write_frame_folder(tmp_path / "clip", make_numbered_frames(1))
    write_noise(folder / name)
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: int(kept * len(content))])
    frames = iter_frames(folder, image_size=SIZE)
    assert next(frames).index == 0
    with pytest.raises(UnreadableClipError, match=rf"{name} \(frame 1\): .*Replace or remove"):
        next(frames)


def test_damaged_png_is_an_error(tmp_path):
    folder = write_frame_folder(tmp_path / "clip", [])
    write_noise(folder / "0.png")
    content = bytearray((folder / "0.png").read_bytes())
    content[len(content) // 2] ^= 255
    (folder / "0.png").write_bytes(content)
    with pytest.raises(UnreadableClipError, match=r"0\.png \(frame 0\)"):
        decode(folder)


def test_format_that_runs_a_program_is_not_opened(tmp_path):
    with pytest.raises(UnreadableClipError, match=r"0\.jpg .*cannot identify"):
        decode_one(tmp_path / "clip", Image.new("RGB", (8, 8)), name="0.jpg", format="EPS")


@pytest.mark.parametrize("content", [b"", b"hello, I am text"])
def test_other_file_with_an_image_suffix(tmp_path, content):
    folder = write_frame_folder(tmp_path / "clip", [])
    (folder / "0.jpg").write_bytes(content)
    with pytest.raises(UnreadableClipError, match=r"0\.jpg \(frame 0\): .*cannot identify"):
        decode(folder)


@pytest.mark.parametrize("limit", ["default", None])
def test_decompression_bomb(tmp_path, limit, monkeypatch):
    if limit is None:  # As other code may set it: our limit holds all the same.
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    folder = write_frame_folder(tmp_path / "clip", [])
    # Claims its size, and holds next to nothing.
    write_raw_png(
        folder / "0.png", width=30_000, height=30_000, bit_depth=1, color_type=0, rows=b"\0"
    )
    with pytest.raises(
        UnreadableClipError, match=r"0\.png .*178956970.*900000000.*Scale|900000000.*178956970"
    ):
        decode(folder)


def test_folder_without_images_names_the_suffixes(tmp_path):
    (tmp_path / "notes.txt").write_text("none")
    (tmp_path / "sub.jpg").mkdir()
    for call in (decode, count_frames, read_source_stat):
        with pytest.raises(UnreadableClipError, match=r"no frames.*\.jpg .*\.png"):
            call(tmp_path)


def test_hidden_and_other_files_are_no_frames(tmp_path):
    folder = write_frame_folder(tmp_path / "clip", make_numbered_frames(2))
    (folder / "._1.png").write_bytes(b"macOS")
    (folder / "Thumbs.db").write_bytes(b"Windows")
    assert len(decode(folder)) == count_frames(folder) == 2


@pytest.mark.parametrize("name", ["a b", 'it\'s "so"', "line\nbreak", "走る_ходьба", "100%d", "-x"])
def test_names(tmp_path, name):
    folder = write_frame_folder(tmp_path / name, make_numbered_frames(1))
    (folder / "0.png").rename(folder / f"{name}.png")
    assert len(decode(folder)) == 1


def test_symbolic_links_are_followed(tmp_path):
    outside = write_frame_folder(tmp_path / "outside", make_numbered_frames(2))
    folder = write_frame_folder(tmp_path / "clip", [])
    (folder / "a.png").symlink_to(outside / "1.png")
    assert read_frame_numbers(frame.pixels for frame in decode(folder)) == [1]
    assert read_source_stat(folder).size_bytes == (outside / "1.png").stat().st_size
    (folder / "b.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(UnreadableClipError, match=r"b\.png"):
        decode(folder)
    with pytest.raises(UnreadableClipError, match=r"b\.png.*Check"):
        read_source_stat(folder)


def test_missing_source(tmp_path):
    for call in (decode, count_frames, read_source_stat):
        with pytest.raises(UnreadableClipError, match=r"gone: .*No such file.*Check"):
            call(tmp_path / "gone")


@pytest.mark.parametrize("name", ["clip.mp4", "clip.gif"])
def test_a_pipe_is_refused_without_waiting_for_it(tmp_path, name):
    os.mkfifo(tmp_path / name)
    for call in (decode, count_frames, estimate_num_frames):
        with pytest.raises(UnreadableClipError, match=f"{name}: expected a file, received a pipe"):
            call(tmp_path / name)


def test_time_span_of_a_folder_is_refused(tmp_path):
    folder = write_frame_folder(tmp_path / "clip", make_numbered_frames(1))
    with pytest.raises(UnreadableClipError, match=r"clip: .*no times\. Leave both empty"):
        decode(folder, start_sec=0.0)


def test_source_stat_changes_with_the_source(tmp_path):
    folder = write_frame_folder(tmp_path / "clip", make_numbered_frames(3))
    sizes = [path.stat().st_size for path in folder.iterdir()]
    os.utime(folder / "1.png", ns=(0, 2**62))
    stat = read_source_stat(folder)
    assert stat[:2] == (sum(sizes), 2**62)
    assert read_source_stat(folder / "1.png")[:2] == ((folder / "1.png").stat().st_size, 2**62)
    # Neither size nor time tells that two frames have changed places.
    (folder / "0.png").rename(folder / "x.png")
    (folder / "2.png").rename(folder / "0.png")
    (folder / "x.png").rename(folder / "2.png")
    swapped = read_source_stat(folder)
    assert swapped[:2] == stat[:2] and swapped.listing != stat.listing


def write_gif(path, num_frames, *, duration):
    first, *others = map(Image.fromarray, make_numbered_frames(num_frames))
    first.save(path, save_all=True, append_images=others, duration=duration)
    return path


def test_gif_is_a_clip(tmp_path):
    path = write_gif(tmp_path / "clip.gif", 4, duration=[40, 80, 0, 40])
    frames = decode(path)
    assert read_frame_numbers(frame.pixels for frame in frames) == [0, 1, 2, 3]
    assert [frame.index for frame in frames] == [0, 1, 2, 3]
    assert [frame.timestamp_sec for frame in frames] == [0, 0.04, 0.12, 0.22]
    assert count_frames(path) == 4


def test_time_span_of_a_gif(tmp_path):
    path = write_gif(tmp_path / "clip.gif", 6, duration=100)
    frames = decode(path, start_sec=0.2, end_sec=0.4)
    assert read_frame_numbers(frame.pixels for frame in frames) == [2, 3]
    assert [frame.index for frame in frames] == [0, 1]
    assert count_frames(path, start_sec=0.2, end_sec=0.4) == 2
    with pytest.raises(UnreadableClipError, match=r"clip\.gif: .*animation of 0\.6 s"):
        decode(path, start_sec=0.6)


@pytest.mark.parametrize("kept", [0, 0.3, 0.9])
def test_cut_off_gif_is_an_error(tmp_path, kept):
    path = write_gif(tmp_path / "clip.gif", 6, duration=100)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(UnreadableClipError, match=r"clip\.gif \(frame \d\)"):
        decode(path)
