"""The flags that say what is computed for a frame, alike in extraction and plan."""

from absl import flags

from lrcn.common.cache.contract import CUTS
from lrcn.common.cache.frame_chunk import COMPRESSIONS
from lrcn.common.pixels.views import VIEWS
from lrcn.common.programs.devices import COMPUTE_DTYPES

_WEIGHTS = flags.DEFINE_string(
    "weights",
    None,
    "VGG16's weights: imagenet (downloaded once by Keras), random (seeded; has learnt nothing) or "
    "a Keras .h5 or .weights.h5 file. Default: what the cache has, else imagenet.",
)
_CUT = flags.DEFINE_enum(
    "cut",
    None,
    list(CUTS),
    "VGG16 layer whose output is cached; what lies above it can be trained in stage 2. fc1 and "
    "fc2 need 224 px and weights with the classifier. Default: what the cache has, else "
    "block5_pool.",
)
_IMAGE_SIZE = flags.DEFINE_integer(
    "image_size",
    None,
    "Side in pixels of the square that each frame is stretched to; time and cache size grow with "
    "its square. Default: what the cache has, else 224.",
    lower_bound=32,
    upper_bound=1024,
)
_COMPUTE_DTYPE = flags.DEFINE_enum(
    "compute_dtype",
    None,
    ["auto", *COMPUTE_DTYPES],
    "What the backbone multiplies in. auto takes bfloat16 (moves a feature by under 1 %) where the "
    "machine does so natively and, as it measures, faster, else float32. Default: what the cache "
    "has, else auto.",
)
_FRAME_STRIDE = flags.DEFINE_integer(
    "frame_stride",
    None,
    "Keep one of every so many frames, from the first on; 1 keeps all. Default: what the cache "
    "has, else 1.",
    lower_bound=1,
)
_FPS = flags.DEFINE_float(
    "fps",
    None,
    "Keep so many frames of a second of video, by their times: for each tick of that rate the "
    "first frame at or after it, and none twice. Instead of --frame_stride; not for folders of "
    "images, which have no times. Default: what the cache has, else all frames.",
)
_MAX_FRAMES = flags.DEFINE_integer(
    "max_frames",
    None,
    "Keep at most so many frames of a clip, evenly spaced among those that --frame_stride or --fps "
    "leaves; a video is decoded once more to count them. 0: no limit. Default: what the cache has, "
    "else 0.",
    lower_bound=0,
)
_VIEWS = flags.DEFINE_enum(
    "views",
    None,
    list(VIEWS),
    "Views of each frame to cache; time and size grow with their number. Stage 2 trains on a "
    "random one and averages over all. one: the frame. flip: and its mirror image, which is wrong "
    "where the class depends on the direction, as it turns left into right. five_crop: the centre "
    "and the corners of the frame stretched to 8/7 of --image_size. ten_crop: these and their "
    "mirror images. Default: what the cache has, else one.",
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size",
    None,
    "Frames that VGG16 sees at once, each view counted; costs memory, does not change the "
    "features. Default: 16 on a CPU, fewer from 449 px on; on a GPU the largest of 128, 64, 32, "
    "... that fits. Many frames of 64 px or less take less time with 64 on a CPU, too.",
    lower_bound=1,
)
_COMPRESSION = flags.DEFINE_enum(
    "compression",
    "gzip",
    list(COMPRESSIONS),
    "How new clip files are compressed, without loss. zstd is a little smaller and several times "
    "faster to write, but whoever reads the files needs the package hdf5plugin. One cache may mix "
    "both.",
)


def read_backbone_settings():
    """Returns the flags' `BackboneSettings`, and what else extraction and plan take: a dictionary
    of `batch_size` and `compression`.
    """
    from extract_features.backbone_settings import BackboneSettings
    from lrcn.common.pixels.frame_selection import FrameSelection

    settings = BackboneSettings(
        weights=_WEIGHTS.value,
        cut=_CUT.value,
        image_size=_IMAGE_SIZE.value,
        compute_dtype=_COMPUTE_DTYPE.value,
        selection=FrameSelection(
            frame_stride=_FRAME_STRIDE.value, fps=_FPS.value, max_frames=_MAX_FRAMES.value
        ),
        views=_VIEWS.value,
    )
    return settings, {"batch_size": _BATCH_SIZE.value, "compression": _COMPRESSION.value}
