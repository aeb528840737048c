"""Targets and losses against loops over the formulas, and against tf-agents on the same batch."""

import keras
import numpy as np
import pytest

import zoo
from recipes.control import ControlRecipe
from recipes.control.compiled import Learner, loss_and_errors
from recipes.control.environments import Spaces
from recipes.control.replay import Transitions
from recipes.control.targets import chosen, distribution_targets, huber, value_targets

BATCH, ACTIONS, ATOMS = 16, 3, 11
RANGE = (-2.0, 3.0)


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("double", [False, True])
def test_value_targets_are_those_of_the_formula(random: np.random.Generator, double: bool):
    rewards, discounts = random.normal(size=BATCH), random.random(BATCH)
    target, online = random.normal(size=(2, BATCH, ACTIONS)).astype("float32")
    choosing = online if double else target
    found = value_targets(rewards.astype("float32"), discounts.astype("float32"), target, choosing)
    for i in range(BATCH):
        action = max(range(ACTIONS), key=lambda a, i=i: choosing[i, a])
        expected = rewards[i] + discounts[i] * target[i, action]
        assert float(found[i]) == pytest.approx(expected, abs=1e-5)


def test_distributions_are_projected_as_in_algorithm_1(random: np.random.Generator):
    rewards = random.normal(size=BATCH).astype("float32")
    discounts = np.where(random.random(BATCH) < 0.3, 0, 0.9).astype("float32")
    logits = random.normal(size=(BATCH, ACTIONS, ATOMS)).astype("float32")
    values = np.linspace(*RANGE, ATOMS)
    spacing = values[1] - values[0]
    probabilities = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    choosing = (probabilities * values).sum(-1)
    found = np.asarray(distribution_targets(rewards, discounts, logits, choosing, RANGE))
    np.testing.assert_allclose(found.sum(-1), 1, rtol=1e-5)
    for i in range(BATCH):
        expected = np.zeros(ATOMS)
        for j in range(ATOMS):
            moved = np.clip(rewards[i] + discounts[i] * values[j], *RANGE)
            place = (moved - RANGE[0]) / spacing
            low, high = int(np.floor(place + 1e-9)), int(np.ceil(place - 1e-9))
            share = probabilities[i, choosing[i].argmax(), j]
            if low == high:
                expected[low] += share
            else:
                expected[low] += share * (high - place)
                expected[high] += share * (place - low)
        np.testing.assert_allclose(found[i], expected, atol=1e-5)


def test_chosen_takes_each_examples_own_action(random: np.random.Generator):
    for shape in ((BATCH, ACTIONS), (BATCH, ACTIONS, ATOMS)):
        values = random.normal(size=shape).astype("float32")
        actions = random.integers(ACTIONS, size=BATCH)
        found = np.asarray(chosen(values, actions))
        np.testing.assert_allclose(found, values[np.arange(BATCH), actions], rtol=1e-6)


def test_huber_is_keras_own():
    errors = np.linspace(-3, 3, 13, dtype="float32")
    own = keras.losses.Huber(reduction=None)(errors[:, None], np.zeros((13, 1), "float32"))
    np.testing.assert_allclose(np.asarray(huber(errors)), np.asarray(own), rtol=1e-5)


def batches(random: np.random.Generator, updates: int) -> Transitions:
    shape = (updates, BATCH)
    return Transitions(
        observations=random.normal(size=(*shape, 4)).astype("float32"),
        actions=random.integers(2, size=shape).astype("int32"),
        rewards=random.normal(size=shape).astype("float32"),
        discounts=np.where(random.random(shape) < 0.2, 0, 0.97).astype("float32"),
        next_observations=random.normal(size=(*shape, 4)).astype("float32"),
        weights=random.uniform(0.2, 1, size=shape).astype("float32"),
        places=np.zeros(shape, "int64"),
    )


def recipe(**fields) -> ControlRecipe:
    return ControlRecipe(environment="CartPole-v1", steps=2_000, **fields)


def learner(given: ControlRecipe) -> Learner:
    keras.utils.set_random_seed(1)
    made = Learner(zoo.build(given.model, **given.arguments), given)
    made.target.set_weights([w * 1.1 for w in made.target.get_weights()])
    return made


def updated_by_hand(made: Learner, given: Transitions) -> list[float]:
    """Update a network by Keras alone, one transition's formula at a time."""
    losses = []
    for k in range(len(given.actions)):
        if k % made.recipe.target_period == 0:
            made.target.set_weights(made.model.get_weights())
        next_online = np.asarray(made.model(given.next_observations[k]))
        next_target = np.asarray(made.target(given.next_observations[k]))
        best = next_online.argmax(-1) if made.recipe.double else next_target.argmax(-1)
        aims = given.rewards[k] + given.discounts[k] * next_target[np.arange(BATCH), best]

        def loss_of(y_true: object, y_pred: object, k: int = k, aims: np.ndarray = aims):
            q = keras.ops.take_along_axis(y_pred, given.actions[k][:, None], axis=1)[:, 0]
            losses = keras.losses.Huber(reduction=None)(aims[:, None], q[:, None])
            return keras.ops.mean(losses * given.weights[k])

        made.model.compile(made.optimizer, loss_of)
        found = made.model.train_on_batch(given.observations[k], given.actions[k])
        losses.append(float(found))
    return losses


@pytest.mark.parametrize("double", [False, True])
def test_a_compiled_block_does_the_updates_that_keras_does(
    random: np.random.Generator, double: bool
):
    given = recipe(double=double, target_period=4, model="dqn")
    block = batches(random, 10)
    found, by_hand = learner(given), learner(given)
    losses, errors = found.update(block)
    expected = updated_by_hand(by_hand, block)
    np.testing.assert_allclose(losses, expected, rtol=1e-4)
    assert errors.shape == (10, BATCH)
    for one, other in zip(found.model.get_weights(), by_hand.model.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)


@pytest.mark.parametrize(
    ("model", "double"), [("dqn", False), ("dqn_dueling", True), ("dqn_c51", False)]
)
def test_both_trainers_learn_towards_the_same_targets(
    random: np.random.Generator, model: str, double: bool
):
    agents = pytest.importorskip("recipes.control.agents")
    given = recipe(model=model, double=double)
    keras.utils.set_random_seed(3)
    network = zoo.build(model)
    spaces = Spaces((4,), "float32", 2, "")
    # The transitions have their n rewards added up, as with priorities.
    settings = recipe(model=model, double=double, n_step=1)
    agent = agents.agent_of(network, settings, spaces, keras.optimizers.SGD(0.0))
    agent.initialize()
    target = agent._target_q_network._model
    target.set_weights([w * 1.2 for w in target.get_weights()])
    block = batches(random, 1)
    experience = agents.experience_of(block, 0, given.discount)
    # A loss that is only asked for has no discount of its own; that of a training has the agent's.
    theirs = agent.loss(experience, weights=block.weights[0], gamma=given.discount)

    outputs, following = network(block.observations[0]), target(block.next_observations[0])
    choosing = network(block.next_observations[0]) if double else following
    losses, errors = loss_and_errors(
        outputs,
        block.actions[0],
        block.rewards[0],
        block.discounts[0],
        following,
        choosing,
        (-10.0, 10.0),
    )
    categorical = model == "dqn_c51"  # there, tf-agents knows no weights, and tells no errors
    weights = 1.0 if categorical else block.weights[0]
    assert float(theirs.loss) == pytest.approx(np.mean(np.asarray(losses) * weights), rel=1e-5)
    if not categorical:
        np.testing.assert_allclose(np.asarray(errors), theirs.extra.td_error, atol=1e-5)


def test_a_distributional_network_learns(random: np.random.Generator):
    made = learner(recipe(model="dqn_c51", learning_rate=1e-2, target_period=1_000))
    block = batches(random, 1)
    many = Transitions(**{k: np.repeat(v, 60, axis=0) for k, v in vars(block).items()})
    losses, errors = made.update(many)
    # The target stands still but for its first copy: the same batch is learned by heart.
    assert losses[-1] < 0.9 * losses[0]
    assert (errors >= 0).all()
