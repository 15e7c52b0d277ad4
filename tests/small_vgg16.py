"""Builds VGG16 for small frames."""

from lrcn.common import backbone

RANDOM_SHA256 = "7c92030ee7de955a952eac1f229dc5b9fe3c7d02eb41b868abaa9e28e1be8242"


def build_vgg16(weights="random", cut="block5_pool", image_size=32):
    return backbone.build_vgg16(weights=str(weights), cut=cut, image_size=image_size)
