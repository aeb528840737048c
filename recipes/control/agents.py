"""The trainer on tf-agents: its agents, drivers, replay buffer and metrics, on the same recipe."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from recipes.control import bridge
from recipes.control.compiled import of_part, optimizer_of
from recipes.control.environments import Environments, Spaces
from recipes.control.policy import greedy, q_values
from recipes.control.recipe import ControlRecipe
from recipes.control.replay import Transitions, replay_of
from zoo.errors import InputError
from zoo.files import whole_folder

_MOST_EPISODES = 1_000  # of a block, for the mean of their returns
_ROUNDS = 4  # steps of each environment with one epsilon


class AgentTrainer:
    """Plays and learns by a tf-agents agent, a block at a time.

    Where transitions are drawn by priorities, which tf-agents' buffer does not know, they come from
    our own, and the agent is given their weights. Of an episode whose time was up, the last n - 1
    returns of n steps run on into the next one: tf-agents' buffer does not tell them apart.

    Args:
        model: the network that learns.
        recipe: how.
        environments: where it plays.

    Raises:
        InputError: tf-agents is not installed.
    """

    def __init__(
        self, model: keras.Model, recipe: ControlRecipe, environments: Environments
    ) -> None:
        self.model, self.recipe, self.environments = model, recipe, environments
        self.act = greedy(model)
        self.epsilon = tf.Variable(1.0)
        self.taken = tf.Variable(0, dtype=tf.int64)  # steps in all environments together
        self.environment = bridge.environment(environments)
        self.optimizer = optimizer_of(recipe)
        self.agent = agent_of(
            model, recipe, environments.spaces, self.optimizer, lambda: self.epsilon
        )
        self.optimizer.build(model.trainable_variables)
        modules = bridge.tf_agents()
        self.episodes = modules.metrics.NumberOfEpisodes()
        self.mean_return = modules.metrics.AverageReturnMetric(
            batch_size=environments.count, buffer_size=_MOST_EPISODES
        )
        observers = [self.episodes, self.mean_return, self._count]
        if recipe.priority:
            self.replay = replay_of(recipe, environments)
            self.random = np.random.default_rng(recipe.seed)
            observers.append(self._remember)
            self._learn = tf.function(self.agent.train)
        else:
            self.buffer = modules.replay.TFUniformReplayBuffer(
                self.agent.collect_data_spec,
                batch_size=environments.count,
                max_length=recipe.replay_capacity // environments.count,
            )
            observers.append(self._add)
            frames = self.buffer.as_dataset(
                sample_batch_size=recipe.batch_size, num_steps=recipe.n_step + 1
            )
            self._frames = iter(frames.prefetch(4))
            self._learn = tf.function(self._updates)
        driver = modules.drivers.DynamicStepDriver(
            self.environment,
            self.agent.collect_policy,
            observers,
            num_steps=recipe.environments * _ROUNDS,
        )
        self._drive = modules.common.function(driver.run)

    @property
    def step(self) -> int:
        """Steps taken in all environments together."""
        return int(self.taken)

    def begin(self, seed: int) -> None:
        """Begin an episode in every environment.

        The numbers that decide what is explored and drawn are TensorFlow's own, and are not
        begun anew: a run that is resumed goes on with others.
        """
        self.environment.pyenv.seed_of_reset = seed
        self.time_step = self.environment.reset()

    def play(self, steps: int) -> list[float]:
        """Take steps, and remember them; return the mean return for each episode that ended."""
        self.mean_return.reset()
        before, aim = int(self.episodes.result()), self.step + steps
        while self.step < aim:
            self.epsilon.assign(self.recipe.epsilon_at(self.step))
            self.time_step, _ = self._drive(self.time_step)
        return [float(self.mean_return.result())] * (int(self.episodes.result()) - before)

    def learn(self) -> float:
        """Do the updates of a block, and return their mean loss."""
        if not self.recipe.priority:
            return float(self._learn())
        shape = (self.recipe.block_updates, self.recipe.batch_size)
        importance = self.recipe.importance_at(self.step)
        batches = self.replay.draw(shape, self.random, importance)
        losses, errors = [], []
        for number in range(len(batches.actions)):
            experience = experience_of(batches, number, self.recipe.discount)
            found = self._learn(experience, weights=batches.weights[number])
            losses.append(float(found.loss))
            errors.append(found.extra.td_error.numpy())
        self.replay.prioritize(batches.places, np.stack(errors))
        return float(np.mean(losses))

    def _updates(self) -> tf.Tensor:
        total = tf.constant(0.0)
        for _ in tf.range(self.recipe.block_updates):
            experience, _ = next(self._frames)
            total += self.agent.train(experience).loss
        return total / self.recipe.block_updates

    def _count(self, trajectory: Any) -> None:
        steps = tf.reduce_sum(tf.cast(~trajectory.is_boundary(), tf.int64))
        self.taken.assign_add(steps)

    def _add(self, trajectory: Any) -> None:
        clipped = trajectory._replace(reward=self._clip(trajectory.reward))
        self.buffer.add_batch(clipped)

    def _clip(self, rewards: tf.Tensor) -> tf.Tensor:
        bounds = self.recipe.reward_range
        return tf.clip_by_value(rewards, *bounds) if bounds else rewards

    def _remember(self, trajectory: Any) -> None:
        """Remember a step of every environment in our own replay."""

        def add(*arrays: np.ndarray) -> None:
            observations, actions, rewards, discounts, ends, begins = arrays
            over = discounts == 0
            self.replay.add(observations, actions, rewards, over, ends & ~over, real=~begins)

        tf.numpy_function(
            add,
            [
                trajectory.observation,
                trajectory.action,
                self._clip(trajectory.reward),
                trajectory.discount,
                trajectory.is_last(),
                trajectory.is_boundary(),
            ],
            [],
        )

    def observed(self) -> np.ndarray:
        """Return what is remembered of observations `(examples, …)`."""
        if self.recipe.priority:
            return self.replay.observed()
        frames = self.buffer.gather_all().observation.numpy()
        return frames.reshape(-1, *frames.shape[2:])

    def pause(self) -> None:
        """Cut all episodes off, as if their time was up: this is what was observed last."""
        if self.recipe.priority:
            return self.replay.cut(self.time_step.observation.numpy())
        zeros = tf.zeros(self.environments.count)
        modules = bridge.tf_agents()
        kinds = modules.time_step.StepType
        last = modules.trajectory.Trajectory(
            step_type=tf.fill(zeros.shape, kinds.LAST),
            observation=self.time_step.observation,
            action=tf.cast(zeros, tf.int64),
            policy_info=(),
            next_step_type=tf.fill(zeros.shape, kinds.FIRST),
            reward=zeros,
            discount=zeros + 1,
        )
        self.buffer.add_batch(last)
        return None

    def state(self) -> dict[str, np.ndarray]:
        """Return everything that goes on from here, as arrays by name."""
        arrays = {
            f"{name}/{i}": np.asarray(v)
            for name, variables in self._variables().items()
            for i, v in enumerate(variables)
        }
        if self.recipe.priority:
            arrays |= {f"replay/{name}": array for name, array in self.replay.state().items()}
        return arrays

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Take back what `state` returned."""
        for name, variables in self._variables().items():
            for i, variable in enumerate(variables):
                variable.assign(arrays[f"{name}/{i}"])
        if self.recipe.priority:
            self.replay.restore(of_part(arrays, "replay"))

    def _variables(self) -> dict[str, list[Any]]:
        found = {
            "model": self.model.variables,
            "target": self.agent._target_q_network.variables,
            "optimizer": self.optimizer.variables,
            "counters": [self.taken, self.agent.train_step_counter],
        }
        return found if self.recipe.priority else found | {"buffer": self.buffer.variables()}


def agent_of(
    model: keras.Model,
    recipe: ControlRecipe,
    spaces: Spaces,
    optimizer: keras.Optimizer,
    epsilon: Any = 0.0,
) -> Any:
    """Return tf-agents' agent for a recipe: DQN, double DQN, or categorical DQN.

    Args:
        model: the network that learns; its target is a copy.
        recipe: how. With priorities, transitions come with their n rewards added up.
        spaces: of the environment.
        optimizer: updates the network.
        epsilon: share of random actions of the policy that collects, or a function of nothing.

    Raises:
        InputError: the recipe asks for what tf-agents' agent does not have.
    """
    modules = bridge.tf_agents()
    observation = tf.TensorSpec(spaces.shape, spaces.dtype, "observation")
    action = modules.specs.BoundedTensorSpec((), tf.int64, 0, spaces.actions - 1, "action")
    settings = {
        "optimizer": optimizer,
        "epsilon_greedy": epsilon,
        "n_step_update": 1 if recipe.priority else recipe.n_step,
        "target_update_period": recipe.target_period,
        "gamma": recipe.discount,
    }
    network = bridge.network(model, spaces)
    time_step = modules.time_step.time_step_spec(observation)
    if isinstance(model.output, dict):
        if recipe.priority:
            raise InputError(
                "tf-agents' categorical agent tells no errors that priorities could be made of: "
                "take the trainer 'compiled', or priority=0."
            )
        if recipe.double:
            raise InputError(
                "tf-agents' categorical agent is not double: take the trainer 'compiled', or "
                "double=false."
            )
        least, greatest = model.get_layer("q_values").value_range
        return modules.categorical.CategoricalDqnAgent(
            time_step, action, network, min_q_value=least, max_q_value=greatest, **settings
        )
    kind = modules.dqn.DdqnAgent if recipe.double else modules.dqn.DqnAgent
    return kind(
        time_step,
        action,
        network,
        td_errors_loss_fn=modules.common.element_wise_huber_loss,
        **settings,
    )


def experience_of(batches: Transitions, number: int, discount: float) -> Any:
    """Return a batch of transitions of n steps as tf-agents' trajectories of two frames.

    Args:
        batches: `(updates, batch, …)`.
        number: of the batch.
        discount: which the agent multiplies all discounts by.
    """
    modules = bridge.tf_agents()
    observations = np.stack(
        [batches.observations[number], batches.next_observations[number]], axis=1
    )

    def twice(values: np.ndarray, dtype: str) -> tf.Tensor:
        return tf.constant(np.stack([values, values], axis=1), dtype)

    actions = batches.actions[number]
    kinds = np.full(actions.shape, modules.time_step.StepType.MID)
    return modules.trajectory.Trajectory(
        step_type=twice(kinds, "int32"),
        observation=tf.constant(observations),
        action=twice(actions, "int64"),
        policy_info=(),
        next_step_type=twice(kinds, "int32"),
        reward=twice(batches.rewards[number], "float32"),
        discount=twice(batches.discounts[number] / discount, "float32"),
    )


def save_policy(model: keras.Model, path: Path) -> None:
    """Write a network's greedy policy by tf-agents' PolicySaver, as a SavedModel.

    Args:
        model: a Q-network.
        path: its folder, whose place it takes once it is whole.
    """
    source, actions = model.inputs[0], q_values(model.output).shape[-1]
    spaces = Spaces(tuple(source.shape[1:]), source.dtype, actions, preprocessing="")
    recipe = ControlRecipe(environment="", steps=1, double=False)
    agent = agent_of(model, recipe, spaces, keras.optimizers.SGD())
    with whole_folder(path, overwrite=True) as temporary:
        bridge.tf_agents().policy_saver.PolicySaver(agent.policy).save(str(temporary))
