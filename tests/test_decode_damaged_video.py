"""Videos that are damaged: each is an error that says how far it was read."""

from pathlib import Path

import av
import numpy as np
import pytest
from media import SIZE, decode, make_numbered_frames, write_video
from video_data import make_noise

from lrcn.common.pixels.decode import UnreadableClipError, iter_frames


def make_waves(num_frames):
    """Frames that compress as films do: a few hundred bytes each."""
    t, y, x = np.ogrid[:num_frames, :240, :320]
    red, green = 128 + 99 * np.sin((x + 3 * t) / 9 + y * 0), 128 + 99 * np.cos((y - 2 * t) / 7)
    waves = np.stack(np.broadcast_arrays(red, green, 5.0 * t), axis=-1)
    return (
        (waves + np.random.default_rng(0).normal(0, 3, waves.shape)).clip(0, 255).astype(np.uint8)
    )


def damage(path, *, at, num_bytes):
    content = bytearray(path.read_bytes())
    begin = int(at * len(content))
    content[begin : begin + num_bytes] = np.random.default_rng(0).bytes(num_bytes)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("clip.mp4", "libx264", "yuv420p"),
        ("clip.mkv", "libx264", "yuv420p"),
        ("clip.ts", "libx264", "yuv420p"),
        ("clip.avi", "mpeg4", "yuv420p"),
        ("clip.avi", "mjpeg", "yuvj420p"),
    ],
)
def test_damage_in_the_middle_is_an_error(tmp_path, name, codec, pix_fmt):
    options = {"g": "10"} if codec != "mjpeg" else {}
    path = write_video(
        tmp_path / name, make_waves(30), codec=codec, pix_fmt=pix_fmt, options=options
    )
    damage(path, at=0.5, num_bytes=2000)
    with pytest.raises(UnreadableClipError, match=r"it ended at 0\.\d+ s, after frame \d+: "):
        decode(path)


def test_damage_is_found_by_one_thread_however_many_cores_there_are(tmp_path):
    path = write_video(tmp_path / "clip.mp4", make_noise(25))
    frames = iter_frames(path, image_size=SIZE)
    next(frames)
    names = [task.read_text() for task in Path("/proc/self/task").glob("*/comm")]
    assert names and not [name for name in names if name.startswith("av:")]
    frames.close()


def test_frame_that_the_decoder_patches_up_is_an_error(tmp_path):
    path = write_video(tmp_path / "clip.mp4", make_waves(30), codec="mpeg4")
    content, whole = path.read_bytes(), [frame.pixels for frame in decode(path)]
    for at in (0.3, 0.4, 0.6, 0.7):
        path.write_bytes(content)
        damage(path, at=at, num_bytes=10)
        before = []  # which --keep_partial keeps
        with pytest.raises(UnreadableClipError, match="it ended"):
            for frame in iter_frames(path, image_size=SIZE):
                before.append(frame.pixels)
        assert before
        np.testing.assert_array_equal(before, whole[: len(before)])


def test_gap_that_the_decoder_does_not_see_is_an_error(tmp_path):
    path = write_video(tmp_path / "clip.ts", make_numbered_frames(30), options={"bf": "0"})
    packets = [path.read_bytes()[at : at + 188] for at in range(0, path.stat().st_size, 188)]
    del packets[len(packets) // 2]
    path.write_bytes(b"".join(packets))
    with av.open(str(path)) as container:
        broken = [packet.is_corrupt for packet in container.demux(video=0)].index(True)
    with pytest.raises(
        UnreadableClipError,
        match=rf"it ended at 0\.\d+ s, after frame {broken - 1}: data is missing",
    ):
        decode(path)


@pytest.mark.parametrize(
    ("container_options", "packet_bytes"), [({}, 188), ({"mpegts_m2ts_mode": "1"}, 192)]
)
def test_transport_stream_that_ends_amid_a_packet_is_an_error(
    tmp_path, container_options, packet_bytes
):
    # The decoder of HEVC, unlike that of H.264, gives what is left of a picture for all of it.
    path = write_video(
        tmp_path / "clip.ts",
        make_noise(12),
        codec="libx265",
        options={"x265-params": "log-level=none"},
        container_options=container_options,
    )
    content = path.read_bytes()
    assert len(decode(path)) == 12
    num_packets = len(content) // packet_bytes
    path.write_bytes(content[: num_packets * 2 // 3 * packet_bytes + 100])
    message = f"it ended at .*: its last packet has 100 of {packet_bytes} bytes"
    with pytest.raises(UnreadableClipError, match=message):
        decode(path)


@pytest.mark.parametrize("last_part", [0.45, 0.5])
def test_transport_stream_with_zeros_in_place_of_packets_is_an_error(tmp_path, last_part):
    # FFmpeg looks for the next packet, and takes what lies there for what somebody sought.
    path = write_video(tmp_path / "clip.ts", make_numbered_frames(30), options={"bf": "0"})
    content = path.read_bytes()
    first, last = (188 * int(part * len(content) / 188) for part in (0.4, last_part))
    path.write_bytes(content[: first + 50] + bytes(last - first - 50) + content[last:])
    message = rf"it ended at .*: its packet at byte {first + 188} does not begin as one"
    with pytest.raises(UnreadableClipError, match=message):
        decode(path)


def test_recording_without_a_duration_that_is_cut_off_is_an_error(tmp_path):
    # As browsers write it: while it is recorded, nobody knows how long it will be.
    path = write_video(
        tmp_path / "clip.webm", make_noise(12), codec="libvpx", container_options={"live": "1"}
    )
    content = path.read_bytes()
    assert len(decode(path)) == 12
    path.write_bytes(content[: len(content) * 2 // 3])
    message = r"it ended at .*: \d+ bytes of those that it states are not there"
    with pytest.raises(UnreadableClipError, match=message):
        decode(path)
    # Amid the number that says how long an element is, which a whole file does not end with.
    path.write_bytes(content + bytes.fromhex("a3 10"))
    with pytest.raises(UnreadableClipError, match="3 bytes of those that it states are not there"):
        decode(path)
    path.write_bytes(content + bytes(100))
    assert len(decode(path)) == 12


@pytest.mark.parametrize(
    ("name", "codec"),
    [("clip.mpg", "mpeg1video"), ("clip.vob", "mpeg2video"), ("clip.webm", "libvpx")],
)
def test_videos_joined_as_files_are_an_error_since_their_times_start_anew(tmp_path, name, codec):
    # With --fps, no frame of the second would be taken; and 0.1 s are two moments.
    path = write_video(tmp_path / name, make_numbered_frames(20), codec=codec)
    path.write_bytes(2 * path.read_bytes())
    with pytest.raises(
        UnreadableClipError,
        match=r"ended at 0\.760 s, after frame 19: the next frame is at 0\.000 s, as where videos "
        r"were joined.*re-encode",
    ):
        decode(path)


def test_damage_at_the_start_is_an_error(tmp_path):
    path = write_video(tmp_path / "clip.mkv", make_waves(30), options={"g": "10"})
    damage(path, at=0.1, num_bytes=500)
    with pytest.raises(UnreadableClipError, match="before the first frame"):
        decode(path)


def test_errors_are_not_logged_by_ffmpeg(tmp_path, capfd):
    path = write_video(tmp_path / "clip.mp4", make_waves(30))
    damage(path, at=0.5, num_bytes=2000)
    capfd.readouterr()
    with pytest.raises(UnreadableClipError):
        decode(path)
    assert capfd.readouterr() == ("", "")
