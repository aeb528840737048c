"""The trainer for throughput: NumPy remembers, XLA updates, a block at a time, in plain Keras."""

import gc
import json
import weakref
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from recipes.control import targets
from recipes.control.environments import Environments
from recipes.control.perceptron import Perceptron
from recipes.control.playing import Policy
from recipes.control.policy import by_xla, greedy
from recipes.control.recipe import ControlRecipe
from recipes.control.replay import Transitions, replay_of
from recipes.recipe import made_optimizer
from recipes.schedules import learning_rates


class CompiledTrainer:
    """Plays and learns, a block at a time.

    Args:
        model: the network that learns.
        recipe: how.
        environments: where it plays.
    """

    def __init__(
        self, model: keras.Model, recipe: ControlRecipe, environments: Environments
    ) -> None:
        self.model, self.recipe, self.environments = model, recipe, environments
        self.learner = Learner(model, recipe)
        self.act = greedy(model)
        try:
            self.perceptron: Perceptron | None = Perceptron(model)
        except TypeError:  # a network of other layers
            self.perceptron = None
        self.replay = replay_of(recipe, environments)
        self.random = np.random.default_rng(recipe.seed)
        self.step = 0  # taken in all environments together

    def begin(self, seed: int) -> None:
        """Begin an episode in every environment."""
        self.observations = self.environments.reset(seed)
        self.over = np.zeros(self.environments.count, bool)  # whether the next step begins anew
        self.returns = np.zeros(self.environments.count)

    def play(self, steps: int) -> list[float]:
        """Take steps, and remember them; return the returns of the episodes that ended."""
        count, actions_known = self.environments.count, self.environments.spaces.actions
        finished: list[float] = []
        choose = self._chooser()
        for _ in range(steps // count):
            explores = self.random.random(count) < self.recipe.epsilon_at(self.step)
            actions = self.random.integers(actions_known, size=count)
            if not explores.all():
                actions = np.where(explores, actions, choose(self.observations))
            seen, rewards, terminated, truncated = self.environments.step(actions)
            clipped = np.clip(rewards, *self.recipe.reward_range or (-np.inf, np.inf))
            self.replay.add(
                self.observations, actions, clipped, terminated, truncated, real=~self.over
            )
            self.returns = np.where(self.over, 0, self.returns) + rewards
            self.over = terminated | truncated
            finished += self.returns[self.over].tolist()
            self.observations = seen
            self.step += count
        return finished

    def _chooser(self) -> Policy:
        """Return the greedy policy, by the fastest way for a few observations."""
        perceptron = self.perceptron
        if perceptron is None:
            return self.act
        perceptron.refresh()
        return lambda observations: perceptron(observations).argmax(axis=-1)

    def observed(self) -> np.ndarray:
        """Return what is remembered of observations `(examples, …)`."""
        return self.replay.observed()

    def learn(self) -> float:
        """Do the updates of a block, and return their mean loss."""
        shape = (self.recipe.block_updates, self.recipe.batch_size)
        importance = self.recipe.importance_at(self.step)
        batches = self.replay.draw(shape, self.random, importance)
        losses, errors = self.learner.update(batches)
        self.replay.prioritize(batches.places, errors)
        return float(losses.mean())

    def pause(self) -> None:
        """Cut all episodes off, so that what goes on from here is the same after a restart."""
        self.replay.cut(self.observations)

    def state(self) -> dict[str, np.ndarray]:
        """Return everything that goes on from here, as arrays by name."""
        arrays = {f"replay/{name}": array for name, array in self.replay.state().items()}
        for name, variables in self._variables().items():
            arrays |= {f"{name}/{i}": np.asarray(v) for i, v in enumerate(variables)}
        bits = json.dumps(self.random.bit_generator.state).encode()
        return arrays | {"random": np.frombuffer(bits, "uint8"), "step": np.array(self.step)}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Take back what `state` returned."""
        self.replay.restore(of_part(arrays, "replay"))
        for name, variables in self._variables().items():
            for i, variable in enumerate(variables):
                variable.assign(arrays[f"{name}/{i}"])
        self.random.bit_generator.state = json.loads(bytes(arrays["random"]))
        self.step = int(arrays["step"])

    def _variables(self) -> dict[str, list[keras.Variable]]:
        return {
            "model": self.model.variables,
            "target": self.learner.target.variables,
            "optimizer": self.learner.optimizer.variables,
        }


class Learner:
    """A Q-network, its target, and the updates of a block as one compiled function.

    Args:
        model: the network that learns.
        recipe: how.
    """

    def __init__(self, model: keras.Model, recipe: ControlRecipe) -> None:
        self.model, self.recipe = model, recipe
        # What was there before is left out of garbage collection while this lives: tracing sets one
        # off, and a million objects of TensorFlow's own would take as long as the tracing.
        gc.freeze()
        weakref.finalize(self, gc.unfreeze)
        self.target = keras.models.clone_model(model)
        self.target.set_weights(model.get_weights())
        self.value_range = getattr(model.get_layer("q_values"), "value_range", None)
        self.optimizer = optimizer_of(recipe)
        self.optimizer.build(model.trainable_variables)
        # Without AutoGraph: reading and rewriting the source took four fifths of the tracing.
        self._compiled = tf.function(self._updates, jit_compile=by_xla(model), autograph=False)

    def update(self, batches: Transitions) -> tuple[np.ndarray, np.ndarray]:
        """Do an update for each batch of transitions `(updates, batch, …)`.

        Returns:
            The losses `(updates,)`, and the errors that priorities are made of `(updates, batch)`.
        """
        arrays = (
            batches.observations,
            batches.actions,
            batches.rewards,
            batches.discounts,
            batches.next_observations,
            batches.weights,
        )
        losses, errors = self._compiled(*arrays)
        return losses.numpy(), errors.numpy()

    def _updates(self, *batches: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        count, size = batches[1].shape

        def one(number: tf.Tensor, losses: tf.TensorArray, errors: tf.TensorArray) -> tuple:
            loss, error = self._update(*(array[number] for array in batches))
            return number + 1, losses.write(number, loss), errors.write(number, error)

        nothing = (
            tf.constant(0),
            tf.TensorArray(tf.float32, count, element_shape=()),
            tf.TensorArray(tf.float32, count, element_shape=(size,)),
        )
        _, losses, errors = tf.while_loop(lambda number, *_: number < count, one, nothing)
        return losses.stack(), errors.stack()

    def _update(
        self,
        observations: tf.Tensor,
        actions: tf.Tensor,
        rewards: tf.Tensor,
        discounts: tf.Tensor,
        next_observations: tf.Tensor,
        weights: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        due = self.optimizer.iterations.value % self.recipe.target_period == 0
        tf.cond(due, self._renew_target, lambda: tf.constant(0))
        following = self.target(next_observations)
        choosing = self.model(next_observations) if self.recipe.double else following
        with tf.GradientTape() as tape:
            losses, errors = loss_and_errors(
                self.model(observations, training=True),
                actions,
                rewards,
                discounts,
                following,
                choosing,
                self.value_range,
            )
            loss = tf.reduce_mean(weights * losses)
        gradients = tape.gradient(loss, self.model.trainable_variables)
        self.optimizer.apply(gradients, self.model.trainable_variables)
        return loss, errors

    def _renew_target(self) -> tf.Tensor:
        for mine, learned in zip(self.target.variables, self.model.variables, strict=True):
            mine.assign(learned.value)
        return tf.constant(0)  # a branch returns what the other one does


def of_part(arrays: dict[str, np.ndarray], part: str) -> dict[str, np.ndarray]:
    """Return the arrays whose names begin with "PART/", by the rest of their names."""
    beginning = f"{part}/"
    return {k.removeprefix(beginning): v for k, v in arrays.items() if k.startswith(beginning)}


def loss_and_errors(
    outputs: Any,
    actions: Any,
    rewards: Any,
    discounts: Any,
    following: Any,
    choosing: Any,
    value_range: Any,
) -> tuple[Any, Any]:
    """Return each transition's loss, and the error that its priority is made of.

    Args:
        outputs: of the network that learns, for what was observed.
        actions: what was done.
        rewards: the n discounted rewards that followed.
        discounts: of what came then.
        following: outputs of the target for that.
        choosing: outputs whose best action the target values.
        value_range: of the atoms, where outputs are distributions.
    """
    if isinstance(outputs, dict):
        aims = targets.distribution_targets(
            rewards, discounts, following["logits"], choosing["q_values"], value_range
        )
        losses = targets.distance_of(targets.chosen(outputs["logits"], actions), aims)
        return losses, losses
    aims = targets.value_targets(rewards, discounts, following, choosing)
    errors = aims - targets.chosen(outputs, actions)
    return targets.huber(errors), errors


def optimizer_of(recipe: ControlRecipe) -> keras.Optimizer:
    """Return a fresh optimizer."""
    rates = learning_rates(recipe.schedule, recipe.learning_rate, max(1, recipe.updates), 0.0)
    settings = {"learning_rate": rates, "global_clipnorm": recipe.clip_norm or None}
    return made_optimizer(recipe.optimizer, settings)
