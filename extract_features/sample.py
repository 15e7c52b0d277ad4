"""The built-in sample: moving shapes whose class is the motion, rendered from a seed.

Every clip has a twin, the same frames in reverse, in the opposite class and the same split. So a
model that does not mind the order of frames is right for one of the two at most: it cannot be
right more often than half of the time. Clips have odd numbers of frames, for which this is exact
also for the centres of equal segments.

A motion is cyclic and starts anywhere in its cycle: a shape that leaves the picture comes back on
the other side, one that is full-grown starts anew. So the first or the last frame does not tell
either.
"""

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from lrcn.common.clips.clip import Clip
from lrcn.common.clips.manifest import write_manifest
from lrcn.common.files.atomic_file import list_final_names, name_file, write_text
from lrcn.common.files.natural_sort import natural_key

# Forward and, played in reverse, backward.
MOTIONS = (("right", "left"), ("down", "up"), ("growing", "shrinking"))
FRAME_SIZE_PX = 64
NUM_FRAMES = range(7, 14, 2)
_MAX_SEED = 2**32 - 1  # of NumPy's RandomState
SHAPES = {
    "circle": None,
    "square": [(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)],
    "triangle": [(0, -1), (1, 0.8), (-1, 0.8)],
    "diamond": [(0, -1.1), (0.8, 0), (0, 1.1), (-0.8, 0)],
}
# Another number says that the same settings now give other pixels.
_VERSION = 1
# By number of the pair: 60 % train, 20 % val, 20 % test, and all three from three pairs on.
_SPLIT_CYCLE = ("train", "val", "test", "train", "train")
# Shapes are drawn larger and averaged down: a motion of less than a pixel shows.
_SUPERSAMPLING = 4


def render_sample(output_dir: Path, *, seed: int = 0, clips_per_class: int = 100) -> Path:
    """Renders the sample, or leaves it alone where it is already there.

    The frames are the folders `<class>/clip_<i>` of PNG files. `sample.json`, with the settings,
    is written first and the manifest last, so a render that was cut off is known and goes on.

    Args:
        output_dir: Folder of the sample, made where there is none.
        seed: Decides every clip, in [0, 2^32). More clips leave the first ones as they are.
        clips_per_class: At least 3, one for each split.

    Returns:
        The path of the manifest, with splits and groups (a pair of twins is a group).

    Raises:
        ValueError: If the folder holds anything else, or a number is out of its range.
    """
    if not 0 <= seed <= _MAX_SEED or clips_per_class < 3:
        raise ValueError(
            f"Expected a seed from 0 to {_MAX_SEED} and at least 3 clips of each class, one for "
            f"each split. Received: seed={seed}, clips_per_class={clips_per_class}."
        )
    output_dir = Path(output_dir)
    manifest_path = output_dir / "manifest.csv"
    _claim_folder(
        output_dir,
        {"sample_version": _VERSION, "seed": seed, "clips_per_class": clips_per_class},
    )
    if manifest_path.exists():
        return manifest_path
    clips = []
    for motion_number, (forward, backward) in enumerate(MOTIONS):
        for i in range(clips_per_class):
            random = np.random.RandomState([seed, motion_number, i])
            frames = [_encode_png(frame) for frame in render_frames(forward, random)]
            for label, in_order in ((forward, frames), (backward, frames[::-1])):
                name = f"{label}/clip_{i}"
                split = _SPLIT_CYCLE[i % len(_SPLIT_CYCLE)]
                clips.append(Clip(name, name, label, split, f"{forward}_{backward}_{i}"))
                _write_frames(output_dir / name, in_order)
    write_manifest(manifest_path, sorted(clips, key=lambda clip: natural_key(clip.clip_id)))
    return manifest_path


def render_frames(motion: str, random: np.random.RandomState) -> list[Image.Image]:
    """Renders one clip of a forward motion.

    Args:
        motion: `right`, `down` or `growing`.
        random: Draws all else: length, shape, colours, place, size and speed. RandomState's
            stream is frozen, so the pixels are the same with every version of NumPy.

    Returns:
        Pictures of `FRAME_SIZE_PX` squared, as many as one of `NUM_FRAMES`.
    """
    num_frames = random.choice(NUM_FRAMES)
    polygon = SHAPES[random.choice(list(SHAPES))]
    # The background is near ImageNet's mean, which VGG16's preprocessing subtracts: its features
    # are then of the shape, also where the weights are random.
    background = tuple(random.randint(100, 125, size=3).tolist())
    colour = tuple(random.randint(200, 256, size=3).tolist())
    # A motion starts anywhere in its cycle and comes round to where the cycle begins.
    cycle = random.uniform() + np.linspace(0, random.uniform(0.5, 0.8), num_frames)
    cycle %= 1
    # Lengths are parts of the frame's side.
    if motion == "growing":
        radius = 0.06 + cycle * random.uniform(0.22, 0.34)
        x, y = (np.full(num_frames, random.uniform(0.3, 0.7)) for _ in range(2))
    else:
        radius = np.full(num_frames, random.uniform(0.14, 0.2))
        along = cycle * (1 + 2 * radius) - radius
        across = np.full(num_frames, random.uniform(0.3, 0.7))
        x, y = (across, along) if motion == "down" else (along, across)
    return [
        _draw_shape(polygon, (x[t], y[t]), radius[t], colour=colour, background=background)
        for t in range(num_frames)
    ]


def _draw_shape(polygon, centre, radius: float, *, colour, background) -> Image.Image:
    side = FRAME_SIZE_PX * _SUPERSAMPLING
    picture = Image.new("RGB", (side, side), background)
    draw = ImageDraw.Draw(picture)
    corners = [(-1, -1), (1, 1)] if polygon is None else polygon
    points = [
        tuple(round(side * (c + radius * p)) for c, p in zip(centre, point, strict=True))
        for point in corners
    ]
    if polygon is None:
        draw.ellipse(points, fill=colour)
    else:
        draw.polygon(points, fill=colour)
    return picture.reduce(_SUPERSAMPLING)


def _encode_png(picture: Image.Image) -> bytes:
    png = io.BytesIO()
    picture.save(png, "PNG")
    return png.getvalue()


def _write_frames(folder: Path, frames: list[bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for t, png in enumerate(frames):
        path = folder / f"frame_{t}.png"
        with name_file(path):
            path.write_bytes(png)


def _claim_folder(output_dir: Path, settings: dict) -> None:
    settings_path = output_dir / "sample.json"
    text = json.dumps(settings) + "\n"
    # Whoever was killed before `sample.json` was there, or is about to write it, has this alone.
    others = list_final_names(output_dir) - {settings_path.name}
    if settings_path.is_file():
        found = settings_path.read_text(encoding="utf-8")
        if found != text:
            raise ValueError(
                f"{settings_path}: expected the sample of {text.strip()}. Received: "
                f"{found.strip()[:200]}. Name another --output_dir, or delete this one."
            )
        return
    if others:
        raise ValueError(
            f"{output_dir}: holds files, but no sample (no sample.json). Expected a sample or an "
            "empty or new folder, so that nothing of yours is overwritten. Name another "
            "--output_dir."
        )
    output_dir.mkdir(parents=True, exist_ok=True)
    write_text(settings_path, text)
