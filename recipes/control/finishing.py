"""The end of a training of control: the kept policy plays its test episodes, and gets its card."""

import importlib.metadata
import math
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import keras
import msgspec
import numpy as np
from matplotlib.figure import Figure

from recipes.control.environments import license_of
from recipes.control.playing import (
    TEST_SEED,
    Episodes,
    Policy,
    figures,
    film,
    play_episodes,
    samples_of,
)
from recipes.control.policy import greedy
from recipes.control.run import ControlRun, ControlState
from recipes.folder import hardware
from zoo import cards
from zoo.errors import InputError
from zoo.files import sha256_of, whole_file


def finish(run: ControlRun, model: keras.Model) -> ControlRun:
    """Play the test episodes once, and write samples, pictures, model and card.

    Args:
        run: its last step is taken.
        model: with the weights that were kept.

    Returns:
        The run, finished.
    """
    state, recipe = run.read_state(), run.config.recipe
    policy = greedy(model)
    options = recipe.environment_options
    played = play_episodes(policy, recipe.environment, recipe.test_episodes, TEST_SEED, options)
    run.write_metrics({"test": figures(played)})
    plot_returns(state.history, run.path / "learning_curve.png")
    _write_samples(run, policy)
    with suppress(InputError):  # it cannot be drawn, or not on this machine
        film(policy, recipe.environment, run.path / "episode.gif", options=options)
    if recipe.trainer == "tf_agents":
        from recipes.control.agents import save_policy

        save_policy(model, run.path / "policy")
    path = run.path / "model.keras"
    with whole_file(path) as temporary:
        model.save(temporary)
    cards.write(_card(run, model, state, played), run.path / cards.FILE)
    return run


def plot_returns(history: list[dict[str, float]], path: Path) -> None:
    """Draw the returns of evaluations over the steps as a PNG."""
    steps = np.array([row["step"] for row in history])
    means = np.array([row["return"] for row in history])
    deviations = np.array([row["return_deviation"] for row in history])
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.add_subplot()
    axes.fill_between(steps, means - deviations, means + deviations, alpha=0.2)
    axes.plot(steps, means, label="evaluation, mean and deviation")
    axes.plot(steps, [row["training_return"] for row in history], label="training")
    axes.set(xlabel="environment steps", ylabel="return")
    axes.grid(alpha=0.3)
    axes.legend()
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=120)


def _write_samples(run: ControlRun, policy: Policy) -> None:
    """Keep observations to calibrate exports with, and to compare them on."""
    recipe = run.config.recipe
    test, calibration = samples_of(policy, recipe.environment, recipe.environment_options)
    nothing = np.zeros(0, "int64")  # no target belongs to what is observed
    with whole_file(run.path / "samples.npz") as temporary:
        np.savez_compressed(
            temporary,
            calibration_inputs=calibration,
            calibration_targets=nothing,
            test_inputs=test,
            test_targets=nothing,
        )


def _card(run: ControlRun, model: keras.Model, state: ControlState, played: Episodes) -> cards.Card:
    config, recipe, path = run.config, run.config.recipe, run.path / "model.keras"
    source = model.inputs[0]
    fields = msgspec.to_builtins(recipe)
    del fields["reference"]  # the card has a field for that
    return cards.Card(
        name=run.name,
        architecture=recipe.model,
        arguments=config.arguments,
        task="control",
        input=cards.Input(
            name=source.name,
            shape=list(source.shape[1:]),
            dtype=source.dtype,
            preprocessing=config.preprocessing,
        ),
        labels=[],
        parameters=cards.Parameters(
            trainable=sum(math.prod(w.shape) for w in model.trainable_weights),
            non_trainable=sum(math.prod(w.shape) for w in model.non_trainable_weights),
        ),
        weights=cards.Weights(file=path.name, bytes=path.stat().st_size, sha256=sha256_of(path)),
        dataset=cards.Dataset(
            source=recipe.environment,
            version=f"gymnasium {importlib.metadata.version('gymnasium')}",
            license=license_of(recipe.environment),
            caveat="",
            examples={"train": state.step},
            fingerprint="",
        ),
        recipe=fields,
        metrics=[
            cards.Metric(name=name, split="test", value=value, examples=len(played.returns))
            for name, value in figures(played).items()
        ],
        training=cards.Training(
            command=config.command,
            seed=recipe.seed,
            epochs=len(state.history),
            best_epoch=1 + [row["step"] for row in state.history].index(state.kept_step),
            seconds=round(state.seconds, 1),
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
            commit=config.commit,
            hardware=hardware(),
            versions=config.versions,
        ),
        reference=recipe.reference,
        quantization=recipe.quantize,
    )
