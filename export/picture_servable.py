"""Further signatures of a generator: pictures of codes, and of a seed."""

from typing import Any

import tensorflow as tf

from export.servable import Servable
from zoo.generative.parts import classes_of, latent_of

_ALL = -1  # as a label: every class in turn


def add_generation(servable: Servable) -> None:
    """Add the signatures `generate` and `generate_from_seed`.

    - `generate`: "code" (and "label") -> "image", as `serving_default`;
    - `generate_from_seed`: "seed" and "n", integers, -> "image" `(n, …)` of codes that are drawn in
      the graph, by other random numbers than Python's, equal ones of equal seeds; of a conditional
      generator also "label", a class, or -1 for all of them in turn.

    Args:
        servable: of a generator.
    """
    servable.add(
        "generate",
        servable.inference,
        [tf.TensorSpec(t.shape, t.dtype, name=t.name) for t in servable.inputs],
    )
    whole = [tf.TensorSpec((), tf.int32, name=name) for name in ("seed", "n")]
    if classes_of(servable.model):
        whole.append(tf.TensorSpec((), tf.int32, name="label"))
    latent, classes = latent_of(servable.model), classes_of(servable.model)

    def of_seed(inputs: list[tf.Tensor]) -> dict[str, Any]:
        seed, count, *label = inputs
        known = {"code": tf.random.stateless_normal((count, latent), tf.stack([seed, 0]))}
        if label:
            in_turn = tf.range(count) % classes
            known["label"] = tf.where(label[0] == _ALL, in_turn, tf.fill([count], label[0]))
        return servable.inference([known[tensor.name] for tensor in servable.model.inputs])

    servable.add("generate_from_seed", of_seed, whole)
