"""Learning by trial finds what planning finds, in environments with a table and without."""

import sys
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from scipy import sparse

from recipes.control.mdp import MDP
from recipes.control.planning import finite_horizon, policy_iteration, q_values
from recipes.control.policies import evaluate_policy
from recipes.control.tabular import METHODS, Learned, exponential, inverse_visits, learn, linear
from zoo.errors import InputError

SETTINGS: dict[str, dict[str, Any]] = {
    "FrozenLake-v1": {"steps": 1_000_000, "epsilon": 1.0, "step_size": inverse_visits(0.6)},
    "CliffWalking-v1": {"steps": 100_000, "epsilon": linear(1.0, 0.1), "step_size": 0.5},
    "Taxi-v4": {"steps": 600_000, "epsilon": linear(1.0, 0.1), "step_size": 0.5},
}


class Chain(gymnasium.Env):
    """States in a row, from the first of which "on" leads to the last; each step earns its reward.

    Args:
        length: number of states.
        ends: whether the last step ends the task.
        reward: rng -> the reward of a step.
        first: number of the first state, and of the first action.
    """

    def __init__(
        self,
        length: int = 1,
        ends: bool = False,
        reward: Callable[[np.random.Generator], float] = lambda rng: 1.0,
        first: int = 0,
    ) -> None:
        self.observation_space = Discrete(length, start=first)
        self.action_space = Discrete(2, start=first)
        self.length, self.ends, self.reward, self.first = length, ends, reward, first

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        self.place = 0
        return self.first, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(np.int64(action))
        last = self.place == self.length - 1
        self.place = min(self.place + (action == self.first + 1), self.length - 1)
        reward = self.reward(self.np_random)
        return self.place + self.first, reward, last and self.ends, False, {}


def limited(steps: int, **arguments: Any) -> Callable[[], gymnasium.Env]:
    """Return a function that makes a chain of so many steps."""
    return lambda: gymnasium.wrappers.TimeLimit(Chain(**arguments), steps)


def from_start(name: str, policy: np.ndarray, discount: float = 0.99) -> tuple[float, float]:
    """Return what a policy is worth from the start, exactly, and what the best one is."""
    mdp = MDP.from_gymnasium(name, discount)
    start = gymnasium.make(name).unwrapped.initial_state_distrib
    best = policy_iteration(mdp).values
    return float(start @ evaluate_policy(mdp, policy)), float(start @ best)


def same(one: Learned, other: Learned) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("q_values", "visits", "returns", "lengths")
    )


@pytest.mark.parametrize("name", SETTINGS)
def test_q_learning_finds_the_optimum_of_planning(name: str):
    worth, best = from_start(name, learn(name, **SETTINGS[name]).policy)
    assert worth == pytest.approx(best, abs=1e-9)


def test_q_learning_comes_near_the_optimum_of_a_larger_lake():
    learned = learn(
        "FrozenLake8x8-v1", steps=2_000_000, epsilon=1.0, step_size=exponential(0.5, 0.001)
    )
    worth, best = from_start("FrozenLake8x8-v1", learned.policy)
    assert best - 0.01 < worth <= best + 1e-9


@pytest.mark.parametrize(
    ("method", "name", "gap"),  # what the greedy policy may lack, from the start
    [
        ("sarsa", "FrozenLake-v1", 0.01),
        ("sarsa", "Taxi-v4", 0.05),
        ("expected_sarsa", "FrozenLake-v1", 0.01),
        ("expected_sarsa", "Taxi-v4", 1e-9),
        ("double_q_learning", "FrozenLake-v1", 1e-9),
        ("double_q_learning", "CliffWalking-v1", 1e-9),
        ("double_q_learning", "Taxi-v4", 1e-9),
    ],
)
def test_the_others_find_it_when_exploration_fades(method: str, name: str, gap: float):
    learned = learn(
        name, method, 1_000_000, epsilon=linear(1.0, 0.01), step_size=exponential(0.5, 0.02)
    )
    worth, best = from_start(name, learned.policy)
    assert best - gap <= worth <= best + 1e-9


def test_q_learning_finds_the_values_too():
    name = "CliffWalking-v1"
    learned = learn(name, steps=400_000, epsilon=1.0, step_size=0.5)
    mdp = MDP.from_gymnasium(name, 0.99)
    exact = policy_iteration(mdp).q_values
    tried = learned.visits > 200
    assert tried.sum() > 100
    np.testing.assert_allclose(learned.q_values[tried], exact[tried], atol=0.01)


def test_sarsa_takes_the_safer_path_along_the_cliff():
    name, epsilon = "CliffWalking-v1", 0.1
    mdp = MDP.from_gymnasium(name, 1.0)

    def path(method: str) -> tuple[list[int], float]:
        """Return the rows of the greedy path, and what the path is worth with its exploration."""
        rate = exponential(0.5, 0.005)
        learned = learn(
            name, method, steps=1_000_000, discount=1.0, epsilon=epsilon, step_size=rate
        )
        state, rows = 36, []
        table = gymnasium.make(name).unwrapped.P
        while state != 47 and len(rows) < 50:
            ((_, state, _, _),) = table[state][int(learned.policy[state])]
            rows.append(state // 12)
        soft = np.full((48, 4), epsilon / 4)
        soft[np.arange(48), learned.policy] += 1 - epsilon
        return rows, float(evaluate_policy(mdp, soft)[36])

    bold, fallen = path("q_learning")
    assert len(bold) == 13  # the shortest way
    assert set(bold) == {2, 3}
    for method in ("sarsa", "expected_sarsa"):
        careful, worth = path(method)
        assert 0 in careful or 1 in careful
        assert careful[5] < 2  # in the middle of the cliff, not at its edge
        assert worth > fallen + 10


class Doubling(Chain):
    """Two states; what is done in the second is the reward, and the end."""

    def __init__(self, done: list[list[int]]) -> None:
        super().__init__(2)
        self.done = done

    def reset(self, **arguments: Any) -> tuple[int, dict[str, Any]]:
        self.done.append([])
        return super().reset(**arguments)

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        self.done[-1].append(int(action))
        last = len(self.done[-1]) == 2
        return 1, float(action) if last else 0.0, last, False, {}


@pytest.mark.parametrize("seed", range(10))
def test_sarsa_does_what_it_learns_from(seed: int):
    done: list[list[int]] = []
    learned = learn(
        lambda: Doubling(done),
        "sarsa",
        steps=100,
        copies=1,
        epsilon=1.0,
        step_size=1.0,
        discount=1.0,
        seed=seed,
    )
    first, then = [episode for episode in done if len(episode) == 2][-1]
    assert learned.q_values[1].tolist() == [0, 1]
    assert learned.q_values[0, first] == then


def test_expected_sarsa_finds_the_values_of_its_own_exploration():
    learned = learn(
        "CliffWalking-v1", "expected_sarsa", steps=800_000, epsilon=0.3, step_size=0.5, discount=0.9
    )
    mdp = MDP.from_gymnasium("CliffWalking-v1", 0.9)
    soft = np.full((48, 4), 0.3 / 4)
    soft[np.arange(48), learned.policy] += 0.7
    exact = q_values(mdp, evaluate_policy(mdp, soft))
    tried = learned.visits > 1000
    assert tried.sum() > 40
    np.testing.assert_allclose(learned.q_values[tried], exact[tried], atol=0.05)


def test_expected_sarsa_without_exploration_is_q_learning():
    one, other = (
        learn("FrozenLake-v1", method, steps=20_000, epsilon=0.0, initial=1.0)
        for method in ("q_learning", "expected_sarsa")
    )
    assert same(one, other)


class Bias(gymnasium.Env):
    """Sutton & Barto's example 6.7: to the right, 0; to the left, ten ways to lose 0.1 or so."""

    observation_space, action_space = Discrete(2), Discrete(10)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        self.left = False
        return 0, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        if self.left:
            return 1, self.np_random.normal(-0.1, 1.0), True, False, {}
        self.left = action == 0
        return int(self.left), 0.0, not self.left, False, {}


def test_double_q_learning_does_not_overestimate():
    def expected(method: str) -> float:
        """Return what going left seems to be worth, on average over runs: -0.1 is true."""
        runs = [
            learn(Bias, method, steps=2_000, discount=1.0, copies=1, epsilon=1.0, seed=seed)
            for seed in range(10)
        ]
        return float(np.mean([run.q_values[0, 0] for run in runs]))

    assert expected("q_learning") > 0.1
    assert expected("double_q_learning") == pytest.approx(-0.1, abs=0.1)


@pytest.mark.parametrize("method", METHODS)
def test_an_episode_cut_off_is_worth_going_on(method: str):
    settings = {"discount": 0.9, "epsilon": 1.0, "step_size": 0.5, "copies": 4, "steps": 4_000}
    going = learn(limited(5), method, **settings)
    np.testing.assert_allclose(going.q_values, 1 / (1 - 0.9), rtol=1e-6)
    assert set(going.lengths) == {5}
    over = learn(limited(5, ends=True), method, **settings)
    np.testing.assert_allclose(over.q_values, 1, rtol=1e-6)
    assert set(over.lengths) == {1}


def test_numbers_may_begin_anywhere():
    settings: dict[str, Any] = {"discount": 0.9, "epsilon": 0.5, "step_size": 0.5, "steps": 10_000}
    plain, shifted = (
        learn(limited(20, length=3, ends=True, first=first), **settings) for first in (0, 5)
    )
    assert same(plain, shifted)
    assert plain.q_values.shape == (3, 2)


def test_the_inverse_of_the_visits_makes_the_mean_of_all_rewards():
    drawn: list[float] = []

    def reward(rng: np.random.Generator) -> float:
        drawn.append(float(rng.normal()))
        return drawn[-1]

    learned = learn(
        limited(3, reward=reward, ends=True),
        steps=300,
        copies=1,
        epsilon=0.0,
        step_size=inverse_visits(1.0),
        initial=-100.0,
    )
    tried = int(learned.visits.argmax())
    assert learned.visits.ravel()[tried] == len(drawn) == 300
    assert learned.q_values.ravel()[tried] == pytest.approx(np.mean(drawn), abs=1e-9)


def test_copies_in_one_place_move_as_far_as_one_after_the_other():
    settings: dict[str, Any] = {"epsilon": 0.0, "step_size": 0.5, "initial": -1.0}
    found = [
        learn(limited(1, ends=True), steps=8, copies=copies, **settings) for copies in (1, 2, 8)
    ]
    for learned in found:
        assert learned.visits.sum() == 8
        moved = 1 - (1 - 0.5) ** learned.visits
        np.testing.assert_allclose(learned.q_values, -1 + 2 * moved)


@pytest.mark.parametrize("use_table", [True, False])
def test_a_world_does_what_its_table_says(use_table: bool):
    """At random, FrozenLake's 100 steps earn what backward induction over 100 steps computes."""
    mdp = MDP.from_gymnasium("FrozenLake-v1", 1.0)
    steps = 150_000 if use_table else 50_000
    learned = learn("FrozenLake-v1", steps=steps, epsilon=1.0, use_table=use_table, copies=50)
    chain = mdp.transitions.toarray().reshape(4, 16, 16).mean(axis=0)
    rewards, ending = (x.mean(axis=1, keepdims=True) for x in (mdp.rewards, mdp.ending))
    uniform = MDP(sparse.csr_array(chain), rewards, 1.0, ending)
    chance = finite_horizon(uniform, 100)[0][0, 0]
    deviation = np.sqrt(chance * (1 - chance) / len(learned.returns))
    assert learned.returns.mean() == pytest.approx(chance, abs=4 * deviation)
    assert set(learned.returns) == {0.0, 1.0}
    assert learned.lengths.max() <= 100


def test_the_start_of_an_episode_is_drawn_as_the_environment_draws_it():
    learned = learn("Taxi-v4", steps=60_000, epsilon=1.0, copies=60_000)  # one step each
    start = gymnasium.make("Taxi-v4").unwrapped.initial_state_distrib
    visits = learned.visits.sum(axis=1)
    assert not visits[start == 0].any()
    np.testing.assert_allclose(visits[start > 0], 200, atol=6 * np.sqrt(200))


def test_a_limit_of_steps_is_kept():
    learned = learn("Taxi-v4", steps=100_000, epsilon=1.0, copies=10)
    assert learned.lengths.max() == 200
    made = learn(lambda: gymnasium.make("Taxi-v4", max_episode_steps=17), steps=10_000, epsilon=1.0)
    assert made.lengths.max() == 17


def test_the_history_is_of_whole_episodes():
    learned = learn("CliffWalking-v1", steps=50_000, epsilon=0.1, copies=10)
    assert learned.visits.sum() == 50_000
    assert len(learned.returns) == len(learned.lengths) > 100
    assert 0 <= 50_000 - learned.lengths.sum() < 10 * 10_000
    falls = (-learned.returns - learned.lengths) / 99  # each costs 100 in place of 1
    np.testing.assert_array_equal(falls, falls.round())
    assert learned.lengths.min() >= 13
    assert learned.returns[-50:].mean() > learned.returns[:50].mean() + 50


def test_what_wraps_an_environment_is_not_passed_over():
    def doubled() -> gymnasium.Env:
        environment = gymnasium.make("FrozenLake-v1")
        return gymnasium.wrappers.TransformReward(environment, lambda reward: 2 * reward)

    assert set(learn(doubled, steps=20_000, epsilon=1.0).returns) == {0.0, 2.0}


@pytest.mark.parametrize(("fickle", "equal"), [(True, True), (False, False)])
def test_a_table_that_does_not_tell_all_is_not_stepped_from(fickle: bool, equal: bool):
    settings: dict[str, Any] = {"steps": 3_000, "options": {"fickle_passenger": fickle}}
    by_default, stepped = (
        learn("Taxi-v4", use_table=use_table, **settings) for use_table in (True, False)
    )
    assert same(by_default, stepped) == equal


@pytest.mark.parametrize("use_table", [True, False])
def test_a_seed_decides_everything(use_table: bool):
    def learned(seed: int) -> Learned:
        return learn("FrozenLake-v1", steps=6_000, epsilon=0.5, seed=seed, use_table=use_table)

    assert same(learned(1), learned(1))
    assert not same(learned(1), learned(2))


def test_schedules_are_told_the_time_and_the_visits():
    seen: dict[str, list[tuple[float, np.ndarray]]] = {"epsilon": [], "step_size": []}

    def watched(name: str) -> Callable[[float, np.ndarray], float]:
        def rate(done: float, visits: np.ndarray) -> float:
            seen[name].append((done, visits.copy()))
            return 0.5

        return rate

    learned = learn(
        limited(10), steps=400, copies=4, epsilon=watched("epsilon"), step_size=watched("step_size")
    )
    for calls in seen.values():
        times = [done for done, _ in calls]
        assert times == sorted(times)
        assert times[0] == 0
        assert 0.98 < times[-1] < 1
    assert all((visits >= 1).all() for _, visits in seen["step_size"])
    assert (seen["epsilon"][-1][1] == learned.visits.sum()).all()
    assert seen["step_size"][-1][1].max() <= learned.visits.max()


def test_initial_values_above_all_make_everything_be_tried():
    shy, curious = (
        learn(
            "CliffWalking-v1", steps=20_000, epsilon=0.0, step_size=0.5, initial=initial, copies=1
        )
        for initial in (-200.0, 0.0)
    )
    assert (shy.visits > 0).sum() < (curious.visits > 0).sum()
    assert from_start("CliffWalking-v1", curious.policy)[0] == pytest.approx(-12.2479, abs=1e-4)


class Wide(Chain):
    """Continuous actions."""

    def __init__(self) -> None:
        super().__init__()
        self.action_space = Box(-1, 1, (1,))


class Failing(Chain):
    """Breaks in its third step."""

    steps = 0

    def step(self, action: int) -> Any:
        self.steps += 1
        if self.steps == 3:
            raise ZeroDivisionError("nobody divides by zero")
        return super().step(action)


@pytest.mark.parametrize(
    ("environment", "settings", "what"),
    [
        ("FrozenLake-v1", {"method": "sarsas"}, "there is no method 'sarsas'; did you mean 'sars"),
        ("FrozenLak-v1", {}, "there is no environment 'FrozenLak-v1'; did you mean 'FrozenLake"),
        ("CartPole-v1", {}, "a table needs numbered states"),
        ("Blackjack-v1", {}, "a table needs numbered states"),
        (Wide, {}, "a table needs numbered actions; those of .* are Box"),
        (Chain(), {}, "by its id, or by a function"),
        (lambda: 3, {}, "by its id, or by a function"),
        ("FrozenLake-v1", {"options": {"depth": 3}}, "does not take these options"),
        (limited(5, reward=lambda rng: np.nan), {}, "a reward is finite; that of step 0 is not"),
        (Failing, {"steps": 1000}, "raised ZeroDivisionError: nobody divides by zero"),
        ("FrozenLake-v1", {"discount": 1.1}, "the discount is from 0 to 1, not 1.1"),
        ("FrozenLake-v1", {"epsilon": -0.1}, "a rate is from 0 to 1, not -0.1"),
        ("FrozenLake-v1", {"step_size": 1.5}, "a rate is from 0 to 1, not 1.5"),
        ("FrozenLake-v1", {"step_size": np.nan}, "a rate is from 0 to 1, not nan"),
        ("FrozenLake-v1", {"copies": 0}, "of 0 copies"),
        ("FrozenLake-v1", {"steps": 10}, "10 steps of 64 copies are not one each"),
    ],
)
def test_what_cannot_be_learned_is_refused(environment: Any, settings: dict[str, Any], what: str):
    with pytest.raises(InputError, match=what):
        learn(environment, **({"steps": 1000} | settings))


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: linear(1.2, 0.0), "a rate is from 0 to 1, not 1.2"),
        (lambda: linear(1.0, 0.0, share=2.0), "not 2.0"),
        (lambda: exponential(1.0, 0.0), "exponentially: one is 0"),
        (lambda: exponential(1.0, -0.5), "a rate is from 0 to 1, not -0.5"),
        (lambda: inverse_visits(-1.0), "the power is at least 0, not -1"),
    ],
)
def test_no_schedule_leaves_what_a_rate_may_be(make: Callable[[], Any], what: str):
    with pytest.raises(InputError, match=what):
        make()


def test_a_missing_gymnasium_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    for call in (lambda: learn("Taxi-v4"), lambda: MDP.from_gymnasium("Taxi-v4", 0.9)):
        with pytest.raises(InputError, match=r'pip install "deepzoo\[control\]"'):
            call()
