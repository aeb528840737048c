"""Several devices of a machine under TensorFlow: each has all weights, and a part of a batch."""

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from recipes.devices import Devices, chosen
from zoo.errors import InputError

if TYPE_CHECKING:
    from recipes.recipe import Recipe


class Mirrored(Devices):
    """Devices that `tf.distribute.MirroredStrategy` keeps alike.

    Args:
        devices: their number, or "all".

    Raises:
        InputError: they are not there.
    """

    def __init__(self, devices: int | str) -> None:
        kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
        names = [device.name for device in tf.config.list_logical_devices(kind)]
        names = chosen(names, devices, kind)
        self.count = len(names)
        # Accelerators exchange gradients by NCCL, which the strategy chooses itself.
        ops = None if kind == "GPU" else tf.distribute.ReductionToOneDevice()
        self._strategy = tf.distribute.MirroredStrategy(names, cross_device_ops=ops)

    def check(self, recipe: "Recipe", task: str, carried: bool) -> None:
        """Refuse a recipe that these devices would not train as one does.

        Each reads its part of a batch, and a text's tokens, a range of activations and a carried
        state are of the whole.
        """
        for what, asked in (
            ("a model that carries its states from batch to batch", carried),
            ("a loss of tokens", task in ("translation", "language_modeling")),
            ("quantize", bool(recipe.quantize)),
        ):
            if asked:
                cure = "one device" if carried else "one device, or JAX (KERAS_BACKEND=jax)"
                raise InputError(
                    f"{what} is of a whole batch, and several devices have parts of one under "
                    f"TensorFlow: take {cure}."
                )

    def scope(self) -> AbstractContextManager[Any]:
        """Return the context in which a model is loaded, compiled and trained."""
        return self._strategy.scope()

    def spread(self, model: keras.Model) -> keras.Model:
        """Return what is trained: a model of the same layers, whose batches are divided."""
        for layer in model._flatten_layers():
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.synchronized = True  # by the statistics of the batch, and not of its part
            for generator in layer._seed_generators:  # each device draws for other examples
                for number, state in enumerate(generator.state.value.values):
                    state.assign_add([number, 0])
        return _MirroredModel(model.inputs, model.outputs, name=model.name)


class _MirroredModel(keras.Model):
    """A model whose parts of a batch count by their examples, however the batch was divided.

    Keras takes the mean of the parts' means: where a last batch does not divide, an example of a
    small part would weigh more than one of a large, and a part without any is not a number.
    """

    def train_step(self, data: Any) -> dict[str, Any]:
        """Take one step on this device's part of a batch."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        context = tf.distribute.get_replica_context()
        count = _examples(x)
        share = count / context.all_reduce(tf.distribute.ReduceOp.SUM, count)
        with tf.GradientTape() as tape:
            outputs = self(x, training=True)
            mean = self._mean_loss(x, y, outputs, sample_weight, training=True)
            # The optimizer adds up what the devices have.
            loss = self.optimizer.scale_loss(share * mean)
        variables = self.trainable_variables
        gradients = [
            None if one is None else tf.where(count > 0, one, tf.zeros_like(one))
            for one in tape.gradient(loss, variables)
        ]
        self.optimizer.apply(self._clipped(gradients, context), variables)
        self._loss_tracker.update_state(tf.where(count > 0, mean, 0.0), sample_weight=count)
        return self.compute_metrics(x, y, outputs, sample_weight)

    def _clipped(self, gradients: list[Any], context: Any) -> list[Any]:
        """Return gradients whose sum over the devices has at most the optimizer's norm.

        Keras clips each device's own before it adds them up.
        """
        optimizer: Any = self.optimizer
        most = getattr(optimizer, "inner_optimizer", optimizer).global_clipnorm
        if most is None:
            return gradients
        whole = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        whole, _ = tf.clip_by_global_norm(whole, optimizer.scale_loss(most))
        return [one / context.num_replicas_in_sync for one in whole]

    def test_step(self, data: Any) -> dict[str, Any]:
        """Measure this device's part of a batch."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        count = _examples(x)
        outputs = self(x, training=False)
        mean = self._mean_loss(x, y, outputs, sample_weight, training=False)
        self._loss_tracker.update_state(tf.where(count > 0, mean, 0.0), sample_weight=count)
        return self.compute_metrics(x, y, outputs, sample_weight)

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        """Build metrics by the first part of a batch.

        Keras' own takes the mean of all parts, as if they were of one size.
        """
        if iterator is not None:
            _, _, steps = next(iter(iterator))
            parts = self.distribute_strategy.experimental_local_results
            data_batch = keras.tree.map_structure(lambda x: parts(x)[0], next(steps))
        super()._maybe_symbolic_build(data_batch=data_batch)

    def _mean_loss(
        self, x: Any, y: Any, outputs: Any, sample_weight: Any, training: bool
    ) -> tf.Tensor:
        """Return the mean over this device's examples: Keras gives its share of the devices'."""
        loss = self.compute_loss(x, y, outputs, sample_weight, training)
        return loss * tf.distribute.get_strategy().num_replicas_in_sync


def _examples(x: Any) -> tf.Tensor:
    return tf.cast(tf.shape(keras.tree.flatten(x)[0])[0], tf.float32)
