"""Keras models as StableHLO programs, by JAX; and the process in which it is done.

It is imported where Keras' backend is JAX: see `export.stablehlo`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from export.outputs import named
from export.subprocesses import Result, first_line, serve
from zoo.layers import LearnedPositions

_DRAWING = (
    keras.initializers.VarianceScaling,
    keras.initializers.RandomNormal,
    keras.initializers.RandomUniform,
    keras.initializers.TruncatedNormal,
    keras.initializers.Orthogonal,
)

Shapes = Mapping[str, Sequence[int | None]]


def weights_of(model: keras.Model) -> list[Any]:
    """Return a model's weights in the order in which programs take them."""
    variables = [*model.trainable_variables, *model.non_trainable_variables]
    return [variable.value for variable in variables]


def inference(
    model: keras.Model, task: str, shapes: Shapes, platforms: Sequence[str], beside: bool = False
) -> Any:
    """Lower what `serving_default` does.

    Args:
        model: a built `keras.Model`.
        task: names its outputs.
        shapes: of its inputs, by name; what is open in them stays so.
        platforms: of "cpu", "cuda" and "tpu".
        beside: whether the program takes its weights (see `weights_of`) as its first argument.

    Returns:
        The `jax.export.Exported`: from named inputs to named outputs.
    """
    import jax
    from jax import export

    weights, count = weights_of(model), len(model.trainable_variables)

    def infer(weights: list[Any], inputs: dict[str, Any]) -> dict[str, Any]:
        outputs, _ = model.stateless_call(
            weights[:count], weights[count:], _packed(model, inputs), training=False
        )
        return {
            name: ops.cast(x, "float32") if keras.backend.is_float_dtype(x.dtype) else x
            for name, x in named(model, task, outputs, _argmax).items()
        }

    taken = _specs(model, shapes)
    if beside:
        return export.export(jax.jit(infer), platforms=platforms)(_like(weights), taken)
    return export.export(jax.jit(lambda inputs: infer(weights, inputs)), platforms=platforms)(taken)


def train_step(
    model: keras.Model,
    optimizer: keras.Optimizer,
    loss: keras.losses.Loss,
    shapes: Shapes,
    targets: Sequence[tuple[Sequence[int | None], str]],
    platforms: Sequence[str],
) -> tuple[Any, list[Any]]:
    """Lower a whole step of training: forward, backward, and the optimizer's update.

    Args:
        model: a built `keras.Model`.
        optimizer: of Keras, not built yet.
        loss: of each output and its target, added up.
        shapes: of its inputs, by name.
        targets: shape and dtype of each target; their first axis is that of the inputs.
        platforms: of "cpu", "cuda" and "tpu".

    Returns:
        The `jax.export.Exported`, from a state (a list of arrays), named inputs and a list of
        targets to the next state and the loss; and the first state.
    """
    import jax
    from jax import export

    optimizer.build(model.trainable_variables)
    learned, fixed = len(model.trainable_variables), len(model.non_trainable_variables)
    first = [*weights_of(model), *(variable.value for variable in optimizer.variables)]

    def step(state: list[Any], inputs: dict[str, Any], wanted: list[Any]) -> tuple[list[Any], Any]:
        weights, others = state[:learned], state[learned : learned + fixed]

        def cost(weights: list[Any]) -> tuple[Any, list[Any]]:
            outputs, others_after, added = model.stateless_call(
                weights, others, _packed(model, inputs), training=True, return_losses=True
            )
            found = keras.tree.flatten(outputs)
            total = sum(loss(y, x) for y, x in zip(wanted, found, strict=True))
            return total + sum(added), others_after

        (value, others), gradients = jax.value_and_grad(cost, has_aux=True)(weights)
        weights, own = optimizer.stateless_apply(state[learned + fixed :], gradients, weights)
        return [*weights, *others, *own], value

    specs = _specs(model, shapes, targets)
    program = export.export(jax.jit(step), platforms=platforms)(_like(first), *specs)
    return program, first


def _packed(model: keras.Model, inputs: dict[str, Any]) -> Any:
    return keras.tree.pack_sequence_as(
        model.input, [inputs[tensor.name] for tensor in model.inputs]
    )


def _argmax(x: Any) -> Any:
    return ops.cast(ops.argmax(x, axis=-1), "int32")


def _like(arrays: list[Any]) -> list[Any]:
    import jax

    return [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in arrays]


def _specs(model: keras.Model, shapes: Shapes, targets: Any = None) -> Any:
    """Return what goes in; an open batch is a symbol, and so is each open length."""
    import jax
    from jax import export

    limits = [
        x.max_length for x in model.layers if isinstance(x, LearnedPositions) and x.max_length
    ]
    constraints = [
        f"{name}_length <= {min(limits)}" for name, shape in shapes.items()
        if limits and None in shape[1:]
    ]  # fmt: skip
    scope = export.SymbolicScope(constraints)
    lengths = [f"{name}_length" for name, shape in shapes.items() if None in shape[1:]]

    def spec(name: str, shape: Sequence[int | None], dtype: str) -> Any:
        first, *others = shape
        words = ["batch" if first is None else str(first)]
        words += [name if n is None else str(n) for n in others]
        return jax.ShapeDtypeStruct(export.symbolic_shape(", ".join(words), scope=scope), dtype)

    inputs = {
        tensor.name: spec(f"{tensor.name}_length", shapes[tensor.name], tensor.dtype)
        for tensor in model.inputs
    }
    if targets is None:
        return inputs
    # A target of open length is as long as what is read last.
    return inputs, [spec((lengths or [""])[-1], shape, dtype) for shape, dtype in targets]


def _write(request: dict[str, Any]) -> None:
    """Lower the model of a request, and write its programs."""
    from zoo.models import load_file

    model, target = load_file(Path(request["model"])), Path(request["target"])
    shapes, platforms = request["shapes"], request["platforms"]
    program = inference(model, request["task"], shapes, platforms, bool(request["weights"]))
    target.write_bytes(program.serialize())
    if request["weights"]:
        _save(Path(request["weights"]), weights_of(model))
    if request["step"]:
        step = request["step"]
        learning, state = train_step(
            model,
            keras.optimizers.deserialize(step["optimizer"]),
            keras.losses.deserialize(step["loss"]),
            shapes,
            step["targets"],
            platforms,
        )
        target.with_name(step["program"]).write_bytes(learning.serialize())
        _save(target.with_name(step["state"]), state)


def _save(path: Path, arrays: list[Any]) -> None:
    numbered = {f"{number:05}": np.asarray(x) for number, x in enumerate(arrays)}
    np.savez(path, allow_pickle=False, **numbered)


def _zeros(self: Any, shape: Sequence[int], dtype: Any = None, **_: Any) -> Any:
    """Draw nothing: the file's weights take the place of what a model begins with."""
    return ops.zeros(shape, dtype)


def lower(request: dict[str, Any], arrays: dict[str, np.ndarray]) -> Result:
    """Lower, and return the reason of a refusal."""
    for initializer in _DRAWING:  # JAX would compile a program for each shape
        initializer.__call__ = _zeros
    try:
        _write(request)
    except Exception as error:  # of many kinds, and all mean that it cannot be
        return Result({"error": first_line(error)})
    return Result({"error": ""})


if __name__ == "__main__":
    serve(lower)
