"""The contract of a cache: all that decides a feature's value.

Two caches with equal contracts hold, for the same source, the same numbers; a change of any
compared field makes the old features unusable, so it is refused and never silently mixed.
"""

import dataclasses
import functools
import hashlib
import json
import math

from lrcn.common.pixels.frame_selection import FrameSelection
from lrcn.common.pixels.views import VIEWS

# The layers of VGG16 whose output may be cached, in the network's order.
CUTS = ("block4_pool", "block5_pool", "fc1", "fc2")
IMPORTED_BACKBONE = "imported"
_REMEDY = "It was written by another version of this project, or by hand: rebuild it."


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contract:
    """What decides the value of a cached feature map.

    Attributes:
        backbone: `vgg16`, or `imported` for features that another tool computed.
        cut: The layer whose output is cached, of `CUTS`; of imported features, the name of their
            file.
        weights_sha256: Fingerprint of the weights, see `backbone_weights.fingerprint_weights`.
        preprocessing: How pixels become the network's input.
        resize: How a decoded frame becomes a square of `image_size_px`.
        image_size_px: Side of the square frames.
        frame_selection: Which frames of a clip are kept: the text of a `FrameSelection`.
        views: Which views of a frame are kept: a name of `VIEWS`.
        compute_dtype: The dtype that the backbone multiplies in.
        storage_dtype: The dtype of the cached values.
        feature_shape: Shape of the features of one view of one frame.
        weights: Where the weights came from (`imagenet`, `random` or a file). Not compared:
            the same weights may come from two places.
    """

    backbone: str
    cut: str
    weights_sha256: str
    preprocessing: str
    resize: str
    image_size_px: int
    frame_selection: str
    views: str
    compute_dtype: str
    storage_dtype: str
    feature_shape: tuple[int, ...]
    weights: str = dataclasses.field(compare=False)

    def __post_init__(self):
        # JSON gives a list back; equality and hashing want the tuple.
        object.__setattr__(self, "feature_shape", tuple(self.feature_shape))

    @functools.cached_property
    def digest(self) -> str:
        """Hex sha256 over the compared fields: what each clip file carries."""
        compared = {name: getattr(self, name) for name in COMPARED_FIELDS}
        return hashlib.sha256(json.dumps(compared, sort_keys=True).encode()).hexdigest()

    @property
    def is_imported(self) -> bool:
        """Whether another tool computed the features."""
        return self.backbone == IMPORTED_BACKBONE

    @property
    def selection(self) -> FrameSelection:
        """Which frames of a clip are kept."""
        return FrameSelection.parse(self.frame_selection, where="contract")

    @property
    def num_views(self) -> int:
        """V, how many views of a frame are kept."""
        return VIEWS[self.views].num_views

    @property
    def frame_shape(self) -> tuple[int, ...]:
        """Shape of one frame's features in the file: [V, ...], without V where it is 1."""
        return self.feature_shape if self.num_views == 1 else (self.num_views, *self.feature_shape)

    @property
    def values_per_frame(self) -> int:
        """How many numbers the features of all views of a frame have."""
        return math.prod(self.frame_shape)

    def to_json(self) -> dict:
        """Returns the fields and their digest, by which damage and changes by hand are seen."""
        return {**dataclasses.asdict(self), "digest": self.digest}

    @classmethod
    def from_json(cls, fields: dict, *, where: str) -> "Contract":
        """Rebuilds a contract from the dictionary of `to_json`, or an earlier version's without
        the digest.

        Raises:
            ValueError: If fields are missing or unknown, or their values are of another kind or not
                those of the digest; `where` names the file.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        if not isinstance(fields, dict) or set(fields) - {"digest"} != set(names):
            received = sorted(fields) if isinstance(fields, dict) else type(fields).__name__
            raise ValueError(
                f"{where}: expected the contract fields {sorted(names)}. Received: {received}. "
                f"{_REMEDY}"
            )
        values = {name: fields[name] for name in names}
        for name, value in values.items():
            what, fits = _EXPECTED_VALUES.get(name, ("text", _is_text))
            if not fits(value):
                raise ValueError(
                    f"{where}: expected {what} as {name}. Received: {json.dumps(value)}. {_REMEDY}"
                )
        if fields["views"] not in VIEWS:
            raise ValueError(
                f"{where}: expected views of {tuple(VIEWS)}. Received: views={fields['views']}. "
                "Use the version of this project that wrote it, or rebuild it."
            )
        contract = cls(**values)
        if fields.get("digest", contract.digest) != contract.digest:
            raise ValueError(
                f"{where}: expected the contract that was written there. Received: one that does "
                "not fit the digest beside it, as in a file that is damaged or was changed by "
                "hand. Undo the change, or copy the file again: the features are what it said."
            )
        FrameSelection.parse(contract.frame_selection, where=where)
        return contract

    def describe_differences(self, wanted: "Contract", *, wanted_by: str = "this run") -> str:
        """Names each compared field that differs: `cut=a, but this run needs cut=b`."""
        names = [x for x in COMPARED_FIELDS if getattr(self, x) != getattr(wanted, x)]
        found, needed = (
            # Most fields of imported features are empty, or 0.
            [
                # The flag that names imported features is `--features`.
                f"{'features' if x == 'cut' and one.is_imported else x}={_shorten(getattr(one, x))}"
                for x in names
                if getattr(one, x) not in ("", 0)
            ]
            for one in (self, wanted)
        )
        return f"made with {', '.join(found)}, but {wanted_by} needs {', '.join(needed)}"


COMPARED_FIELDS = tuple(field.name for field in dataclasses.fields(Contract) if field.compare)


def _is_text(value) -> bool:
    return isinstance(value, str)


def _is_size(value) -> bool:
    return type(value) is int and value >= 0  # True is an int


def _is_shape(value) -> bool:
    return isinstance(value, (list, tuple)) and all(_is_size(x) and x > 0 for x in value)


# Of the fields that are not text: what is expected, and whether a value is that.
_EXPECTED_VALUES = {
    "image_size_px": ("a whole number", _is_size),
    "feature_shape": ("a list of positive whole numbers", _is_shape),
}


def _shorten(value) -> str:
    text = str(value)
    return f"{text[:12]}..." if len(text) == 64 else text
