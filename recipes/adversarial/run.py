"""A run of two adversaries: the same folder as any other run's, but for what they make.

| file | content |
|---|---|
| `config.json` | recipe, facts of the data, versions, command |
| `state.npz` | after each epoch: both networks, the average, optimizers, history |
| `samples/EPOCH.png`, `samples.gif` | pictures of the same codes after every epoch |
| `samples.npz` | codes (and classes) to calibrate exports with, and to compare them on |
| `history.csv`, `tensorboard/`, `learning_curve.png` | the course of the training |
| `metrics.json` | scores of what the finished generator makes |
| `discriminator.keras` | the finished critic; moments that it keeps are of real and made pictures |
| `model.keras`, `card.json` | the finished generator and its card; the card comes last |
"""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from recipes.adversarial.recipe import AdversarialRecipe
from recipes.data.splits import Splits
from recipes.folder import STATE, Folder, command, commit, versions, write_json
from zoo.cards import Dataset, Frozen
from zoo.errors import InputError
from zoo.files import refuse_taken


class AdversarialConfig(Frozen, frozen=True):
    """What a run of two adversaries was started with.

    Attributes:
        recipe: how they learn.
        generator_arguments: with which the builder makes the generator.
        discriminator_arguments: with which the builder makes the critic.
        labels: names of the classes, of a conditional recipe.
        preprocessing: in words, what happened to the user's files.
        dataset: facts of the data.
        command: the command line that started it.
        versions: of Python and the packages that compute.
        commit: of the recipe's source tree, as it was then.
        task: "generation".
    """

    recipe: AdversarialRecipe
    generator_arguments: dict[str, Any]
    discriminator_arguments: dict[str, Any]
    labels: list[str]
    preprocessing: str
    dataset: Dataset
    command: str
    versions: dict[str, str]
    commit: str
    task: str = "generation"


@dataclass
class AdversarialState:
    """Where a training stands.

    Attributes:
        epoch: number of epochs that are done with.
        seconds: time spent in epochs.
        history: one row for each epoch.
        arrays: of the trainer, by name.
    """

    epoch: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)


class AdversarialRun(Folder[AdversarialConfig]):
    """The folder of a run of two adversaries; see `AdversarialRun.create` for a new one."""

    config_type = AdversarialConfig

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        recipe: AdversarialRecipe,
        generator_arguments: dict[str, Any],
        discriminator_arguments: dict[str, Any],
        data: Splits,
    ) -> "AdversarialRun":
        """Make the folder of a new run.

        Raises:
            InputError: the folder exists and is not empty, or cannot be written.
        """
        path = Path(path)
        refuse_taken(path)
        config = AdversarialConfig(
            recipe=recipe,
            generator_arguments=generator_arguments,
            discriminator_arguments=discriminator_arguments,
            labels=list(data.labels) if recipe.conditional else [],
            preprocessing=data.preprocessing,
            dataset=Dataset(
                source=data.source,
                version=data.version,
                license=data.license,
                caveat=data.caveat,
                examples=data.sizes,
                fingerprint=data.fingerprint,
            ),
            command=command(),
            versions=versions(),
            commit=commit(),
        )
        write_json(path / "config.json", config)
        return cls(path)

    def grid_of(self, epoch: int) -> Path:
        """Return the path of the pictures that were made after an epoch."""
        return self.path / "samples" / f"{epoch:04}.png"

    def read_state(self) -> AdversarialState:
        """Return where the training stood after its last epoch."""
        facts, arrays = self.read_arrays()
        try:
            return AdversarialState(**facts, arrays=arrays)
        except TypeError as error:
            raise InputError(f"{self.path / STATE} is damaged: {error}") from None

    def write_state(self, state: AdversarialState) -> None:
        """Keep where the training stands, and the history beside it."""
        self.write_arrays({k: v for k, v in vars(state).items() if k != "arrays"}, state.arrays)
        self.write_history(state.history)
