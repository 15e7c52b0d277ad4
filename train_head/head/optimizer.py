"""How weights follow gradients: the optimizers by the names of `--optimizer`, and the schedule.

Keras is imported inside the functions, since the flags read the names and `--help` does not wait
for TensorFlow.
"""

from train_head.run.config import TrainConfig

_ADAMW_WEIGHT_DECAY = 0.004  # Keras' default for AdamW
# Of what `choose_learning_rate` chooses; benchmarks/RECIPE.md has the experiments.
_LEARNING_RATE = 3e-4
_HIGHEST_LEARNING_RATE = 1e-3
_MANY_STEPS = 32


def _build_adam(**settings):
    from train_head.head.fused_adam import FusedAdam

    return FusedAdam(**settings)


def _build_adamw(**settings):
    from train_head.head.fused_adam import FusedAdam

    return FusedAdam(weight_decay=_ADAMW_WEIGHT_DECAY, **settings)


def _build_sgd(**settings):
    from train_head.head.fused_adam import ClippedSGD

    return ClippedSGD(momentum=0.9, nesterov=True, **settings)


# From Keras' settings `learning_rate`, `global_clipnorm` and `clipvalue` to an optimizer.
OPTIMIZERS = {"adam": _build_adam, "adamw": _build_adamw, "sgd": _build_sgd}


def build_optimizer(
    config: TrainConfig,
    *,
    steps_per_epoch: int,
    dtype_policy: str = "float32",
):
    """Builds the optimizer, with its schedule, and clipping by global norm or by value as asked.

    Args:
        config: Optimizer, learning rate, schedule and clipping.
        steps_per_epoch: Steps of an epoch.
        dtype_policy: For `mixed_float16` the loss is scaled, so that small gradients are not
            rounded to zero.

    Returns:
        A Keras optimizer.
    """
    optimizer = OPTIMIZERS[config.optimizer](
        learning_rate=_build_schedule(config, steps_per_epoch),
        global_clipnorm=config.clipnorm or None,
        clipvalue=config.clipvalue or None,
    )
    if dtype_policy == "mixed_float16":
        from train_head.head.fused_adam import LossScale

        return LossScale(optimizer)
    return optimizer


def choose_learning_rate(config: TrainConfig, steps_per_epoch: int) -> float:
    """Returns the highest learning rate: the settings', or else one by the steps of an epoch.

    Few steps, of few clips or of large batches, are larger in proportion, up to a limit.
    """
    if config.learning_rate is not None:
        return config.learning_rate
    few = max(1.0, _MANY_STEPS / steps_per_epoch)
    return min(_LEARNING_RATE * few, _HIGHEST_LEARNING_RATE)


def read_learning_rate(optimizer) -> float:
    """Returns the learning rate of an optimizer's next step, on any number of devices."""
    import keras

    # Of several devices, a constant rate is a variable that float() alone takes for no number.
    return float(keras.ops.convert_to_numpy(optimizer.learning_rate))


def _build_schedule(config: TrainConfig, steps_per_epoch: int):
    import keras

    learning_rate = choose_learning_rate(config, steps_per_epoch)
    if config.schedule == "constant" and not config.warmup_epochs:
        return learning_rate
    num_steps = config.epochs * steps_per_epoch
    # At least the last step is at the full rate: a warm-up's first one moves nothing.
    warmup_steps = min(round(config.warmup_epochs * steps_per_epoch), num_steps - 1)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup_steps else learning_rate,
        warmup_target=learning_rate if warmup_steps else None,
        warmup_steps=warmup_steps,
        decay_steps=num_steps - warmup_steps,
        # The part of the learning rate that is left at the end: all of it, where it stays.
        alpha=1.0 if config.schedule == "constant" else 0.0,
    )
