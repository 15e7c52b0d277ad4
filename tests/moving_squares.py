"""A small data set of which the order of frames decides the class."""

from pathlib import Path

import numpy as np
from media import write_frame_folder, write_video

_CLIPS_PER_CLASS = 8


def write_moving_squares(folder: Path) -> None:
    """Writes a tree of the classes `left` and `right`: each clip of the one is a clip of the other
    played in reverse. The last clip of each class is a video, the others are folders of frames;
    they have 5 to 12 frames of 32 px.
    """
    for i in range(_CLIPS_PER_CLASS):
        frames = make_moving_square(np.random.RandomState(i), num_frames=5 + i)
        for label, in_order in (("right", frames), ("left", frames[::-1])):
            if i == _CLIPS_PER_CLASS - 1:
                write_video(folder / label / f"clip_{i}.mp4", in_order, fps=10)
            else:
                write_frame_folder(folder / label / f"clip_{i}", in_order)


def make_moving_square(random: np.random.RandomState, *, num_frames: int) -> np.ndarray:
    """Makes a bright square that goes from left to right, [T, 32, 32, 3] uint8."""
    frames = np.full((num_frames, 32, 32, 3), random.randint(90, 130), np.uint8)
    colour = random.randint(180, 256, size=3)
    top = random.randint(4, 16)
    for t in range(num_frames):
        left = round(20 * t / (num_frames - 1))
        frames[t, top : top + 12, left : left + 12] = colour
    return frames
