"""VGG16 as a contract says: its bottom for new videos, its top for training above a low cut."""

import dataclasses
import os
from pathlib import Path

import numpy as np

from lrcn.common.cache.contract import Contract
from lrcn.common.pixels.views import VIEWS
from lrcn.common.vgg16 import backbone
from lrcn.common.vgg16.backbone_weights import fingerprint_weights

# Frames that the top sees at once. One static batch for all: a frame's features do not depend on
# the frames that it is read with.
_BATCH_SIZE = 16


def rebuild_vgg16(contract: Contract, weights: str | None, *, where: Path):
    """Builds the VGG16 that computed a cache's features.

    Args:
        contract: Of the features.
        weights: Where the weights are now, None for where the contract found them.
        where: The file that has the contract, for the error.

    Raises:
        FileNotFoundError: If the weights are missing.
        ValueError: If the weights, or how pixels are treated here, are not the contract's.
    """
    # Of a path of the contract, "imagenet" would be no remedy: its weights are refused.
    if weights is None and os.path.isabs(contract.weights) and not Path(contract.weights).is_file():
        raise FileNotFoundError(
            f"{where}: the features were made with the weights of {contract.weights}, and no file "
            "is there now. Name where it is: --weights=FILE (with make: WEIGHTS=FILE)."
        )
    if (contract.weights, weights) == ("random", "imagenet"):  # or they would be downloaded first
        raise ValueError(
            f"{where}: expected the random weights that the features were made with. Received: "
            "--weights=imagenet. Leave it out."
        )
    vgg16 = backbone.build_vgg16(
        weights=weights or contract.weights,
        cut=contract.cut,
        image_size=contract.image_size_px,
        compute_dtype=contract.compute_dtype,
    )
    rebuilt = dataclasses.replace(
        contract,
        weights_sha256=fingerprint_weights(vgg16),
        preprocessing=backbone.PREPROCESSING,
        resize=VIEWS[contract.views].resize_rule,
    )
    if rebuilt != contract:
        raise ValueError(
            f"{where}: {contract.describe_differences(rebuilt)}, with "
            f"--weights={weights or contract.weights}. Pass the weights that the features were "
            "made with as --weights."
        )
    return vgg16


class FrozenTop:
    """The top as a function of arrays, for the pass in which its weights stay what they are.

    Attributes:
        model: The Keras model.
        feature_shape: Shape of one frame's features above it.
    """

    def __init__(self, model):
        self.model = model
        self.feature_shape = model.output.shape[1:]
        self._forward = backbone.make_padded_forward(model, max_batch_size=_BATCH_SIZE)

    def __call__(self, maps: np.ndarray) -> np.ndarray:
        """Computes [T, *feature_shape] float16 from the cached [T, ...] float16.

        Raises:
            ValueError: If a feature overflows.
        """
        features = np.empty((len(maps), *self.feature_shape), np.float16)
        for start in range(0, len(maps), _BATCH_SIZE):
            rows = maps[start : start + _BATCH_SIZE]
            features[start : start + len(rows)] = self._forward(rows)
        if not np.isfinite(features).all():
            raise ValueError(
                f"a feature of {self.model.layers[-1].name} is not finite in float16 (largest "
                "number: 65504). Expected finite features; check the weights."
            )
        return features


def rebuild_top(contract: Contract, weights: str | None, *, where: Path) -> FrozenTop | None:
    """Builds the convolutions above the cut; None where there are none.

    Arguments and errors as `rebuild_vgg16`.
    """
    if contract.is_imported or not backbone.has_top(contract.cut):
        return None
    if contract.compute_dtype == "float16":
        # Gradients that pass through float16 vanish without loss scaling.
        contract = dataclasses.replace(contract, compute_dtype="float32")
    vgg16 = rebuild_vgg16(contract, weights, where=where)
    return FrozenTop(backbone.build_top(vgg16, contract.cut))
