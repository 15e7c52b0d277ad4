"""Weights of VGG16: a file of any format that Keras writes, and no wrong one."""

import os
import shutil

import h5py
import keras
import numpy as np
import pytest
from commands import run_program
from media import make_numbered_frames, write_frame_folder
from refusals import no_more_open_files, refusal
from small_vgg16 import RANDOM_SHA256, build_keras_vgg16, build_vgg16
from video_data import cut

from extract_features.backbone_settings import (
    BackboneSettings,
    build_backbone,
    complete_settings,
)
from lrcn.common.vgg16 import backbone
from lrcn.common.vgg16.backbone_weights import fingerprint_weights, load_weights_file


@pytest.fixture(scope="module")
def weights_dir(tmp_path_factory):
    """The random weights in each format that Keras writes; removed at the end, as it is large."""
    folder = tmp_path_factory.mktemp("weights")
    model = build_keras_vgg16()
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


@pytest.mark.parametrize("name", ["vgg16.weights.h5", "model.h5", "notop.h5"])
def test_weights_come_from_a_file_of_any_format(weights_dir, name):
    loaded = build_vgg16(weights_dir / name, cut="block4_pool", image_size=48)
    assert fingerprint_weights(loaded) == RANDOM_SHA256


def test_weights_of_a_relative_path_are_found_from_elsewhere(weights_dir, monkeypatch):
    monkeypatch.chdir(weights_dir)
    given = BackboneSettings(weights="notop.h5", image_size=32, compute_dtype="float32")
    built = build_backbone(complete_settings(given, None), 16, num_clips=1)
    assert built.contract.weights == str(weights_dir / "notop.h5")


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
        build_vgg16(other_network)
    assert "13 convolutions expected" in str(caught.value)


@pytest.mark.parametrize("name", ["a.h5", "a.weights.h5", "a.keras"])
@pytest.mark.parametrize("content", [b"", b"not HDF5"])
def test_files_of_something_else_are_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with refuse_file(tmp_path / name):
        build_vgg16(tmp_path / name)


def test_a_truncated_weights_file_is_refused(weights_dir, tmp_path):
    path = shutil.copy(weights_dir / "vgg16.weights.h5", tmp_path / "cut.weights.h5")
    cut(path, 0.5)
    with refuse_file(path):
        build_vgg16(path)


@pytest.mark.parametrize("name", ["vgg16.weights.h5", "model.h5"])
def test_a_weights_file_whose_lists_of_layers_are_damaged_is_named(weights_dir, tmp_path, name):
    path = tmp_path / name
    path.write_bytes((weights_dir / name).read_bytes().replace(b"SNOD", b"gone"))
    with refuse_file(path):
        build_vgg16(path)
    path.unlink()


def test_weights_that_are_not_finite_are_refused(weights_dir, tmp_path):
    path = tmp_path / "diverged.h5"
    shutil.copy(weights_dir / "notop.h5", path)
    with h5py.File(path, "r+") as file:
        find_kernel(file["block3_conv2"])[0, 0, 0, 0] = np.nan
    with refuse_file(path) as caught:
        build_vgg16(path)
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
        build_vgg16(tmp_path / name)


def test_a_layer_of_another_name_is_not_left_random(weights_dir, tmp_path):
    path = tmp_path / "renamed.h5"
    with h5py.File(weights_dir / "notop.h5") as file, h5py.File(path, "w") as renamed:
        for name in file:
            file.copy(name, renamed, name.replace("block3_conv2", "my_conv"))
        renamed.attrs.update(file.attrs)
    with refuse_file(path) as caught:
        build_vgg16(path)
    assert "no layer of the name block3_conv2" in str(caught.value)
    path.unlink()


def test_a_weights_file_that_is_missing_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.h5: expected a VGG16 weights file\. .*no"):
        build_vgg16(tmp_path / "gone.h5")


def test_what_is_no_weights_file_is_said(tmp_path):
    os.mkfifo(tmp_path / "pipe.h5")
    with refusal(f"{tmp_path}/pipe.h5: expected a file, received a pipe, device or socket."):
        build_vgg16(tmp_path / "pipe.h5")
    with refusal(f"Is a directory: '{tmp_path}'", IsADirectoryError):
        build_vgg16(tmp_path)


def test_a_weights_file_that_is_missing_is_said_before_the_machine_is_measured(clips_dir, tmp_path):
    flags = (
        f"--data={clips_dir}",
        f"--cache_dir={tmp_path}/cache",
        f"--weights={tmp_path}/gone.h5",
    )
    done = run_program("extract_features", *flags, check=False)
    assert done.returncode == 1
    assert f"error: {tmp_path}/gone.h5: expected a VGG16 weights file" in done.stderr
    assert "bfloat16" not in done.stderr and not (tmp_path / "cache").exists()


def test_a_file_that_cannot_be_read_is_not_said_to_hold_no_weights(weights_dir):
    model = build_vgg16()
    for name in ("notop.h5", "vgg16.weights.h5"):
        path = weights_dir / name
        with (
            no_more_open_files(),
            refusal(f"[Errno 24] Too many open files: '{path}'", OSError),
        ):
            load_weights_file(model, path)


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
        "--weights=FILE (with make: WEIGHTS=FILE). For a new cache, --weights=random needs no "
        "file, but its features have learnt nothing."
    ) in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "cache" / "cache.json").exists()


@pytest.mark.parametrize("name", ["HOME", "KERAS_HOME"])
def test_a_failed_download_says_where_keras_looks_without_a_folder(monkeypatch, tmp_path, name):
    def fail(**arguments):
        raise OSError("no network")

    monkeypatch.setattr(keras.applications, "VGG16", fail)
    monkeypatch.delenv("KERAS_HOME", raising=False)
    monkeypatch.setenv(name, f"{tmp_path}/gone")
    with refusal("(no network). Put", FileNotFoundError) as refused:
        backbone.build_vgg16(weights="imagenet", cut="block5_pool", image_size=32)
    assert " into /tmp/.keras/models, where Keras looks for it" in str(refused.value)
