"""A process of somebody else's decides nothing, and stays as it is."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import ROOT
from refusals import refusal
from small_data import make_ramps, train, write_cache
from small_vgg16 import build_vgg16

from lrcn.common.programs.tensorflow_start import import_tensorflow
from lrcn.common.vgg16.backbone import build_bottom, make_padded_forward
from train_head.head.run_model import load_model

import_tensorflow()

import keras  # noqa: E402  after TensorFlow's start

# Somebody else's process, whose objects may become garbage yet, without a stderr.
HOST_PROGRAM = """
import gc, os, weakref
class Held:
    pass
held = Held()
held.itself, find_held = held, weakref.ref(held)
gc.disable()
os.close(2)
from lrcn.common.programs.tensorflow_start import import_tensorflow
import_tensorflow()
import keras
del held
gc.collect()
print(find_held(), gc.isenabled())
keras.wrappers.SKLearnClassifier(lambda inputs, targets: None)  # raises without scikit-learn
print(keras.config.backend(), keras.config.floatx(), keras.config.image_data_format())
print(keras.config.epsilon())
print(os.environ["TF_ENABLE_ONEDNN_OPTS"])
import tensorflow as tf
print(tf.config.experimental.tensor_float_32_execution_enabled())
"""


def test_a_host_process_stays_as_it_is(tmp_path):
    (tmp_path / "keras.json").write_text(
        '{"backend": "numpy", "floatx": "float16", "image_data_format": "channels_first", '
        '"epsilon": 0.5, "nnx_enabled": true}'
    )
    done = subprocess.run(
        [sys.executable, "-c", HOST_PROGRAM],
        cwd=ROOT,
        env={**os.environ, "KERAS_HOME": str(tmp_path), "TF_ENABLE_ONEDNN_OPTS": "0"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (
        0,
        "None False\ntensorflow float32 channels_last\n1e-07\n0\nFalse\n",
    )


@pytest.mark.parametrize("settings", ["[1, 2]", '{"floatx": "int7"}', '{"floatx": []}'])
def test_settings_that_keras_cannot_read_are_named(run_dir, tmp_path, settings):
    path = tmp_path / "keras.json"
    path.write_text(settings)
    done = subprocess.run(
        [sys.executable, "-m", "train_head.predict", f"--run_dir={run_dir}", ROOT / "tests"],
        cwd=ROOT,
        env={**os.environ, "KERAS_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {path}: expected settings of Keras. Received some that")
    assert done.stderr.endswith("Correct the file or remove it; nothing in it is needed here.\n")


def test_keras_on_another_backend_is_refused(monkeypatch):
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    with refusal("Received: Keras that was imported on jax. Set KERAS_BACKEND", RuntimeError):
        import_tensorflow()


def compute(folder: Path) -> list[np.ndarray]:
    """Computes features, and the weights of a head."""
    forward = make_padded_forward(build_bottom(build_vgg16(), "block5_pool"), max_batch_size=2)
    frames = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    cache = write_cache(folder / "cache", make_ramps(4, split="train"))
    run = train(cache, folder / "run", rnn="gru", output="mean")
    return [forward(frames), *load_model(run).get_weights()]


@pytest.fixture(scope="module")
def of_program(tmp_path_factory):
    """What a program computes."""
    return compute(tmp_path_factory.mktemp("program"))


@pytest.fixture
def of_host():
    """Sets what a host may have set for models of its own; puts all back in the end."""
    config = keras.config
    kept = [config.dtype_policy(), config.floatx(), config.image_data_format(), config.epsilon()]

    def set_keras(policy, floatx, data_format, epsilon):
        config.set_dtype_policy(policy)
        config.set_floatx(floatx)
        config.set_image_data_format(data_format)
        config.set_epsilon(epsilon)

    yield set_keras
    set_keras(*kept)


@pytest.mark.parametrize(
    "settings",
    [
        ("mixed_float16", "float32", "channels_last", 2.0),
        ("float64", "float64", "channels_last", 1e-7),
        ("float16", "float16", "channels_first", 1e-7),
    ],
)
def test_what_a_host_has_set_decides_neither_features_nor_a_head(
    of_program, of_host, settings, tmp_path
):
    of_host(*settings)
    for values, others in zip(compute(tmp_path), of_program, strict=True):
        np.testing.assert_array_equal(values, others, strict=True)
    config = keras.config
    kept = config.floatx(), config.image_data_format(), config.epsilon()
    assert (config.dtype_policy().name, *kept) == settings
