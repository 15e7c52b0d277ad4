"""Tests how weights follow gradients: optimizers, clipping and schedules."""

import dataclasses
import functools

import numpy as np
import pytest
from small_data import make_config

from train_head.head.layers import keras, tf
from train_head.head.optimizer import OPTIMIZERS, build_optimizer, read_learning_rate
from train_head.run.config import TrainConfig


def make_step(gradients, **settings):
    """Returns what the first step of plain SGD adds to weights of 0."""
    config = make_config(optimizer="sgd", learning_rate=1.0, **settings)
    optimizer = build_optimizer(config, steps_per_epoch=1)
    variables = [keras.Variable(np.zeros_like(gradient)) for gradient in gradients]
    optimizer.apply([tf.constant(gradient) for gradient in gradients], variables)
    # Nesterov's momentum of 0.9 makes the first step 1.9 times the gradient.
    return [variable.numpy() / -1.9 for variable in variables]


GRADIENTS = [np.array([300.0, 0.1], np.float32), np.array([-400.0], np.float32)]


def test_clipnorm_bounds_the_norm_of_all_gradients_together():
    step = np.concatenate(make_step(GRADIENTS, clipnorm=0.5))
    assert np.linalg.norm(step) == pytest.approx(0.5, rel=1e-5)
    np.testing.assert_allclose(step, np.concatenate(GRADIENTS) / 1000, rtol=1e-4)
    small = [gradient / 1e4 for gradient in GRADIENTS]
    np.testing.assert_allclose(
        np.concatenate(make_step(small, clipnorm=0.5)), np.concatenate(small), rtol=1e-5
    )


def test_clipvalue_bounds_each_gradient():
    step = np.concatenate(make_step(GRADIENTS, clipnorm=0.0, clipvalue=0.5))
    np.testing.assert_allclose(step, [0.5, 0.1, -0.5], rtol=1e-5)


def test_clipping_can_be_off():
    step = np.concatenate(make_step(GRADIENTS, clipnorm=0.0))
    np.testing.assert_allclose(step, np.concatenate(GRADIENTS), rtol=1e-5)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer_has_the_settings(name):
    config = make_config(optimizer=name, learning_rate=0.25, clipnorm=2.0, schedule="constant")
    optimizer = build_optimizer(config, steps_per_epoch=1)
    assert float(optimizer.learning_rate) == 0.25
    assert optimizer.global_clipnorm == 2.0


KERAS_OPTIMIZERS = {
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
    "sgd": functools.partial(keras.optimizers.SGD, momentum=0.9, nesterov=True),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weights_follow_gradients_as_with_keras(name):
    config = make_config(optimizer=name, learning_rate=0.25, clipnorm=2.0, schedule="constant")
    ours = build_optimizer(config, steps_per_epoch=1)
    kerass = KERAS_OPTIMIZERS[name](0.25, global_clipnorm=2.0)
    random = np.random.RandomState(0)
    shapes = [(5, 3), (7,)]
    starts = [random.standard_normal(shape).astype(np.float32) for shape in shapes]
    found, expected = ([keras.Variable(x) for x in starts] for _ in range(2))
    for scale in (1e-3, 1.0, 100.0, 1.0):
        gradients = [tf.constant(scale * random.standard_normal(x), tf.float32) for x in shapes]
        ours.apply(gradients, found)
        kerass.apply(gradients, expected)
        for variable, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(variable.numpy(), other.numpy(), rtol=1e-4, atol=1e-5)
    # Of the one, a checkpoint is one of the other.
    for variable, other in zip(ours.variables, kerass.variables, strict=True):
        np.testing.assert_allclose(variable.numpy(), other.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "steps_per_epoch", "rate"),
    [
        ({}, 35, 3e-4),
        ({}, 32, 3e-4),
        ({}, 16, 6e-4),
        ({}, 1, 1e-3),
        ({"learning_rate": 2e-5}, 1, 2e-5),
        ({"schedule": "constant"}, 16, 6e-4),
        ({"warmup_epochs": 1.0}, 16, 6e-4),
    ],
)
def test_few_steps_are_larger_where_no_rate_is_given(settings, steps_per_epoch, rate):
    optimizer = build_optimizer(TrainConfig(**settings), steps_per_epoch=steps_per_epoch)
    optimizer.iterations.assign(steps_per_epoch if settings.get("warmup_epochs") else 0)
    assert read_learning_rate(optimizer) == pytest.approx(rate)


@pytest.mark.parametrize(("schedule", "halfway", "end"), [("cosine", 0.5, 0), ("constant", 1, 1)])
def test_schedule_spans_all_epochs(schedule, halfway, end):
    config = make_config(optimizer="sgd", learning_rate=1.0, schedule=schedule, epochs=5)
    optimizer = build_optimizer(config, steps_per_epoch=4)
    rates = []
    for step in (0, 10, 20):
        optimizer.iterations.assign(step)
        rates.append(float(optimizer.learning_rate))
    np.testing.assert_allclose(rates, [1, halfway, end], atol=1e-6)


@pytest.mark.parametrize(("schedule", "end"), [("cosine", 0), ("constant", 2)])
@pytest.mark.parametrize(("warmup_epochs", "warmup_steps"), [(1.0, 4), (0.5, 2), (2.25, 9)])
def test_warm_up_rises_from_zero_before_the_schedule(schedule, end, warmup_epochs, warmup_steps):
    config = make_config(
        optimizer="sgd",
        learning_rate=2.0,
        schedule=schedule,
        epochs=5,
        warmup_epochs=warmup_epochs,
    )
    optimizer = build_optimizer(config, steps_per_epoch=4)
    halfway = (warmup_steps + 20) / 2  # of what follows the warm-up
    rates = []
    for step in (0, 1, warmup_steps, halfway, 20):
        optimizer.iterations.assign(int(step))
        rates.append(float(optimizer.learning_rate))
    np.testing.assert_allclose(rates[:3], [0, 2 / warmup_steps, 2], atol=1e-6)
    assert rates[3] == pytest.approx((2 + end) / 2, abs=0.15)
    assert rates[4] == pytest.approx(end, abs=1e-6)


@pytest.mark.parametrize(("epochs", "warmup_epochs"), [(1, 0.9), (3, 2.6)])
def test_warm_up_leaves_a_step_at_the_full_rate(epochs, warmup_epochs):
    config = make_config(
        optimizer="sgd", learning_rate=2.0, epochs=epochs, warmup_epochs=warmup_epochs
    )
    optimizer = build_optimizer(config, steps_per_epoch=1)
    optimizer.iterations.assign(epochs - 1)
    assert read_learning_rate(optimizer) == 2.0


def test_warm_up_that_does_not_end_is_refused():
    with pytest.raises(ValueError, match=r"--warmup_epochs=3\.0, --epochs=3\. Shorten it"):
        make_config(warmup_epochs=3.0, epochs=3)


def test_float16_scales_the_loss():
    optimizer = build_optimizer(make_config(), steps_per_epoch=1, dtype_policy="mixed_float16")
    assert float(optimizer.scale_loss(1.0)) > 1
    assert float(optimizer.learning_rate) == pytest.approx(1e-2)


def test_two_ways_of_clipping_are_refused():
    with pytest.raises(ValueError, match=r"not both\. Received: --clipnorm=1\.0, --clipvalue=0\.5"):
        dataclasses.replace(make_config(), clipnorm=1.0, clipvalue=0.5)
