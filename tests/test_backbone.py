"""VGG16 up to the cut: known weights, the same features in any batch, no wrong weights file."""

import shutil

import h5py
import keras
import numpy as np
import pytest
from commands import run_program
from media import make_numbered_frames, write_frame_folder

from lrcn.common import backbone

RANDOM_SHA256 = "7c92030ee7de955a952eac1f229dc5b9fe3c7d02eb41b868abaa9e28e1be8242"
# Two float16 neighbours are 2^-10 apart, and a batch of another size adds up in another order.
FLOAT16_TOLERANCE = 2e-3


def build(weights="random", cut="block5_pool", image_size=32):
    return backbone.build_vgg16(weights=str(weights), cut=cut, image_size=image_size)


@pytest.fixture(scope="module")
def vgg16():
    return build()


@pytest.fixture(scope="module")
def weights_dir(vgg16, tmp_path_factory):
    """The random weights in each format that Keras writes; removed at the end, as it is large."""
    folder = tmp_path_factory.mktemp("weights")
    model = keras.applications.VGG16(weights=None, include_top=False, input_shape=(32, 32, 3))
    model.set_weights(vgg16.get_weights())
    model.save_weights(folder / "vgg16.weights.h5")
    model.save(folder / "model.h5")
    # What Keras' own download looks like: the layers at the top of the file.
    with h5py.File(folder / "model.h5") as file, h5py.File(folder / "notop.h5", "w") as legacy:
        group = file["model_weights"]
        for name in group:
            group.copy(name, legacy)
        legacy.attrs.update(group.attrs)
    yield folder
    for path in folder.iterdir():
        path.unlink()


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), np.uint8)


def test_random_weights_are_the_same_everywhere(vgg16):
    assert backbone.fingerprint_weights(vgg16) == RANDOM_SHA256


def test_the_fingerprint_depends_on_the_network_not_on_cut_or_size(vgg16):
    assert backbone.fingerprint_weights(build(cut="block4_pool", image_size=64)) == RANDOM_SHA256
    kernel = vgg16.get_layer("block5_conv3").kernel
    before = kernel.numpy()
    changed = before.copy()
    changed[0, 0, 0, 0] += 1e-6
    kernel.assign(changed)
    try:
        assert backbone.fingerprint_weights(vgg16) != RANDOM_SHA256
    finally:
        kernel.assign(before)


def test_the_batch_size_does_not_change_the_features(vgg16, frames):
    bottom = backbone.build_bottom(vgg16, "block5_pool")
    features = {}
    for batch_size in (1, 3, 8):
        forward = backbone.make_forward(bottom, batch_size=batch_size)
        padded = np.concatenate([frames, np.zeros((1, 32, 32, 3), np.uint8)])  # 9 = 3 * 3
        batches = [
            forward(padded[i : i + batch_size]).numpy() for i in range(0, len(frames), batch_size)
        ]
        features[batch_size] = np.concatenate(batches)[: len(frames)]
        assert features[batch_size].dtype == np.float16
        assert features[batch_size].shape == (8, 1, 1, 512)
    scale = features[1].max()
    assert scale > 1  # the comparison below would hold for zeros
    for batch_size in (3, 8):
        np.testing.assert_allclose(
            features[batch_size], features[1], rtol=FLOAT16_TOLERANCE, atol=1e-4 * scale
        )


def test_bottom_and_top_are_the_network(vgg16, frames):
    whole = backbone.build_bottom(vgg16, "block5_pool")
    assert backbone.build_top(vgg16, "block5_pool") is None
    bottom, top = (f(vgg16, "block4_pool") for f in (backbone.build_bottom, backbone.build_top))
    assert [layer.name for layer in top.layers[1:]] == [
        "block5_conv1",
        "block5_conv2",
        "block5_conv3",
        "block5_pool",
    ]
    maps = bottom(frames)
    assert tuple(maps.shape) == (8, 2, 2, 512)
    np.testing.assert_allclose(top(maps), whole(frames), rtol=1e-4, atol=1e-3)


def test_preprocessing_is_that_of_keras(vgg16, frames):
    below_cut = keras.Model(vgg16.input, vgg16.get_layer("block1_conv1").output)
    pixels = keras.applications.vgg16.preprocess_input(frames.astype(np.float32))
    assert np.abs(pixels).max() > 100  # not scaled to 1
    np.testing.assert_allclose(
        backbone.build_bottom(vgg16, "block1_conv1")(frames), below_cut(pixels), rtol=1e-5
    )
    # Blue first, minus ImageNet's mean; the sources are VGG's own.
    np.testing.assert_allclose(
        pixels, frames[..., ::-1] - np.array([103.939, 116.779, 123.68]), atol=1e-4
    )


@pytest.mark.parametrize("name", ["vgg16.weights.h5", "model.h5", "notop.h5"])
def test_weights_come_from_a_file_of_any_format(weights_dir, name):
    loaded = build(weights_dir / name, cut="block4_pool", image_size=48)
    assert backbone.fingerprint_weights(loaded) == RANDOM_SHA256


def refuse_file(path):
    # The reason in the middle is Keras' or ours; where, what was expected and the file are not.
    return pytest.raises(
        ValueError,
        match=rf"{path.name}: does not hold the weights of VGG16 up to block5_pool "
        r"\(.+\)\. Expected a file that Keras' VGG16 saved: \.h5 or \.weights\.h5\.",
    )


@pytest.fixture(scope="module")
def other_network(request, tmp_path_factory):
    """A weights file of another network, in the format that the parameter names."""
    build_other, suffix = request.param
    path = tmp_path_factory.mktemp("other") / f"other{suffix}"
    model = build_other()
    (model.save if suffix == ".h5" else model.save_weights)(path)
    yield path
    path.unlink()


def build_vgg19():
    return keras.applications.VGG19(weights=None, include_top=False, input_shape=(32, 32, 3))


def build_mobilenet():
    return keras.applications.MobileNet(
        weights=None, include_top=False, input_shape=(32, 32, 3), alpha=0.25
    )


@pytest.mark.parametrize(
    "other_network",
    [
        (build_vgg19, ".h5"),
        (build_vgg19, ".weights.h5"),
        (build_mobilenet, ".h5"),
        (build_mobilenet, ".weights.h5"),
    ],
    ids=["vgg19.h5", "vgg19.weights.h5", "mobilenet.h5", "mobilenet.weights.h5"],
    indirect=True,
)
def test_another_networks_weights_are_refused(other_network):
    with refuse_file(other_network) as caught:
        build(other_network)
    assert "13 convolutions expected" in str(caught.value)


@pytest.mark.parametrize("name", ["a.h5", "a.weights.h5", "a.keras"])
@pytest.mark.parametrize("content", [b"", b"not HDF5"])
def test_files_of_something_else_are_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with refuse_file(tmp_path / name):
        build(tmp_path / name)


def test_a_truncated_weights_file_is_refused(weights_dir, tmp_path):
    path = tmp_path / "cut.weights.h5"
    content = (weights_dir / "vgg16.weights.h5").read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with refuse_file(path):
        build(path)


def test_weights_that_are_not_finite_are_refused(weights_dir, tmp_path):
    path = tmp_path / "diverged.h5"
    shutil.copy(weights_dir / "notop.h5", path)
    with h5py.File(path, "r+") as file:
        find_kernel(file["block3_conv2"])[0, 0, 0, 0] = np.nan
    with refuse_file(path) as caught:
        build(path)
    assert "block3_conv2 has weights that are not finite" in str(caught.value)
    path.unlink()


def find_kernel(group):
    """The first dataset of four axes below a group."""
    found = []
    group.visititems(lambda _, x: found.append(x) if getattr(x, "ndim", 0) == 4 else None)
    return found[0]


@pytest.mark.parametrize("name", ["a.h5", "a.weights.h5"])
@pytest.mark.parametrize("group", ["x", "layers", "model_weights"])
def test_numbers_in_place_of_groups_are_refused(tmp_path, name, group):
    with h5py.File(tmp_path / name, "w") as file:
        file[group] = 1.0
    with refuse_file(tmp_path / name):
        build(tmp_path / name)


def test_a_layer_of_another_name_is_not_left_random(weights_dir, tmp_path):
    path = tmp_path / "renamed.h5"
    with h5py.File(weights_dir / "notop.h5") as file, h5py.File(path, "w") as renamed:
        for name in file:
            file.copy(name, renamed, name.replace("block3_conv2", "my_conv"))
        renamed.attrs.update(file.attrs)
    with refuse_file(path) as caught:
        build(path)
    assert "no layer of the name block3_conv2" in str(caught.value)
    path.unlink()


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.h5: expected a VGG16 weights file\. .*no"):
        build(tmp_path / "gone.h5")


@pytest.mark.parametrize(
    ("cut", "image_size", "text"),
    [
        ("fc1", 64, r"take 224 px frames only\. Received: image_size=64\. Use --image_size=224"),
        ("fc2", 225, r"take 224 px frames only\. Received: image_size=225\."),
        ("block5_pool", 31, r"at least 32 px\. Received: image_size=31\."),
        ("pool5", 32, r"Expected a cut of .*block5_pool.*Received: cut=pool5\."),
    ],
)
def test_cuts_and_sizes_that_do_not_fit(cut, image_size, text):
    with pytest.raises(ValueError, match=text):
        build(cut=cut, image_size=image_size)


def test_a_failed_download_says_where_to_put_the_file(tmp_path):
    for i in range(2):
        write_frame_folder(tmp_path / "data" / "walk" / f"clip_{i}", make_numbered_frames(1))
    done = run_program(
        "extract_features",
        f"--data={tmp_path}/data",
        f"--cache_dir={tmp_path}/cache",
        "--image_size=32",
        # Nobody listens there, so the download fails at once.
        env={"https_proxy": "http://127.0.0.1:9", "KERAS_HOME": f"{tmp_path}/keras"},
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "error: Could not get the ImageNet weights of VGG16 (" in done.stderr
    assert (
        "Put vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5 into "
        f"{tmp_path}/keras/models, where Keras looks for it, or pass any VGG16 file as "
        "--weights=FILE. --weights=random needs no file, but its features have learnt nothing."
    ) in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "cache" / "cache.json").exists()
