"""Times stage 1 against the bare network and other ways to run VGG16, side by side.

Every row is timed once a round, in turn, so that a machine whose speed drifts slows all rows
alike; the table gives each row's median and its ratio to the bare graph. Rows of PyTorch, ONNX
Runtime and OpenVINO appear where those packages are installed (`pip install torch onnx
onnxscript onnxruntime openvino`; `onnx` files are exported from PyTorch).

Keras' `predict` reads by tf.data, which has a thread that tunes it and sleeps twice as long each
time. Now and then a call ends only when that wakes up, 2.55, 5.11 or 10.23 s after it began
(TensorFlow 2.21). `predict_on_batch` reads without it.

    make bench FLAGS="--rounds=5"

A GPU is done at once with the frames that keep a CPU busy, and needs more:

    python -m benchmarks.stage1_speed --clips=48 --frames=128
"""

import importlib
import importlib.util
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from absl import flags

from benchmarks import timing
from benchmarks.synthetic_cache import ZERO_PART, make_contract
from lrcn.common.programs.program import adopt_flags, run_program

adopt_flags(timing)

_IMAGE_SIZE = flags.DEFINE_integer("image_size", 224, "Side of the frames in pixels.")
_CLIPS = flags.DEFINE_integer("clips", 8, "Clips of each kind for the end-to-end rows.")
_FRAMES = flags.DEFINE_integer("frames", 32, "Frames of a clip, also of Keras' rows.")
_SOURCE_HEIGHT_PX, _SOURCE_WIDTH_PX = 240, 320
# Of the rows without Keras' `predict`.
_CPU_BATCHES, _GPU_BATCHES = 2, 16


def main() -> None:
    _load_triton_first()
    with tempfile.TemporaryDirectory() as folder:
        rates = timing.measure_rates(_build_rows(Path(folder)))
    medians = {name: statistics.median(values) for name, values in rates.items()}
    bare = max(rate for name, rate in medians.items() if name.startswith("bare graph"))
    print(f"{'frames a second':44} {'median':>8} {'min':>8} {'max':>8} {'of bare':>8}")
    for name, values in rates.items():
        print(
            f"{name:44} {medians[name]:8.1f} {min(values):8.1f} {max(values):8.1f} "
            f"{medians[name] / bare:8.2f}"
        )


def _load_triton_first() -> None:
    """Loads Triton, which PyTorch's builds for GPUs bring and load late, before TensorFlow: both
    have an LLVM of their own, and the other way round ends the process (PythonOT/POT issue 816).
    """
    if importlib.util.find_spec("triton"):
        importlib.import_module("triton")


def _build_rows(folder: Path) -> dict[str, Callable[[], int]]:
    """Returns, by name, functions that process frames and return how many they were."""
    from lrcn.common.programs.devices import choose_compute_dtype, has_gpu
    from lrcn.common.vgg16 import backbone
    from lrcn.common.vgg16.batch_size import find_batch_size

    size = _IMAGE_SIZE.value
    random = np.random.RandomState(0)
    clip = random.randint(0, 256, (_FRAMES.value, size, size, 3), np.uint8)
    fast_dtype = choose_compute_dtype("auto")
    bottoms = {}
    for dtype in dict.fromkeys(["float32", fast_dtype]):
        vgg16 = backbone.build_vgg16(
            weights="random", cut="block5_pool", image_size=size, compute_dtype=dtype
        )
        _make_features_sparse(vgg16, clip[:16])
        bottoms[dtype] = backbone.build_bottom(vgg16, "block5_pool")
    rows = {
        "Keras predict, frame by frame, float32": lambda: _predict(bottoms["float32"], clip, 1),
        "Keras predict, clip by clip, float32": lambda: _predict(
            bottoms["float32"], clip, len(clip)
        ),
        "Keras predict_on_batch, by clip, float32": lambda: len(
            bottoms["float32"].predict_on_batch(clip)
        ),
    }
    batch_size = find_batch_size(bottoms[fast_dtype])
    num_frames = batch_size * (_GPU_BATCHES if has_gpu() else _CPU_BATCHES)
    frames = np.resize(clip, (num_frames, *clip.shape[1:]))
    for dtype, bottom in bottoms.items():
        bare = _make_bare_graph(bottom, batch_size)
        rows[f"bare graph, {dtype}"] = lambda bare=bare: _run_batches(bare, frames, batch_size)
    rows |= _build_other_rows(frames, vgg16, folder, batch_size)
    forward = backbone.make_forward(bottoms[fast_dtype], batch_size=batch_size, many_batches=True)
    for kind, sources in _write_sources(folder, random).items():
        rows[f"this project, {kind} to cache, {fast_dtype}"] = lambda kind=kind, sources=sources: (
            _extract(sources, folder / f"cache_{kind}", bottoms[fast_dtype], forward, batch_size)
        )
    return rows


def _make_bare_graph(bottom, batch_size: int) -> Callable:
    """Compiles the network as it stands, for one batch: what TensorFlow does by itself."""
    from lrcn.common.vgg16.backbone import tf

    signature = tf.TensorSpec((batch_size, *bottom.input.shape[1:]), bottom.input.dtype)
    graph = tf.function(
        lambda frames: tf.cast(bottom(frames, training=False), tf.float16),
        input_signature=[signature],
        autograph=False,
        jit_compile=False,
    )
    return graph.get_concrete_function()


def _make_features_sparse(vgg16, frames: np.ndarray) -> None:
    """Lowers the last biases until `ZERO_PART` of the features are zero, as with real weights.

    He-initialised weights leave 0.4, and features that no network gives would be compressed.
    """
    from lrcn.common.vgg16.backbone import build_bottom

    maps = build_bottom(vgg16, "block5_pool").predict(frames, verbose=0).astype(np.float32)
    kernel, bias = vgg16.get_layer("block5_conv3").get_weights()
    vgg16.get_layer("block5_conv3").set_weights([kernel, bias - np.quantile(maps, ZERO_PART)])


def _predict(model, frames: np.ndarray, batch_size: int) -> int:
    count = min(len(frames), 8) if batch_size == 1 else len(frames)
    for start in range(0, count, batch_size):
        model.predict(frames[start : start + batch_size], verbose=0)
    return count


def _run_batches(forward: Callable, frames: np.ndarray, batch_size: int) -> int:
    for start in range(0, len(frames), batch_size):
        np.asarray(forward(frames[start : start + batch_size]))
    return len(frames)


def _write_sources(folder: Path, random: np.random.RandomState) -> dict[str, list[Path]]:
    """Writes clips of smooth moving noise, as JPEG folders and as mp4 videos."""
    import av
    from PIL import Image

    sources = {"JPEG": [], "mp4": []}
    for number in range(_CLIPS.value):
        coarse = random.randint(0, 256, (12, 16, 3), np.uint8)
        picture = Image.fromarray(coarse).resize(
            (_SOURCE_WIDTH_PX + _FRAMES.value, _SOURCE_HEIGHT_PX), Image.Resampling.BICUBIC
        )
        crops = [
            picture.crop((i, 0, i + _SOURCE_WIDTH_PX, _SOURCE_HEIGHT_PX))
            for i in range(_FRAMES.value)
        ]
        clip = folder / f"jpeg_{number}"
        clip.mkdir()
        for i, crop in enumerate(crops):
            crop.save(clip / f"{i}.jpg", quality=90)
        sources["JPEG"].append(clip)
        video = folder / f"{number}.mp4"
        with av.open(str(video), "w") as container:
            stream = container.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = crops[0].width, crops[0].height, "yuv420p"
            for crop in crops:
                container.mux(stream.encode(av.VideoFrame.from_image(crop)))
            container.mux(stream.encode(None))
        sources["mp4"].append(video)
    return sources


def _extract(
    sources: list[Path], cache_dir: Path, bottom, forward: Callable, batch_size: int
) -> int:
    import shutil

    from extract_features.backbone_settings import Backbone
    from extract_features.pipeline import PipelineSettings, run_pipeline
    from extract_features.progress import ExtractionProgress
    from extract_features.worklist import Job
    from lrcn.common.cache.feature_cache import FeatureCache
    from lrcn.common.clips.clip import Clip
    from lrcn.common.pixels.source_stat import read_source_stat

    shutil.rmtree(cache_dir, ignore_errors=True)
    contract = make_contract(bottom.output.shape[1:], image_size=_IMAGE_SIZE.value)
    jobs = [
        Job(Clip(source.name, source.name, "a"), source, read_source_stat(source))
        for source in sources
    ]
    with ExtractionProgress(len(jobs)) as progress:
        result = run_pipeline(
            jobs,
            cache=FeatureCache(cache_dir, contract=contract, data_root=""),
            backbone=Backbone(contract, forward, batch_size),
            settings=PipelineSettings(),
            progress=progress,
        )
    if result.failures:
        raise RuntimeError(f"Expected every clip to be read. Received: {result.failures}")
    return result.frames


def _build_other_rows(
    frames: np.ndarray, vgg16, folder: Path, batch_size: int
) -> dict[str, Callable[[], int]]:
    try:
        import torch
    except ImportError:
        return {}
    from benchmarks.other_frameworks import build_rows

    return build_rows(torch, frames, vgg16, folder, batch_size=batch_size)


if __name__ == "__main__":
    run_program(main)
