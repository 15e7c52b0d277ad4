"""Which clips are meant by the paths that are to be predicted."""

import numpy as np
import pytest
from media import write_frame_folder, write_gif, write_video

from train_head.prediction import find_sources


def test_sources(tmp_path):
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


def test_animations_are_clips_but_beside_stills_they_are_frames(tmp_path):
    frames = np.zeros((2, 32, 32, 3), np.uint8)
    write_frame_folder(tmp_path / "stills", frames)
    write_video(tmp_path / "videos" / "e.mp4", frames)
    (tmp_path / "only").mkdir()
    for name in ("only/a.gif", "only/b.gif", "videos/c.gif", "stills/d.gif"):
        write_gif(tmp_path / name, 3, duration=40)
    write_gif(tmp_path / "still.gif", 1, duration=40).rename(tmp_path / "videos" / "still.gif")
    found = find_sources([str(tmp_path)])
    assert [str(path.relative_to(tmp_path)) for path in found] == [
        "only/a.gif",
        "only/b.gif",
        "stills",
        "videos/c.gif",
        "videos/e.mp4",
    ]
