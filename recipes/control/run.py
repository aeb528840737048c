"""A run of control: the same folder as any other run's, but for what an agent keeps.

| file | content |
|---|---|
| `config.json` | recipe, facts of the environment, versions, command |
| `state.npz` | after `keep_every` steps: networks, optimizer, replay, random states, history |
| `kept-STEP.weights.h5` | weights of the evaluation that is kept |
| `history.csv`, `tensorboard/`, `learning_curve.png` | the course of the training |
| `episode.gif` | an episode of the finished policy, where the environment can be drawn |
| `samples.npz` | what the finished policy observed: to calibrate exports, and to compare them |
| `policy/` | by tf-agents' PolicySaver, where tf-agents was the trainer |
| `metrics.json` | returns of test episodes |
| `model.keras`, `card.json` | the finished model and its card; the card comes last |
"""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recipes.control.recipe import ControlRecipe
from recipes.folder import STATE, Folder, command, commit, versions, write_json
from zoo.cards import Frozen
from zoo.errors import InputError
from zoo.files import refuse_taken

if TYPE_CHECKING:
    import keras

_PACKAGES = ("gymnasium",)


class ControlConfig(Frozen, frozen=True):
    """What a run of control was started with.

    Attributes:
        recipe: how it learns.
        arguments: with which the builder makes the network.
        preprocessing: in words, what happens to an observation before the network.
        command: the command line that started it.
        versions: of Python and the packages that compute.
        commit: of the recipe's source tree, as it was then.
        task: "control".
    """

    recipe: ControlRecipe
    arguments: dict[str, Any]
    preprocessing: str
    command: str
    versions: dict[str, str]
    commit: str
    task: str = "control"


@dataclass
class ControlState:
    """Where a training stands.

    Attributes:
        step: taken in all environments together.
        best: mean return of the best evaluation.
        kept_step: the step whose weights are kept.
        kept_sha256: hash of those, checked before they are loaded.
        seconds: time spent with playing, learning and evaluating.
        history: one row for each evaluation.
        arrays: of the trainer, by name.
    """

    step: int = 0
    best: float = -float("inf")
    kept_step: int = 0
    kept_sha256: str = ""
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)


class ControlRun(Folder[ControlConfig]):
    """The folder of a run of control; see `ControlRun.create` for a new one."""

    config_type = ControlConfig

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        recipe: ControlRecipe,
        arguments: dict[str, Any],
        preprocessing: str,
    ) -> "ControlRun":
        """Make the folder of a new run.

        Raises:
            InputError: the folder exists and is not empty, or cannot be written.
        """
        path = Path(path)
        refuse_taken(path)
        config = ControlConfig(
            recipe=recipe,
            arguments=arguments,
            preprocessing=preprocessing,
            command=command(),
            versions=versions(*_PACKAGES),
            commit=commit(),
        )
        write_json(path / "config.json", config)
        return cls(path)

    def load_kept(self, model: "keras.Model", state: ControlState) -> None:
        """Load the kept weights into a network."""
        path = self.kept_weights(state.kept_step)
        model.load_weights(self.checked(path.name, state.kept_sha256))

    def sweep_weights(self, state: ControlState) -> None:
        """Remove all kept weights but those that the state names."""
        for path in self.path.glob("kept-*.weights.h5"):
            if path != self.kept_weights(state.kept_step):
                path.unlink()

    def read_state(self) -> ControlState:
        """Return where the training stood after its last evaluation."""
        facts, arrays = self.read_arrays()
        try:
            return ControlState(**facts, arrays=arrays)
        except TypeError as error:
            raise InputError(f"{self.path / STATE} is damaged: {error}") from None

    def write_state(self, state: ControlState) -> None:
        """Keep where the training stands, and the history beside it."""
        self.write_arrays({k: v for k, v in vars(state).items() if k != "arrays"}, state.arrays)
        self.write_history(state.history)
