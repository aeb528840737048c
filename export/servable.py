"""A Keras model as a plain TensorFlow module with signatures: what every format starts from."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import keras
import tensorflow as tf

from export.artifact import SIGNATURE, Decoding, Signature, Tensor
from export.outputs import named
from zoo import surgery
from zoo.errors import InputError


class Servable:
    """A model's inference as signatures with named inputs and a dict of named outputs.

    `keras.Model.export` is not used: it leaves random augmentation on, stores every weight twice,
    and gives the outputs the names and dtypes of the layers. Here `training=False` is traced,
    `module` tracks each variable once, and the outputs are cast to float32.

    Args:
        model: a built `keras.Model`.
        task: "classification" adds the index of the likeliest class, "control" the best action.
        labels: their names; given together with `strings`, they are an output too.
        strings: whether the format can hold strings.
        batch: a fixed number of examples, or `None` for any.
        lengths: fixed lengths of inputs that are open, by their names.

    Attributes:
        functions: signature -> its `tf.function`.
        signatures: signature -> what goes in and what comes out.
        decoding: of a model that writes text: how it does.
        reading: in words, what is done to texts before the model.
    """

    decoding: Decoding | None = None
    reading = ""

    def __init__(
        self,
        model: keras.Model,
        task: str,
        labels: Sequence[str] = (),
        strings: bool = False,
        batch: int | None = None,
        lengths: Mapping[str, int | None] | None = None,
    ) -> None:
        self.model, self.task = without_cudnn(model), task
        self.module = tf.Module()
        self.module.variables_of_model = [variable.value for variable in self.model.variables]
        self.functions: dict[str, Any] = {}
        self.signatures: dict[str, Signature] = {}
        lengths = lengths or {}
        self.inference = _inference(self.model, task, list(labels) if strings else [])
        self.add(
            SIGNATURE,
            self.inference,
            [
                tf.TensorSpec(
                    (batch, *(lengths.get(t.name) if n is None else n for n in t.shape[1:])),
                    t.dtype,
                    name=t.name,
                )
                for t in self.model.inputs
            ],
        )
        self.function = self.module.function = self.functions[SIGNATURE]

    def add(
        self, name: str, call: Any, inputs: list[tf.TensorSpec], autograph: bool = True
    ) -> None:
        """Add a signature.

        Args:
            name: its name.
            call: list of tensors -> named tensors.
            inputs: their shapes, dtypes and names.
            autograph: whether Python's control flow is turned into TensorFlow's.
        """
        function = tf.function(call, input_signature=[inputs], autograph=autograph)
        outputs = function.get_concrete_function().structured_outputs
        self.functions[name] = function
        self.signatures[name] = Signature(
            inputs=[_described(spec.name, spec) for spec in inputs],
            outputs=[_described(key, tensor) for key, tensor in outputs.items()],
        )

    @property
    def inputs(self) -> list[Tensor]:
        """What goes into `serving_default`."""
        return self.signatures[SIGNATURE].inputs

    @property
    def outputs(self) -> list[Tensor]:
        """What comes out of `serving_default`."""
        return self.signatures[SIGNATURE].outputs


def _described(name: str, tensor: tf.Tensor | tf.TensorSpec) -> Tensor:
    return Tensor(name=name, shape=tensor.shape.as_list(), dtype=tensor.dtype.name)


def without_cudnn(model: keras.Model) -> keras.Model:
    """Return the model with every `use_cudnn` off: beside a GPU, "auto" would bake its op in."""

    def recurrent(layer: keras.Layer | keras.Operation) -> list[keras.Layer]:
        if not isinstance(layer, keras.Layer):
            return []  # an operation between layers
        return [part for part in layer._flatten_layers() if hasattr(part, "use_cudnn")]

    def changed(layer: keras.Layer) -> keras.Layer:
        result = layer.__class__.from_config(layer.get_config())
        for part in recurrent(result):
            part.use_cudnn = False
        return result

    if not any(map(recurrent, model.layers)):
        return model
    return surgery.copy(model, clone_function=changed)


def task_of(model: keras.Model) -> str:
    """Return "classification" for a model that ends in a softmax, else "regression"."""
    last = model.layers[-1]
    softmax = getattr(last, "activation", None) is keras.activations.softmax
    return "classification" if softmax or isinstance(last, keras.layers.Softmax) else "regression"


def _inference(model: keras.Model, task: str, labels: list[str]) -> Callable[..., dict[str, Any]]:
    argmax = partial(tf.argmax, axis=-1, output_type=tf.int32)

    def serve(inputs: list[tf.Tensor]) -> dict[str, Any]:
        outputs = model(keras.tree.pack_sequence_as(model.input, inputs), training=False)
        found = named(model, task, outputs, argmax)
        if labels and "class_index" in found:
            found["label"] = tf.gather(tf.constant(labels), found["class_index"])
        return {
            name: tf.cast(tensor, tf.float32) if tensor.dtype.is_floating else tensor
            for name, tensor in found.items()
        }

    if not model.built or not getattr(model, "inputs", None):
        raise InputError(f"{model.name!r} has no fixed inputs: call it once on real data first.")
    return serve
