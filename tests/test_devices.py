"""Tests what is chosen by device; training on several, with logical CPUs in place of GPUs."""

import os
import platform
import re
from pathlib import Path

import numpy as np
import pytest
from commands import run_python
from small_data import make_config, make_ramps, train, write_cache
from small_labels import FRAME_COLUMNS, write_csv

from lrcn.common.cache.run_dir import RunDir
from lrcn.common.programs import devices
from lrcn.common.programs.devices import make_strategy
from lrcn.common.programs.machine import count_cores, find_memory_bytes
from lrcn.common.programs.tensorflow_start import import_tensorflow
from train_head.run.history import read_history
from train_head.training.fitting import choose_policy

tf = import_tensorflow()

from tensorflow.python.util import _pywrap_util_port  # noqa: E402  after TensorFlow's start

SETTINGS = {
    "sequence": "ragged",
    "epochs": 2,
    "dropout": 0.0,
    "input_dropout": 0.0,
    "clipnorm": 0.1,
    "class_weights": "balanced",
}
# Of another size, clipped another way, and at a rate that is a number and no function of the step.
FRAME_SETTINGS = {
    **SETTINGS,
    "labels": "frame",
    "rnn": "none",
    "fc_units": 24,
    "optimizer": "sgd",
    "schedule": "constant",
    "clipnorm": 0.0,
    "clipvalue": 0.01,
}
# Devices are divided before TensorFlow computes, so this takes a process of its own.
PROGRAM = f"""
import sys
from pathlib import Path
sys.path[:0] = ["tests"]
from lrcn.common.programs.tensorflow_start import import_tensorflow
tf = import_tensorflow()
tf.config.set_visible_devices([], "GPU")
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from small_data import make_config
from lrcn.common.cache.open_cache import read_cache
from lrcn.common.cache.run_dir import RunDir
from train_head.training.train import train_run
from train_head.run.training_data import TrainingData
cache = read_cache(sys.argv[1])
options = dict(run=RunDir(sys.argv[2]), checkpoint_sec=60)
try:
    train_run(make_config(batch_size=5), TrainingData(cache), devices="all", **options)
except ValueError as error:
    print(error)
train_run(make_config(**{SETTINGS}), TrainingData(cache), devices="2", **options)
options["run"] = RunDir(sys.argv[3])
data = TrainingData(cache, frame_labels_path=Path(sys.argv[4]))
train_run(make_config(**{FRAME_SETTINGS}), data, devices="2", **options)

# Float16 on two devices, where the gradient of the second overflows in the second step.
import numpy as np
from lrcn.common.programs.devices import make_strategy
from train_head.head.layers import keras
from train_head.head.optimizer import build_optimizer
strategy = make_strategy("2")
with strategy.scope():
    config = make_config(optimizer="sgd", learning_rate=1.0, clipnorm=1.0, schedule="constant")
    optimizer = build_optimizer(config, steps_per_epoch=1, dtype_policy="mixed_float16")
    variable = keras.Variable(np.zeros(2, np.float32))
    optimizer.build([variable])

@tf.function
def step(overflows):
    replica = tf.distribute.get_replica_context().replica_id_in_sync_group
    gradient = optimizer.scale_loss(tf.constant([0.3, 0.4]) / 2)  # of each, its share
    optimizer.apply([tf.where(overflows & (replica > 0), np.inf, gradient)], [variable])

for overflows in (False, True):
    strategy.run(step, args=(tf.constant(overflows),))
    moved = [round(float(x), 4) for x in variable.numpy() / -1.9]
    print(moved, float(optimizer.scale_loss(1.0)))
"""


@pytest.mark.skipif(
    "TF_NUM_INTRAOP_THREADS" in os.environ or os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "0",
    reason="who runs the tests has set TensorFlow up",
)
def test_tensorflow_has_all_cores_and_onednn():
    assert tf.config.threading.get_intra_op_parallelism_threads() == count_cores()
    assert _pywrap_util_port.IsMklEnabled() or platform.machine() != "x86_64"


def test_two_devices_train_like_one(tmp_path):
    features = {**make_ramps(7, split="train"), **make_ramps(4, split="val")}
    # Two devices cannot share 13 train clips, nor 7 val clips.
    for last in ("rise/train_6", "rise/val_3"):
        del features[next(clip for clip in features if clip.clip_id == last)]
    cache = write_cache(tmp_path / "cache", features)
    # Of unlike numbers of frames in each clip, so that no device has its share of them.
    lines = []
    for i, clip in enumerate(features):
        lines += [f"{clip.clip_id},0,{1 + i % 4},first", f"{clip.clip_id},4,9,then"]
    labels_path = write_csv(tmp_path, *lines, columns=FRAME_COLUMNS)
    names = ("one", "two", "one_frames", "two_frames")
    runs = {name: RunDir(tmp_path / name) for name in names}
    paths = (cache.cache_dir, runs["two"].path, runs["two_frames"].path, labels_path)
    done = run_python(PROGRAM, *paths)
    assert done.stdout == (
        "Expected a --batch_size that 2 devices can share equally. Received: 5. Take a multiple "
        "of 2.\n"
        # The step that overflows moves nothing and halves the scale.
        "[0.3, 0.4] 32768.0\n[0.3, 0.4] 16384.0\n"
    )
    train(cache, runs["one"].path, rnn="gru", **SETTINGS)
    train(cache, runs["one_frames"].path, frame_labels_path=labels_path, **FRAME_SETTINGS)
    histories = {name: read_history(run.history_path) for name, run in runs.items()}
    for one, two in (("one", "two"), ("one_frames", "two_frames")):
        for name in ("val_loss", "val_top1", "learning_rate"):
            values = [[row[name] for row in histories[run]] for run in (two, one)]
            np.testing.assert_allclose(*values, rtol=1e-4)


@pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="a GPU is not measured")
def test_auto_takes_bfloat16_where_it_is_measured_to_be_faster(caplog):
    devices._measure_bfloat16_speedup.cache_clear()  # by another test of this process
    with caplog.at_level("INFO", logger="absl"):
        chosen = [devices.choose_compute_dtype("auto") for _ in range(2)]
    speedups = re.findall(r"bfloat16 is (.*) times as fast as float32", caplog.text)
    # Once a process, and only where the CPU has instructions for it.
    has_instructions = re.search("avx512_bf16|amx_bf16", Path("/proc/cpuinfo").read_text())
    assert len(speedups) == bool(has_instructions)
    is_faster = bool(speedups) and float(speedups[0]) >= 1.6
    assert chosen == ["bfloat16" if is_faster else "float32"] * 2


@pytest.mark.parametrize(
    ("capability", "policy"), [((7, 0), "mixed_float16"), ((8, 0), "mixed_bfloat16")]
)
def test_a_gpu_trains_with_half_the_bits_where_that_is_asked_for(monkeypatch, capability, policy):
    details = {"compute_capability": capability}
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["GPU:0"])
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: details)
    assert choose_policy(make_config(mixed_precision=True)) == policy
    assert choose_policy(make_config()) == "float32"


def test_more_devices_than_there_are_are_refused():
    with pytest.raises(ValueError, match=r"--devices=99: expected from 1 to the \d+ that Tensor"):
        make_strategy("99")
    assert make_strategy("1").num_replicas_in_sync == 1


@pytest.mark.parametrize("name", ["memory.max", "memory/memory.limit_in_bytes"])
def test_memory_is_that_of_the_container(name, tmp_path):
    whole = find_memory_bytes(tmp_path)
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    for text, expected in (("max", whole), (str(2**62), whole), (f"{whole // 2}\n", whole // 2)):
        path.write_text(text)
        assert find_memory_bytes(tmp_path) == expected


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("0::/slurm/job_7/step_0", "slurm/job_7/memory.max"),
        ("4:memory:/slurm/job_7", "memory/slurm/job_7/memory.limit_in_bytes"),
    ],
)
def test_memory_is_that_of_a_job_whose_group_is_not_the_topmost(line, path, tmp_path):
    half = find_memory_bytes(tmp_path) // 2
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text(f"{half}\n")
    (tmp_path / "own").write_text(f"9:name=systemd:/\n{line}\n")
    assert find_memory_bytes(tmp_path, tmp_path / "own") == half


def test_cores_are_those_of_a_job_whose_group_is_not_the_topmost(tmp_path):
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "cpu.max").write_text("50001 100000\n")
    (tmp_path / "own").write_text("0::/job\n")
    assert count_cores(tmp_path, tmp_path / "own") == 1


@pytest.mark.parametrize("version", [1, 2])
def test_cores_are_those_of_the_container(version, tmp_path):
    (tmp_path / "cpu").mkdir()
    every = count_cores(tmp_path)
    for quota, expected in (("max", every), (100_000 * every + 1, every), (50_001, 1)):
        if version == 2:
            (tmp_path / "cpu.max").write_text(f"{quota} 100000\n")
        else:
            quota = -1 if quota == "max" else quota
            (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(f"{quota}\n")
            (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
        assert count_cores(tmp_path) == expected
