"""The end of a training of two adversaries: what the generator makes is scored, and gets a card."""

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras
import msgspec
import numpy as np
from matplotlib.figure import Figure

from recipes.adversarial.pictures import generate, labels_of, samples_of, save_film
from recipes.adversarial.recipe import JUDGES, AdversarialRecipe
from recipes.adversarial.run import AdversarialRun, AdversarialState
from recipes.adversarial.trainer import AdversarialTrainer
from recipes.data.splits import Examples, Splits
from recipes.folder import hardware
from recipes.scores import Scores, score
from zoo import cards
from zoo.files import sha256_of, whole_file
from zoo.generative.parts import classes_of
from zoo.models import load

SCORE_SEED = 2_000_003  # of the codes whose pictures are scored
_COVERED = 0.01  # share of the pictures from which on a class counts as made


def finish(run: AdversarialRun, trainer: AdversarialTrainer, data: Splits) -> AdversarialRun:
    """Score what the generator makes, once, and write pictures, models and card.

    Args:
        run: its last epoch is taken.
        trainer: with the networks as they are after it.
        data: the pictures; the test split is compared with.

    Returns:
        The run, finished.
    """
    state, recipe = run.read_state(), run.config.recipe
    generator = trainer.averaged()
    _, metrics = figures_of(generator, data, recipe)
    run.write_metrics({"test": {metric.name: metric.value for metric in metrics}})
    plot_losses(state.history, run.path / "learning_curve.png")
    grids = [run.grid_of(row + 1) for row in range(state.epoch)]
    save_film([path for path in grids if path.is_file()], run.path / "samples.gif")
    _write_samples(run, generator)
    for name, model in (("discriminator", trainer.discriminator), ("model", generator)):
        with whole_file(run.path / f"{name}.keras") as temporary:
            model.save(temporary)
    cards.write(_card(run, generator, state, metrics), run.path / cards.FILE)
    return run


def figures_of(
    generator: keras.Model, data: Splits, recipe: AdversarialRecipe
) -> tuple[Scores, list[cards.Metric]]:
    """Score pictures of a generator against the test split, and that against others that are real.

    Args:
        generator: from codes (and labels) to pictures in 0…1.
        data: the test split is compared with; as many pictures that were learned from are the
            floor.
        recipe: names the classifier in whose features they are compared, and how many are made.

    Returns:
        The scores, and these as a card has them: the distance, its floor, and others; where the
        classifier is the data's own, also how the classes are covered, and of a conditional
        generator which share it takes for what was asked.
    """
    # A distance depends on how many there are: the floor must be of as many.
    count, judge = min(recipe.score_examples, len(data.test)), load(recipe.judged_by)
    random = np.random.default_rng(SCORE_SEED)
    real = _drawn(data.test, count, random)
    made = generate(generator, count, SCORE_SEED)
    scores = score(
        real,
        made,
        judge,
        real_split="test",
        floor=_drawn(data.train, len(real), random),
        seed=SCORE_SEED,
    )
    prefix = scores.name.replace(" ", "_")
    found = {
        prefix: scores.distance,
        f"{prefix}_floor": scores.floor,
        "kernel_distance": scores.kernel,
        "kernel_distance_floor": scores.kernel_floor,
        "classifier_score": scores.classifier,
        "precision": scores.precision,
        "recall": scores.recall,
    }
    if recipe.judged_by == JUDGES.get(recipe.data):  # it knows the classes
        found |= {
            "covered_classes": sum(share >= _COVERED for share in scores.shares),
            "least_class_share": min(scores.shares),
            "most_class_share": max(scores.shares),
        }
        asked = labels_of(classes_of(generator), count)
        if asked is not None:
            answers = judge.predict(made, batch_size=500, verbose=0).argmax(axis=-1)
            found["recognised"] = float((answers == asked).mean())
    signature = (
        f"features of {recipe.judged_by}, {scores.examples} made against {scores.real_examples} "
        f"real, split {scores.real_split}, seed {scores.seed}, resize {scores.resize}"
    )
    return scores, [
        cards.Metric(
            name=name, split="test", value=value, examples=scores.examples, signature=signature
        )
        for name, value in found.items()
    ]


def _drawn(examples: Examples, count: int, random: np.random.Generator) -> np.ndarray:
    """Return so many pictures, or all: they may lie in the order of their classes."""
    chosen = random.permutation(len(examples))[:count]
    return np.asarray(examples.take(np.sort(chosen)).inputs)


def plot_losses(history: list[dict[str, float]], path: Path) -> None:
    """Draw losses and lengths of gradients over the epochs as a PNG."""
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    panels = figure.subplots(1, 2)
    epochs = [row["epoch"] for row in history]
    for axes, kind in zip(panels, ("loss", "gradient"), strict=True):
        for network in ("critic", "generator"):
            axes.plot(epochs, [row[f"{network}_{kind}"] for row in history], label=network)
        axes.set(xlabel="epoch", ylabel=kind if kind == "loss" else "norm of the gradients")
        axes.grid(alpha=0.3)
        axes.legend()
    panels[1].set_yscale("log")
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=120)


def _write_samples(run: AdversarialRun, generator: keras.Model) -> None:
    """Keep codes to calibrate exports with, and to compare them on."""
    parts: dict[str, Any] = {}
    for part, inputs in zip(("test", "calibration"), samples_of(generator), strict=True):
        parts[f"{part}_targets"] = np.zeros(0, "int64")  # no target belongs to a code
        parts[f"{part}_inputs"] = inputs["code"] if isinstance(inputs, dict) else inputs
        if isinstance(inputs, dict):
            parts[f"{part}_label"] = inputs["label"]
    with whole_file(run.path / "samples.npz") as temporary:
        np.savez_compressed(temporary, **parts)


def _card(
    run: AdversarialRun, model: keras.Model, state: AdversarialState, metrics: list[cards.Metric]
) -> cards.Card:
    config, recipe, path = run.config, run.config.recipe, run.path / "model.keras"
    code = next(tensor for tensor in model.inputs if tensor.name == "code")
    fields = msgspec.to_builtins(recipe)
    del fields["reference"]  # the card has a field for that
    return cards.Card(
        name=run.name,
        architecture=recipe.generator,
        arguments=config.generator_arguments,
        task="generation",
        input=cards.Input(
            name=code.name,
            shape=list(code.shape[1:]),
            dtype=code.dtype,
            preprocessing="standard normal numbers",
        ),
        labels=config.labels,
        parameters=cards.Parameters(
            trainable=sum(math.prod(w.shape) for w in model.trainable_weights),
            non_trainable=sum(math.prod(w.shape) for w in model.non_trainable_weights),
        ),
        weights=cards.Weights(file=path.name, bytes=path.stat().st_size, sha256=sha256_of(path)),
        dataset=config.dataset,
        recipe=fields | {"judge": recipe.judged_by},
        metrics=metrics,
        training=cards.Training(
            command=config.command,
            seed=recipe.seed,
            epochs=state.epoch,
            best_epoch=state.epoch,
            seconds=round(state.seconds, 1),
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
            commit=config.commit,
            hardware=hardware(),
            versions=config.versions,
        ),
        reference=recipe.reference,
    )
