"""Images that are damaged, no images or too large: each is an error that names it."""

import numpy as np
import pytest
from image_data import decode_one, make_png_chunk, write_raw_png
from media import SIZE, decode, make_numbered_frames, write_frame_folder, write_gif
from PIL import Image
from video_data import cut

from lrcn.common.pixels.decode import (
    UnreadableClipError,
    iter_frames,
)


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
    cut(folder / name, kept)
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


@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_png_whose_end_is_zeros_is_an_error(tmp_path, part):
    # As a copy that was stopped leaves it: to the decoder, zeros are pixels like any other.
    pixels = np.random.default_rng(0).normal(128, 6, (120, 160, 3)).astype(np.uint8)
    folder = write_frame_folder(tmp_path / "clip", [pixels])
    content = (folder / "0.png").read_bytes()
    kept = content[: int(part * len(content))]
    (folder / "0.png").write_bytes(kept.ljust(len(content), b"\0"))
    with pytest.raises(UnreadableClipError, match=r"0\.png \(frame 0\): .*Replace or remove"):
        decode(folder)


def test_whole_pixels_of_a_png_are_taken_whatever_lies_behind_them(tmp_path):
    folder = write_frame_folder(tmp_path / "clip", make_numbered_frames(1))
    expected = decode(folder)[0].pixels
    content = (folder / "0.png").read_bytes()
    end = content.index(b"IEND") - 4
    text = bytearray(make_png_chunk(b"tEXt", b"Comment\0whole"))
    text[-1] ^= 255
    for behind in (bytes(text) + content[end:], b"", bytes(12), content[end:] + b"more"):
        (folder / "0.png").write_bytes(content[:end] + behind)
        np.testing.assert_array_equal(decode(folder)[0].pixels, expected)


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
    animation = write_gif(tmp_path / "0.gif", 2, duration=100)
    content = animation.read_bytes()
    animation.write_bytes(content[:6] + 2 * (30_000).to_bytes(2, "little") + content[10:])
    for path in (folder, animation):
        with pytest.raises(
            UnreadableClipError, match=r"0\..* .*178956970.*900000000.*Scale|900000000.*178956970"
        ):
            decode(path)


def test_an_error_of_pillow_without_words_has_its_name(tmp_path, monkeypatch):
    folder = write_frame_folder(tmp_path / "clip", make_numbered_frames(1))

    def open_image(*_, **__):
        raise MemoryError

    monkeypatch.setattr(Image, "open", open_image)
    with pytest.raises(UnreadableClipError, match=r"decoding it failed: MemoryError\. Replace"):
        decode(folder)
