"""What both stages compute has kernels for GPUs, in the dtypes that it is computed in.

For what has none, TensorFlow copies to the CPU and back in every step, without a word. Its packages
for Linux know their kernels for GPUs also where there is no GPU.
"""

import sys
from collections.abc import Iterator

import pytest
from small_data import make_config
from small_heads import make_head
from small_vgg16 import build_vgg16

from lrcn.common.programs.devices import COMPUTE_DTYPES
from lrcn.common.programs.tensorflow_start import import_tensorflow
from lrcn.common.vgg16 import backbone
from train_head.head.layers import keras
from train_head.head.optimizer import build_optimizer
from train_head.training.counted_accuracy import CountedAccuracy

tf = import_tensorflow()

from tensorflow.python.framework import kernels  # noqa: E402  with TensorFlow's noise dealt with

pytestmark = pytest.mark.skipif(
    not tf.test.is_built_with_cuda(), reason="this TensorFlow knows no kernels for GPUs"
)


@pytest.fixture
def with_gpu(monkeypatch):
    """Has Keras choose RNNs as where there is a GPU."""
    # Keras hides the module behind a function of the same name.
    module = sys.modules["keras.src.backend.tensorflow.rnn"]
    monkeypatch.setattr(module, "_is_gpu_available", lambda: True)


def iter_ops(graph) -> Iterator[tf.Operation]:
    """Yields the operations of a graph and of the functions that it calls."""
    yield from graph.get_operations()
    for function in graph._functions.values():
        yield from iter_ops(function.graph)


def has_gpu_kernel(op: tf.Operation) -> bool:
    found = kernels.get_registered_kernels_for_op(op.type).kernel
    return any(
        kernel.device_type in ("GPU", "DEFAULT") and all(map(_allows(op), kernel.constraint))
        for kernel in found
    )


def _allows(op: tf.Operation):
    def allows(constraint) -> bool:
        allowed = constraint.allowed_values.list.type
        if not allowed:  # of something else than a dtype
            return True
        value = op.get_attr(constraint.name)
        dtypes = value if isinstance(value, list) else [value]
        return all(dtype.as_datatype_enum in allowed for dtype in dtypes)

    return allows


def find_without_kernel(graph) -> set[str]:
    """Returns what would run on the CPU, but for what comes in, and the texts of errors."""
    return {
        f"{op.type} of {', '.join(x.dtype.name for x in op.inputs)}"
        for op in iter_ops(graph)
        if op.type not in ("Placeholder", "Const") and not has_gpu_kernel(op)
    }


def test_what_has_no_kernel_is_found():
    @tf.function
    def multiply(rows):
        @tf.function  # called, and no part of the graph itself
        def inner(rows):
            return tf.matmul(rows, rows)

        return inner(rows)

    specs = [tf.TensorSpec((2, 2), dtype) for dtype in (tf.float64, tf.int32)]
    of_float64, of_int32 = (multiply.get_concrete_function(spec).graph for spec in specs)
    assert find_without_kernel(of_float64) == set()
    assert find_without_kernel(of_int32) == {"MatMul of int32, int32"}


@pytest.mark.parametrize("compute_dtype", COMPUTE_DTYPES)
def test_all_of_vgg16_has(compute_dtype):
    cut = "block4_pool"
    vgg16 = build_vgg16(cut=cut, compute_dtype=compute_dtype)
    for part in (backbone.build_bottom(vgg16, cut), backbone.build_top(vgg16, cut)):
        assert find_without_kernel(backbone.make_forward(part, batch_size=2).graph) == set()


@pytest.mark.parametrize(
    ("policy", "settings"),
    [
        ("mixed_float16", {"sequence": "ragged", "labels": "frame"}),
        ("float32", {"rnn": "bigru", "output": "mean", "frame_pooling": "attention"}),
        ("mixed_bfloat16", {"rnn": "lstm", "optimizer": "sgd", "clipnorm": 0.0, "clipvalue": 1.0}),
        ("float32", {"rnn": "none", "sequence": "ragged", "output": "attention_pool"}),
    ],
    ids=["gru", "bigru", "lstm", "none"],
)
def test_all_of_a_training_step_has(policy, settings, with_gpu):
    head = make_head(dtype_policy=policy, **settings)
    graph = trace_step(head, make_config(**settings), policy)
    assert find_without_kernel(graph) == set()
    of_cudnn = {op.type for op in iter_ops(graph) if "Cudnn" in op.type}
    wanted = {"CudnnRNNV3", "CudnnRNNBackpropV3"} if settings.get("rnn") != "none" else set()
    assert of_cudnn == wanted


def trace_step(head, config, policy):
    """Traces a step of training, and returns its graph."""
    optimizer = build_optimizer(config, steps_per_epoch=2, dtype_policy=policy)
    head.compile(
        optimizer=optimizer,
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        weighted_metrics=[CountedAccuracy(name="top1")],
        jit_compile=False,
    )
    optimizer.build(head.trainable_variables)
    inputs = tf.nest.map_structure(lambda x: tf.TensorSpec(x.shape, x.dtype), head.input)
    rank = 2 if config.labels == "frame" else 1
    targets = [tf.TensorSpec((None,) * rank, dtype) for dtype in (tf.int32, tf.float32)]

    @tf.function
    def step(*batch):
        return head.train_step(batch)

    return step.get_concrete_function(inputs, *targets).graph
