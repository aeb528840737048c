"""The names of a model's outputs, whatever computes them."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

# Task -> name of a single output; of a classifier and an agent, see below.
_NAMES = {
    "reconstruction": "reconstruction",
    "translation": "logits",
    "language_modeling": "logits",
    "encoding": "code",
    "generation": "image",
    "discrimination": "judgement",
}


def named(
    model: "keras.Model", task: str, outputs: Any, argmax: Callable[[Any], Any]
) -> dict[str, Any]:
    """Return what a model gave by name.

    Args:
        model: that gave it.
        task: "classification" adds the index of the likeliest class, "control" the best action.
        outputs: a tensor, some of them, or a dict.
        argmax: int32 place of the largest number of the last axis.
    """
    if isinstance(outputs, dict):
        if task == "control":  # what an agent's values are made of is for its training
            outputs = {"q_values": outputs["q_values"]}
        return outputs | _best(outputs, task, argmax)
    if isinstance(outputs, Sequence) and not hasattr(outputs, "shape"):
        return dict(zip(model.output_names, outputs, strict=True))
    name = {"classification": "probabilities", "control": "q_values"}.get(task)
    found = {name or _NAMES.get(task, "prediction"): outputs}
    return found | _best(found, task, argmax)


def _best(outputs: dict[str, Any], task: str, argmax: Callable[[Any], Any]) -> dict[str, Any]:
    if task == "classification" and "probabilities" in outputs:
        return {"class_index": argmax(outputs["probabilities"])}
    return {"action": argmax(outputs["q_values"])} if task == "control" else {}
