"""Adam whose update is one pass over the weights; clipping and loss scaling of all optimizers."""

from train_head.head.layers import keras, tf


class _ClipSum:
    """Clips the gradient of the whole batch.

    Keras clips each device's part before it adds them up: parts are longer than their mean, so
    another number of devices would train another model.
    """

    def _clip_gradients(self, gradients):
        return gradients

    def _all_reduce_sum_gradients(self, grads_and_vars):
        summed = super()._all_reduce_sum_gradients(grads_and_vars)
        gradients, variables = zip(*summed, strict=True)
        if self.global_clipnorm:
            # Keras squares the gradients into memory of their own before it adds them up.
            gradients, _ = tf.clip_by_global_norm(gradients, self.global_clipnorm)
        else:
            gradients = super()._clip_gradients(gradients)
        return list(zip(gradients, variables, strict=True))


class ClippedSGD(_ClipSum, keras.optimizers.SGD):
    """Keras' SGD."""


class FusedAdam(_ClipSum, keras.optimizers.Adam):
    """Keras' Adam, computed by TensorFlow's fused kernel.

    Keras updates the two moments and the weight one after the other, each in several passes over
    memory. The FC layer has 51 million weights, so that this took half of a training step on a
    CPU; the kernel takes a third of it. The arithmetic is the same (Kingma and Ba 2015, the form
    before section 2.1), and so are the variables in a checkpoint.
    """

    def update_step(self, gradient, variable, learning_rate):
        number = self._get_variable_index(variable)
        step = tf.cast(self.iterations + 1, variable.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[number].value.handle,
            v=self._velocities[number].value.handle,
            beta1_power=tf.pow(tf.cast(self.beta_1, variable.dtype), step),
            beta2_power=tf.pow(tf.cast(self.beta_2, variable.dtype), step),
            lr=tf.cast(learning_rate, variable.dtype),
            beta1=tf.cast(self.beta_1, variable.dtype),
            beta2=tf.cast(self.beta_2, variable.dtype),
            epsilon=tf.cast(self.epsilon, variable.dtype),
            grad=tf.cast(gradient, variable.dtype),
        )


class LossScale(keras.optimizers.LossScaleOptimizer):
    """Keras' loss scaling, which leaves a step out where the gradient of any device overflows.

    Keras asks the first device alone: what overflows on another would make NaN of all weights.
    """

    def check_finite(self, grads):
        overflows = tf.cast(tf.logical_not(super().check_finite(grads)), tf.float32)
        context = tf.distribute.get_replica_context()
        return tf.equal(context.all_reduce(tf.distribute.ReduceOp.SUM, overflows), 0)
