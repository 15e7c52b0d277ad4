"""Video files: colours, size and orientation of their pictures."""

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace
from media import SIZE, decode, make_numbered_frames, write_video
from video_data import make_noise, read_numbers, write_motion_jpeg


def test_frames_of_the_right_size_are_not_resampled(tmp_path):
    (picture,) = make_noise(1, height=SIZE, width=SIZE)
    path = write_video(tmp_path / "clip.mkv", [picture], codec="ffv1", pix_fmt="bgr0")
    (frame,) = decode(path)
    assert np.array_equal(frame.pixels, picture)


COLORS = np.array(
    [[255, 255, 255], [0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255], [128, 128, 128]], np.uint8
)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le", "yuv444p"])
@pytest.mark.parametrize(
    "color",
    [
        None,
        {"colorspace": Colorspace.ITU601, "color_range": ColorRange.MPEG},
        {"colorspace": Colorspace.ITU709, "color_range": ColorRange.MPEG},
        {"colorspace": Colorspace.ITU601, "color_range": ColorRange.JPEG},
        {"colorspace": Colorspace.ITU709, "color_range": ColorRange.JPEG},
    ],
)
def test_color_matrix_range_and_depth(tmp_path, pix_fmt, color):
    frames = np.broadcast_to(COLORS[:, None, None], (len(COLORS), 32, 32, 3))
    path = write_video(
        tmp_path / "clip.mp4", frames, pix_fmt=pix_fmt, color=color, options={"crf": "1"}
    )
    decoded = np.array([frame.pixels[16, 16] for frame in decode(path)]).astype(int)
    assert np.abs(decoded - COLORS).max() <= 3
    if color is None or color["color_range"] == ColorRange.MPEG:
        assert decoded[0].min() >= 254


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_rotation_is_applied(tmp_path, turns):
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:32, 32:], picture[32:, :32], picture[32:, 32:] = 80, 160, 240
    path = write_video(tmp_path / "clip.mp4", [picture] * 3, rotation=90 * turns)
    expected = np.rot90(picture, turns)[1::2, 1::2].astype(int)
    for frame in decode(path):
        differences = np.abs(frame.pixels - expected)
        assert differences[2:14, 2:14].max() < 9 and differences[18:30, 2:14].max() < 9
        assert differences[2:14, 18:30].max() < 9 and differences[18:30, 18:30].max() < 9


def test_mirror_matrix_is_applied(tmp_path):
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:, 32:] = 240
    path = write_video(tmp_path / "clip.mp4", [picture] * 3)
    content = path.read_bytes()
    one = (1 << 16).to_bytes(4, "big")
    identity = one + bytes(12) + one + bytes(12) + (1 << 30).to_bytes(4, "big")
    at = content.index(identity, content.index(b"tkhd"))
    minus_one = (-1 << 16).to_bytes(4, "big", signed=True)
    path.write_bytes(content[:at] + minus_one + content[at + 4 :])
    pixels = decode(path)[0].pixels
    assert pixels[:, :14].min() > 230 and pixels[:, 18:].max() < 10


@pytest.mark.parametrize("name", ["clip.avi", "clip.mov"])
@pytest.mark.parametrize(
    ("orientation", "corners"),
    [
        (1, [[0, 80], [160, 240]]),
        (2, [[80, 0], [240, 160]]),
        (4, [[160, 240], [0, 80]]),
        (5, [[0, 160], [80, 240]]),
        (6, [[160, 0], [240, 80]]),
    ],
)
def test_exif_of_motion_jpeg_is_applied(tmp_path, name, orientation, corners):
    picture = np.kron([[0, 80], [160, 240]], np.ones((32, 32)))[..., None].repeat(3, axis=2)
    path = write_motion_jpeg(tmp_path / name, picture.astype(np.uint8), orientation=orientation)
    frames = decode(path)
    assert len(frames) == 3
    for frame in frames:
        found = frame.pixels[8::16, 8::16].astype(int)
        assert np.abs(found - np.array(corners)[..., None]).max() < 9


def test_a_video_of_odd_sides_is_read(tmp_path):
    frames = make_numbered_frames(5, height=77, width=101)
    path = write_video(tmp_path / "clip.mkv", frames, codec="ffv1", pix_fmt="yuv444p")
    assert read_numbers(path) == list(range(5))


def test_pixel_aspect_ratio_plays_no_part(tmp_path):
    path = write_video(
        tmp_path / "clip.mp4", make_numbered_frames(3), options={"x264-params": "sar=2/1"}
    )
    with av.open(str(path)) as container:
        assert container.streams.video[0].sample_aspect_ratio == 2
    assert read_numbers(path) == [0, 1, 2]
