"""A model's mean loss over all examples as a function of its flattened weights."""

import math
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo.errors import InputError

_REMEMBERED = 3  # evaluations: methods ask for the same again
_ROWS = 4_000_000  # numbers of an intermediate result while a Hessian is made


class Objective:
    """A mean loss, with its derivatives by all trainable weights at once, over all examples.

    What the model's own regularizers add is in it.

    Weights and derivatives are float64 vectors `(size,)`; between, the model computes in its own
    precision. A model keeps the weights that were asked about last.

    Args:
        model: a built model with one input and one output.
        loss: Keras name of a loss, or a `keras.losses.Loss`.
        data: inputs and targets; class numbers may stand for one-hot targets.
        l2: weight of half the squared kernels (weights of two dimensions or more) in the loss.
        batch_size: examples of one pass through the network; default all.

    Attributes:
        size: number of weights.
        passes: how often all examples were gone through, for a loss with its gradient or for a
            product of the Hessian with a vector.

    Raises:
        InputError: what is given does not fit together.

    Example:
        >>> import numpy as np
        >>> import zoo
        >>> from recipes.objective import Objective
        >>> model = zoo.build("linear", input_shape=(2,))
        >>> data = np.eye(2, dtype="float32"), np.ones((2, 1), "float32")
        >>> objective = Objective(model, "mean_squared_error", data)
        >>> value, gradient = objective.value_and_gradient(np.zeros(3))
        >>> value, gradient.tolist()
        (1.0, [-1.0, -1.0, -2.0])
    """

    def __init__(
        self,
        model: keras.Model,
        loss: "str | keras.losses.Loss",
        data: tuple[Any, Any],
        *,
        l2: float = 0.0,
        batch_size: int | None = None,
    ) -> None:
        if len(getattr(model, "inputs", None) or ()) != 1 or len(model.outputs) != 1:
            raise InputError(
                f"{model.name!r} must be built, and have one input and one output: see keras.Input."
            )
        self.model, self.l2, self.given_loss = model, l2, loss
        self.variables = [variable.value for variable in model.trainable_variables]
        if not self.variables:
            raise InputError(f"{model.name!r} has no weights that can be trained.")
        self.sizes = [math.prod(variable.shape) for variable in self.variables]
        self.size = sum(self.sizes)
        self.name, self._loss = _loss(loss)
        self.from_logits = bool(getattr(loss, "_fn_kwargs", {}).get("from_logits", False))
        self.regularized = any(map(_regularizers, model._flatten_layers()))
        inputs, targets = data
        if not len(inputs) or len(inputs) != len(targets):
            raise InputError(f"{len(inputs)} inputs and {len(targets)} targets do not fit.")
        self.dtype = self.variables[0].dtype
        self.examples = len(inputs)
        wanted, found = tuple(model.inputs[0].shape[1:]), np.shape(inputs)[1:]
        if len(wanted) != len(found) or any(
            side not in (None, given) for side, given in zip(wanted, found, strict=True)
        ):
            raise InputError(f"{model.name!r} takes inputs of {wanted}, and these are {found}.")
        self.inputs = tf.constant(inputs)
        self.targets = tf.constant(self._targets(np.asarray(targets)))
        if batch_size is not None and not (isinstance(batch_size, int) and batch_size > 0):
            raise InputError(f"batch_size is a whole number above 0, not {batch_size!r}.")
        self.batch_size = batch_size or self.examples
        self.passes = 0
        self._decay = l2 * np.concatenate(
            [
                np.full(size, float(v.shape.rank >= 2))
                for v, size in zip(self.variables, self.sizes, strict=True)
            ]
        )
        self._recent: deque[tuple[np.ndarray, float, np.ndarray]] = deque(maxlen=_REMEMBERED)
        compiled = lambda call: tf.function(call, autograph=False, reduce_retracing=True)  # noqa: E731
        self._total, self._slopes, self._product, self._curvature, self._outer = map(
            compiled,
            (self._total_of, self._slopes_of, self._product_of, self._curvature_of, self._outer_of),
        )

    def weights(self) -> np.ndarray:
        """Return the weights that the model has."""
        return np.concatenate([v.numpy().ravel() for v in self.variables]).astype("float64")

    def give(self, model: keras.Model, weights: np.ndarray) -> None:
        """Set the trainable weights of a model of the same form."""
        places = np.cumsum(self.sizes)[:-1]
        for variable, part in zip(
            model.trainable_variables, np.split(weights, places), strict=True
        ):
            variable.assign(part.reshape(variable.shape))

    def on(self, data: tuple[Any, Any]) -> "Objective":
        """Return the same loss over other examples."""
        return Objective(self.model, self.given_loss, data, l2=self.l2, batch_size=self.batch_size)

    def value(self, weights: np.ndarray) -> float:
        """Return the loss."""
        for known, value, _ in self._recent:
            if np.array_equal(known, weights):
                return value
        flat = self._flat(weights)
        self.passes += 1
        total = sum(float(self._total(flat, *part)) for part in self._parts(self.batch_size))
        return total / self.examples + self._decay_at(weights)

    def value_and_gradient(self, weights: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the loss and its gradient."""
        for known, value, gradient in self._recent:
            if np.array_equal(known, weights):
                return value, gradient
        flat = self._flat(weights)
        self.passes += 1
        total, slopes = 0.0, np.zeros(self.size)
        for part in self._parts(self.batch_size):
            found = self._slopes(flat, *part)
            total += float(found[0])
            slopes += found[1].numpy()
        value = total / self.examples + self._decay_at(weights)
        gradient = slopes / self.examples + self._decay * weights
        self._recent.append((weights.copy(), value, gradient))
        return value, gradient

    known = value_and_gradient

    def gradient(self, weights: np.ndarray) -> np.ndarray:
        """Return the gradient of the loss."""
        return self.value_and_gradient(weights)[1]

    def hessian_product(self, weights: np.ndarray, direction: np.ndarray) -> np.ndarray:
        """Return the product of the Hessian with a vector, without the Hessian."""
        flat, along = self._flat(weights), self._flat(direction)
        self.passes += 1
        product = np.zeros(self.size)
        for part in self._parts(self.batch_size):
            product += self._product(flat, along, *part).numpy()
        return product / self.examples + self._decay * direction

    def hessian(self, weights: np.ndarray) -> np.ndarray:
        """Return the Hessian `(size, size)`; it counts as one pass for each of its rows."""
        self.passes += self.size
        found = self._summed(self._curvature, weights) / self.examples
        return (found + found.T) / 2 + np.diag(self._decay)

    def gauss_newton(self, weights: np.ndarray) -> np.ndarray:
        """Return the Hessian of a mean squared error without the outputs' curvature."""
        self.passes += math.prod(self.model.outputs[0].shape[1:])
        return self._summed(self._outer, weights) / self.examples + np.diag(self._decay)

    fisher = gauss_newton

    def _summed(self, of_part: Callable[..., Any], weights: np.ndarray) -> np.ndarray:
        flat, result = self._flat(weights), np.zeros((self.size, self.size))
        for part in self._parts(max(1, min(self.batch_size, _ROWS // self.size))):
            result += of_part(flat, *part).numpy()
        return result

    def _parts(self, size: int) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
        for start in range(0, self.examples, size):
            yield self.inputs[start : start + size], self.targets[start : start + size]

    def _flat(self, vector: np.ndarray) -> tf.Tensor:
        return tf.constant(vector, self.dtype)

    def _decay_at(self, weights: np.ndarray) -> float:
        return float(self._decay @ weights**2) / 2

    def _total_of(self, flat: tf.Tensor, inputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        for variable, part in zip(self.variables, tf.split(flat, self.sizes), strict=True):
            variable.assign(tf.reshape(part, variable.shape))
        total = tf.reduce_sum(self._loss(targets, self.model(inputs, training=False)))
        if not self.regularized:
            return total
        # What the model's own layers add is of the mean loss; the parts of the data share it.
        share = tf.cast(tf.shape(inputs)[0], total.dtype)
        return total + share * tf.cast(tf.add_n(self.model.losses), total.dtype)

    def _slopes_of(self, flat: tf.Tensor, inputs: tf.Tensor, targets: tf.Tensor) -> Any:
        with tf.GradientTape() as tape:
            total = self._total_of(flat, inputs, targets)
        return total, _joined(self._gradients(tape, total))

    def _product_of(
        self, flat: tf.Tensor, along: tf.Tensor, inputs: tf.Tensor, targets: tf.Tensor
    ) -> tf.Tensor:
        with tf.GradientTape() as outer:
            _, slopes = self._slopes_of(flat, inputs, targets)
            slope = tf.tensordot(slopes, along, 1)
        return _joined(self._gradients(outer, slope))

    def _curvature_of(self, flat: tf.Tensor, inputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape(persistent=True) as outer:
            _, slopes = self._slopes_of(flat, inputs, targets)
        rows = outer.jacobian(slopes, self.variables, tf.UnconnectedGradients.ZERO)
        return tf.concat([tf.reshape(row, (self.size, -1)) for row in rows], 1)

    def _outer_of(self, flat: tf.Tensor, inputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """Sum the outer products of the outputs' gradients, weighted as the loss weighs them."""
        self._total_of(flat, inputs, targets)  # gives the variables their values

        def of_one(example: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            with tf.GradientTape() as tape:
                outputs = tf.reshape(self.model(example[None], training=False), (-1,))
            rows = tape.jacobian(outputs, self.variables, tf.UnconnectedGradients.ZERO)
            width = outputs.shape[0]
            return outputs, tf.concat([tf.reshape(row, (width, -1)) for row in rows], 1)

        outputs, slopes = tf.vectorized_map(of_one, inputs)
        if self.name == "mean_squared_error":
            weighted = slopes * tf.cast(2 / slopes.shape[1], slopes.dtype)
        else:  # of probabilities: the Fisher information of the classes
            weighted = slopes / tf.maximum(outputs, keras.config.epsilon())[..., None]
        return tf.einsum("bkd,bke->de", weighted, slopes)

    def _gradients(self, tape: tf.GradientTape, of: tf.Tensor) -> list[tf.Tensor]:
        return tape.gradient(of, self.variables, unconnected_gradients="zero")

    def _targets(self, targets: np.ndarray) -> np.ndarray:
        shape = tuple(self.model.outputs[0].shape[1:])
        classes = targets.ndim == 1 and targets.dtype.kind in "iub"
        if self.name == "sparse_categorical_crossentropy" and classes:
            return targets.astype("int32")
        if classes and len(shape) == 1 and shape[0] > 1:
            if targets.min() < 0 or targets.max() >= shape[0]:
                raise InputError(f"the classes must be 0 to {shape[0] - 1}.")
            targets = np.eye(shape[0])[targets]
        elif targets.ndim == 1 and shape == (1,):
            targets = targets[:, None]
        if targets.shape[1:] != shape:
            raise InputError(
                f"{self.model.name!r} answers with {shape}, and a target is {targets.shape[1:]}."
            )
        return targets.astype(self.dtype.name)


def _loss(loss: Any) -> tuple[str, Callable[[Any, Any], Any]]:
    """Return a loss's name, and a function of targets and outputs to one number an example."""
    try:
        found = keras.losses.get(loss)
    except ValueError:
        found = None
    if found is None:
        raise InputError(f"Keras knows no loss {loss!r}.")
    call = found.call if isinstance(found, keras.losses.Loss) else found
    # A loss may have a name of its own: what it computes is what counts.
    name = getattr(getattr(found, "fn", found), "__name__", "")

    def of_examples(targets: Any, outputs: Any) -> Any:
        values = call(targets, outputs)
        return tf.reduce_mean(tf.reshape(values, (tf.shape(values)[0], -1)), axis=1)

    return name, of_examples


def _joined(parts: list[tf.Tensor]) -> tf.Tensor:
    return tf.concat([tf.reshape(part, (-1,)) for part in parts], 0)


def _regularizers(layer: Any) -> list[Any]:
    """Return what of a layer adds to the loss: its weights' regularizers, and its activity's."""
    found = [getattr(weight, "regularizer", None) for weight in layer.trainable_variables]
    return [one for one in (*found, getattr(layer, "activity_regularizer", None)) if one]
