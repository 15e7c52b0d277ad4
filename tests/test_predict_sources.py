"""Which clips are meant by the paths that are to be predicted."""

import os

import numpy as np
import pytest
from media import decode, make_numbered_frames, write_frame_folder, write_gif, write_video
from refusals import refusal

from lrcn.common.clips.discover import read_data
from lrcn.common.pixels.decode import count_frames, estimate_num_frames
from lrcn.common.pixels.source_stat import read_source_stat
from lrcn.common.programs.wording import name_count
from train_head.predictions.prediction_sources import find_sources


def test_a_folder_stands_for_the_clips_below_it(tmp_path):
    frame = np.zeros((1, 32, 32, 3), np.uint8)
    for name in ("b/clip_10", "b/clip_2"):
        write_frame_folder(tmp_path / name, frame)
    write_video(tmp_path / "b" / "clip_3.mp4", [*frame] * 2)
    write_video(tmp_path / "a.mp4", [*frame] * 2)
    (tmp_path / "b" / "readme.txt").write_text("not a clip")
    (tmp_path / ".hidden").mkdir()
    found = find_sources([str(tmp_path), str(tmp_path / "b" / "clip_2")])
    assert [str(path.relative_to(tmp_path)) for path in found] == [
        "a.mp4",
        "b/clip_2",
        "b/clip_3.mp4",
        "b/clip_10",
        "b/clip_2",
    ]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty: expected a folder of frames or of videos\. Rec"):
        find_sources([str(tmp_path / "empty")])
    with pytest.raises(FileNotFoundError, match=r"gone\.mp4: no such file or folder\. Expected a"):
        find_sources([str(tmp_path / "gone.mp4")])
    with pytest.raises(FileNotFoundError, match=r"^https://there/a\.mp4: no such .* Download it"):
        find_sources(["https://there/a.mp4"])


def test_an_empty_argument_is_not_the_current_folder(tmp_path, monkeypatch):
    write_video(tmp_path / "a.mp4", make_numbered_frames(2))
    monkeypatch.chdir(tmp_path)
    with refusal("expected videos or clips as arguments, received an empty one. Name a path, or"):
        find_sources(["a.mp4", ""])


def test_a_manifest_is_no_clip(tmp_path):
    path = tmp_path / "clips.CSV"
    path.touch()
    for are_features in (False, True):
        with refusal(f"{path}: expected clips as arguments. Received: a table. Name the clips"):
            find_sources([str(path)], are_features=are_features)


def test_a_pipe_among_images_is_left_to_the_decoder(tmp_path):
    os.mkfifo(tmp_path / "x.gif")
    assert find_sources([str(tmp_path)]) == [tmp_path]
    with refusal(f"{tmp_path}/x.gif: expected a file, received a pipe"):
        decode(tmp_path)


def test_what_is_no_file_is_refused_or_left_to_the_decoder(tmp_path):
    os.mkfifo(tmp_path / "v.mp4")
    for path in (tmp_path / "v.mp4", "/dev/null"):
        with refusal(
            f"{path}: expected a file, received a pipe, device or socket. Remove it, or w"
        ):
            find_sources([str(path)])
    (tmp_path / "w.mp4").symlink_to(tmp_path / "gone.mp4")
    assert find_sources([str(tmp_path)]) == [tmp_path / "v.mp4", tmp_path / "w.mp4"]


def test_links_that_lead_back_end(tmp_path):
    frame = np.zeros((1, 32, 32, 3), np.uint8)
    write_video(tmp_path / "a" / "b" / "v.mp4", [*frame] * 2)
    for name in ("a/up", "a/b/up", "a/b/up_again"):
        (tmp_path / name).symlink_to(tmp_path / "a", target_is_directory=True)
    (tmp_path / "beside").symlink_to(tmp_path / "a" / "b", target_is_directory=True)
    found = find_sources([str(tmp_path)])
    names = [str(path.relative_to(tmp_path)) for path in found]
    assert names[0] == "a/b/v.mp4" and names[-1] == "beside/v.mp4" and len(names) < 9


def test_files_that_are_no_videos_by_their_names_are_told_of(tmp_path, caplog):
    frames = make_numbered_frames(2)
    write_video(tmp_path / "cam" / "v.mp4", frames)
    (tmp_path / "cam" / "w.dav").touch()
    (write_frame_folder(tmp_path / "clip", frames) / "times.txt").touch()  # within a clip
    assert find_sources([str(tmp_path)]) == [tmp_path / "cam" / "v.mp4", tmp_path / "clip"]
    assert caplog.messages == [
        f"Passed over, as no videos by their names: 1, such as {tmp_path}/cam/w.dav. Name those "
        "that are, as arguments of their own"
    ]
    caplog.clear()
    assert find_sources([f"{tmp_path}/cam/w.dav"]) and not caplog.messages


def test_folders_beside_the_frames_of_a_clip_are_named(tmp_path, caplog):
    frame = np.zeros((1, 32, 32, 3), np.uint8)
    write_frame_folder(tmp_path / "more", frame)
    assert find_sources([str(tmp_path / "more")]) == [tmp_path / "more"] and not caplog.records
    write_video(tmp_path / "more" / "day_1" / "v.mp4", [*frame] * 2)
    assert find_sources([str(tmp_path / "more")]) == [tmp_path / "more"]
    assert caplog.messages == [
        f"{tmp_path}/more: taken for one clip. Images in it: 1; folders and videos beside them, "
        "which are passed over: 1, such as day_1. Name those that are clips, or move them out of "
        "there"
    ]


@pytest.mark.parametrize(
    ("num_images", "num_videos", "is_clip"), [(3, 1, True), (2, 2, False), (1, 2, False)]
)
def test_images_beside_videos(tmp_path, caplog, num_images, num_videos, is_clip):
    """In both stages, they are the frames of a clip if they are more, and else thumbnails."""
    clip = write_frame_folder(tmp_path / "walk" / "clip", make_numbered_frames(num_images))
    videos = [clip / f"v{i}.mp4" for i in range(num_videos)]
    for path in videos:
        write_video(path, make_numbered_frames(2))
    assert find_sources([str(clip)]) == ([clip] if is_clip else videos)
    warning = (
        f"{clip}: taken for one clip. Images in it: 3; folders and videos beside them, which are "
        "passed over: 1, such as v0.mp4. Name those that are clips, or move them out of there"
    )
    assert caplog.messages == [warning] * is_clip
    caplog.clear()
    assert [found.clip_id for found in read_data(tmp_path)[0]] == ["walk/clip"]
    assert caplog.messages == [warning] * is_clip
    if is_clip:
        assert len(decode(clip)) == count_frames(clip) == 3
        return
    for call in (decode, count_frames, estimate_num_frames, read_source_stat):
        with refusal(
            f"received {name_count(num_images, 'image')} and, one level deeper than clips are, 2 "
            "videos, such as v0.mp4. Move the videos right into the folder of their class, or name"
        ):
            call(clip)


def test_animations_are_clips_but_beside_stills_they_are_frames(tmp_path):
    frames = np.zeros((2, 32, 32, 3), np.uint8)
    write_frame_folder(tmp_path / "stills", frames)
    write_video(tmp_path / "videos" / "e.mp4", frames)
    (tmp_path / "only").mkdir()
    for name in ("only/a.gif", "only/b.gif", "videos/C.GIF", "stills/d.gif"):
        write_gif(tmp_path / name, 3, duration=40)
    write_gif(tmp_path / "still.gif", 1, duration=40).rename(tmp_path / "videos" / "still.gif")
    found = find_sources([str(tmp_path)])
    assert [str(path.relative_to(tmp_path)) for path in found] == [
        "only/a.gif",
        "only/b.gif",
        "stills",
        "videos/C.GIF",
        "videos/e.mp4",
    ]
