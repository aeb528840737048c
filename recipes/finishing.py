"""The end of a training: the kept weights are measured, and the model gets its card."""

import math
from datetime import UTC, datetime
from typing import Any

import keras
import msgspec
import numpy as np

from recipes.data import Examples, Splits, load_data
from recipes.data.named import SOURCES
from recipes.evaluation import MAIN_METRIC, answers, figures, measure
from recipes.folder import hardware
from recipes.plots import plot_confusion, plot_history
from recipes.recipe import Recipe
from recipes.run import Run, State
from recipes.text_evaluation import COMPARED, signature_of, text_answers
from zoo import cards
from zoo.errors import InputError
from zoo.files import sha256_of, whole_file
from zoo.layers import Standardize


def finish(run: Run, model: keras.Model, data: Splits, devices: int = 1) -> Run:
    """Measure a trained model, the test set once, and write model, plots and card.

    Args:
        run: its last epoch is done.
        model: with the weights that were kept.
        data: what it learned from.
        devices: number of those that trained it.

    Returns:
        The run, finished.
    """
    state, config = run.read_state() or State(), run.config
    model.trainable = True
    splits = {"validation": data.validation, "test": data.test}
    plot_history(state.history, run.path / "learning_curve.png")
    if data.task == "classification" and config.labels:
        outputs = {name: _answers(model, data, split) for name, split in splits.items()}
        metrics = {name: figures(outputs[name], splits[name], config.task) for name in splits}
        path = run.path / "confusion_matrix.png"
        plot_confusion(outputs["test"], data.test.targets, config.labels, path)
    else:
        metrics = {
            name: measure(model, split, config.task, tokenizers=data.tokenizers)
            for name, split in splits.items()
        }
    before = {
        f"{name} (before)": config.before[name]
        for name in COMPARED.get(config.task, ())
        if name in config.before
    }
    known, known_examples = _on_known_data(run, model, data)
    metrics["test"] |= before | known
    examples = {name: dict.fromkeys(values, len(splits[name])) for name, values in metrics.items()}
    examples["test"] |= dict.fromkeys(known, known_examples)
    run.write_metrics(metrics)
    path = run.path / "model.keras"
    with whole_file(path) as temporary:
        model.save(temporary)
    cards.write(_card(run, model, state, metrics, examples, devices), run.path / cards.FILE)
    return run


def _on_known_data(run: Run, model: keras.Model, data: Splits) -> tuple[dict[str, float], int]:
    """Return a fine-tuned model's figures on its source's test split, and that split's size."""
    name = run.config.known_data
    if name not in SOURCES:
        return {}, 0
    try:
        known = load_data(name)
        if run.config.labels:
            known = known.relabelled(run.config.labels)
    except InputError:  # it is not on this machine, or has other classes
        return {}, 0
    found = measure(model, known.test, run.config.task, tokenizers=data.tokenizers)
    figures = {f"{metric} ({name})": found[metric] for metric in COMPARED[run.config.task]}
    return figures, len(known.test)


def _answers(model: keras.Model, data: Splits, split: Examples) -> np.ndarray:
    """Return a classifier's probabilities for a split."""
    if data.tokenizers:
        return text_answers(model, data.tokenizers, split.inputs)
    return answers(model, split.inputs)


def _card(
    run: Run,
    model: keras.Model,
    state: State,
    metrics: dict[str, dict[str, float]],
    examples: dict[str, dict[str, int]],
    devices: int,
) -> cards.Card:
    config, path = run.config, run.path / "model.keras"
    main = MAIN_METRIC[config.task]
    source = model.inputs[0]
    inside = "".join(
        f"; {words}"
        for kind, words in (
            (keras.layers.Resizing, "the model resizes them to its own size"),
            (keras.layers.Rescaling, "the model scales grey levels 0…255 to its own range"),
            (Standardize, "the model standardizes each feature"),
        )
        if any(isinstance(layer, kind) for layer in model.layers)
    )
    return cards.Card(
        name=run.name,
        architecture=config.architecture,
        arguments=config.arguments,
        task=config.task,
        input=cards.Input(
            name=source.name,
            shape=list(source.shape[1:]),
            dtype=source.dtype,
            preprocessing=f"{config.preprocessing}{inside}",
            features=config.features,
        ),
        labels=config.labels,
        parameters=cards.Parameters(
            trainable=sum(math.prod(w.shape) for w in model.trainable_weights),
            non_trainable=sum(math.prod(w.shape) for w in model.non_trainable_weights),
        ),
        weights=cards.Weights(file=path.name, bytes=path.stat().st_size, sha256=sha256_of(path)),
        dataset=config.dataset,
        recipe=_plain(config.recipe),
        metrics=[
            cards.Metric(
                name=name,
                split=split,
                value=value,
                examples=examples[split][name],
                signature=signature_of(name),
            )
            for split, values in metrics.items()
            for name, value in sorted(values.items(), key=lambda item: item[0] != main)
        ],
        training=cards.Training(
            command=config.command,
            seed=config.recipe.seed,
            epochs=len(state.history),
            best_epoch=state.kept_epoch,
            seconds=round(state.seconds, 1),
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
            commit=config.commit,
            hardware=hardware(),
            devices=devices,
            versions=config.versions,
        ),
        reference=config.recipe.reference,
        tokenizers=config.tokenizers,
        quantization=config.recipe.quantize,
    )


def _plain(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe's fields, its reference left out: the card has a field for that."""
    return {k: v for k, v in msgspec.to_builtins(recipe).items() if k != "reference"}
