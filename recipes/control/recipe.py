"""Recipes of control: environment, network, agent and schedule, as data."""

from typing import Any

from recipes.recipe import OPTIMIZERS, QUANTIZATIONS
from recipes.schedules import SCHEDULES
from zoo.cards import Frozen, Reference
from zoo.errors import InputError
from zoo.registry import architecture, unknown

TRAINERS = ("compiled", "tf_agents")


class ControlRecipe(Frozen, frozen=True):
    """How a Q-network learns to act.

    A training goes on in blocks: some steps in the environments, then some updates of the network.

    Attributes:
        environment: a Gymnasium id, such as "CartPole-v1" or "module:Own-v0".
        steps: in the environments, all of them together.
        model: name of an architecture for control.
        arguments: for its builder; shapes, dtype and actions come from the environment.
        environment_options: arguments of the environment itself.
        trainer: "compiled", blocks of compiled updates in plain Keras; or "tf_agents".
        double: the network that learns chooses the next action, and its target values it
            (https://arxiv.org/abs/1509.06461).
        n_step: rewards that are added up before the target's value is taken.
        discount: of rewards, in (0, 1].
        environments: copies of the environment that are played side by side.
        block_steps: environment steps of a block; a multiple of `environments`.
        block_updates: updates of a block.
        batch_size: transitions in an update.
        optimizer: one of `recipes.recipe.OPTIMIZERS`.
        learning_rate: the highest of the schedule.
        schedule: of the learning rate, over all updates; see `Recipe`.
        clip_norm: largest norm of all gradients together; 0 for no clipping.
        target_period: updates after which the target becomes a copy of the network.
        replay_capacity: steps that are remembered.
        warm_up: steps before the first update, at random; a multiple of `environments`.
        priority: exponent of the priorities by which transitions are drawn; 0 draws all alike
            (https://arxiv.org/abs/1511.05952).
        importance: exponent of the weights that make up for it, at the beginning; it rises to 1.
        epsilon: share of random actions at the beginning.
        final_epsilon: the same from `exploration` on.
        exploration: share of the steps in which it falls, linearly.
        reward_range: rewards are clipped to it while learning, such as [-1, 1]; none by default.
        standardize: an observation that is a vector is standardized by those of the warm-up, in
            which a random policy does not see all that a good one does.
        evaluate_every: steps between evaluations; a multiple of `block_steps`. Returns go up and
            down: the weights of the best evaluation are kept.
        keep_every: steps after which all is kept, so that the training can go on from there; a
            multiple of `evaluate_every`. Every episode that is under way is cut off there.
        evaluation_episodes: number of episodes of an evaluation.
        goal: mean return of an evaluation after which the training ends; none by default.
        test_episodes: number of episodes at the end, on seeds of their own, for the card.
        quantize: "int8": at the end, the network learns to decide alike with rounded numbers, so
            that its int8 file does what it does; "" for not.
        seed: of weights, environments, exploration and replay.
        reference: a published figure for this recipe.
    """

    environment: str
    steps: int
    model: str = "dqn_dueling"
    arguments: dict[str, Any] = {}
    environment_options: dict[str, Any] = {}
    trainer: str = "compiled"
    double: bool = True
    n_step: int = 3
    discount: float = 0.99
    environments: int = 8
    block_steps: int = 256
    block_updates: int = 128
    batch_size: int = 64
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    schedule: str = "constant"
    clip_norm: float = 10.0
    target_period: int = 128
    replay_capacity: int = 50_000
    warm_up: int = 1_024
    priority: float = 0.0
    importance: float = 0.4
    epsilon: float = 1.0
    final_epsilon: float = 0.05
    exploration: float = 0.3
    reward_range: list[float] = []
    standardize: bool = False
    evaluate_every: int = 2_560
    keep_every: int = 5_120
    evaluation_episodes: int = 20
    goal: float | None = None
    test_episodes: int = 100
    quantize: str = ""
    seed: int = 0
    reference: Reference | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        for field, choices in (
            ("optimizer", OPTIMIZERS),
            ("schedule", SCHEDULES),
            ("trainer", TRAINERS),
            ("quantize", QUANTIZATIONS),
        ):
            if getattr(self, field) not in choices:
                raise unknown(getattr(self, field), choices, field)
        task = architecture(self.model).task
        if task != "control":
            raise InputError(f"{self.model!r} is for {task}: an agent needs a model such as 'dqn'.")
        for field in (
            "steps", "n_step", "environments", "block_steps", "block_updates", "batch_size",
            "learning_rate", "target_period", "replay_capacity", "warm_up", "evaluate_every",
            "keep_every", "evaluation_episodes", "test_episodes",
        ):  # fmt: skip
            if not getattr(self, field) > 0:
                raise InputError(f"{field} must be above 0, not {getattr(self, field)}.")
        for field in ("epsilon", "final_epsilon", "exploration", "importance"):
            if not 0 <= getattr(self, field) <= 1:
                raise InputError(f"{field} must be in [0, 1], not {getattr(self, field)}.")
        for field in ("priority", "clip_norm", "seed"):
            if getattr(self, field) < 0:
                raise InputError(f"{field} must not be negative, but is {getattr(self, field)}.")
        if not 0 < self.discount <= 1:
            raise InputError(f"discount must be in (0, 1], not {self.discount}.")
        if self.seed >= 2**32:
            raise InputError(f"seed must be below {2**32}, not {self.seed}.")
        for field, divisor in (
            ("block_steps", "environments"),
            ("warm_up", "environments"),
            ("evaluate_every", "block_steps"),
            ("keep_every", "evaluate_every"),
        ):
            if getattr(self, field) % getattr(self, divisor):
                raise InputError(
                    f"{field} must be a multiple of {divisor}: {getattr(self, field)} is none of "
                    f"{getattr(self, divisor)}."
                )
        for field in ("replay_capacity", "warm_up"):
            if getattr(self, field) // self.environments <= self.n_step + 1:
                raise InputError(
                    f"{field} must hold more than n_step + 1 steps of each environment: "
                    f"{getattr(self, field)} is too little."
                )
        if self.reward_range and not (
            len(self.reward_range) == 2 and self.reward_range[0] < self.reward_range[1]
        ):
            raise InputError(f"reward_range is a least and a greatest, not {self.reward_range}.")

    @property
    def blocks(self) -> int:
        """Number of blocks after the warm-up."""
        return -(-max(0, self.steps - self.warm_up) // self.block_steps)

    @property
    def updates(self) -> int:
        """Number of all updates."""
        return self.blocks * self.block_updates

    def epsilon_at(self, step: int) -> float:
        """Return the share of random actions after so many steps."""
        if step < self.warm_up:
            return 1.0
        span = self.exploration * self.steps
        progress = min(1.0, step / span) if span else 1.0
        return self.epsilon + progress * (self.final_epsilon - self.epsilon)

    def importance_at(self, step: int) -> float:
        """Return the exponent of the weights that make up for priorities."""
        return self.importance + min(1.0, step / self.steps) * (1 - self.importance)
