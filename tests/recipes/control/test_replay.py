"""What an agent remembers, against plain loops over whole episodes."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recipes.control.replay import Replay, SumTree
from zoo.errors import InputError

DISCOUNT = 0.9


@dataclass
class Step:
    """A step as it was: what was observed, done, earned, and whether anything came then."""

    observation: int
    action: int
    reward: float
    ended: str  # "", "terminated" or "truncated"
    following: int


def filled(replay: Replay, episodes: list[list[tuple[float, str]]]) -> list[list[Step]]:
    """Play episodes one after the other, in each environment its own, as Gymnasium does."""
    count = replay.environments
    streams: list[list[Step | int]] = []
    for copy in range(count):
        stream: list[Step | int] = []
        seen = 1_000 * copy
        for rewards in episodes:
            for number, (reward, end) in enumerate(rewards):
                last = number == len(rewards) - 1
                stream.append(Step(seen, seen % 3, reward + copy, end if last else "", seen + 1))
                seen += 1
            stream.append(seen)  # the last observation: the step after it only begins anew
            seen += 1
        streams.append(stream)
    for row in zip(*streams, strict=True):
        real = [isinstance(step, Step) for step in row]
        replay.add(
            np.array([s.observation if isinstance(s, Step) else s for s in row]),
            np.array([s.action if isinstance(s, Step) else 7 for s in row]),
            np.array([s.reward if isinstance(s, Step) else 0 for s in row]),
            np.array([isinstance(s, Step) and s.ended == "terminated" for s in row]),
            np.array([isinstance(s, Step) and s.ended == "truncated" for s in row]),
            np.array(real),
        )
    return [[s for s in stream if isinstance(s, Step)] for stream in streams]


def returns_by_hand(steps: list[Step], start: int, n: int) -> tuple[float, float, int]:
    """Return the n rewards' sum, the discount of what follows, and what is observed then."""
    total, discount, step = 0.0, 1.0, steps[start]
    for step in steps[start : start + n]:
        total += discount * step.reward
        discount *= DISCOUNT
        if step.ended:
            break
    return total, 0.0 if step.ended == "terminated" else discount, step.following


episodes_drawn = st.lists(
    st.tuples(
        st.lists(st.floats(-5, 5, width=32), min_size=1, max_size=9),
        st.sampled_from(["terminated", "truncated"]),
    ).map(lambda drawn: [(reward, drawn[1]) for reward in drawn[0]]),
    min_size=2,
    max_size=8,
)


@pytest.mark.parametrize("priority", [0.0, 0.6])
@given(episodes=episodes_drawn, n=st.integers(1, 5), rows=st.integers(8, 60))
@settings(max_examples=40, deadline=None)
def test_n_step_returns_are_those_of_a_loop_over_the_episode(
    priority: float, episodes: list[list[tuple[float, str]]], n: int, rows: int
):
    replay = Replay(2 * rows, 2, (), "int64", n, DISCOUNT, priority)
    streams = filled(replay, episodes)
    if not replay.real[: min(replay.added, rows)].any() or replay.known < 1:
        return
    by_observation = {
        step.observation: (steps, place) for steps in streams for place, step in enumerate(steps)
    }
    oldest = max(0, replay.added - rows)
    eligible = [r for r in range(oldest, replay.added - n) if replay.real[r % rows].any()]
    if not eligible:
        return
    drawn = replay.draw((3, 40), np.random.default_rng(0))
    for index in np.ndindex(drawn.actions.shape):
        steps, place = by_observation[int(drawn.observations[index])]
        total, discount, following = returns_by_hand(steps, place, n)
        assert drawn.actions[index] == steps[place].action
        assert drawn.rewards[index] == pytest.approx(total, abs=1e-4)
        assert drawn.discounts[index] == pytest.approx(discount, abs=1e-6)
        assert drawn.next_observations[index] == following


def steady(count: int, rows: int, **options) -> Replay:
    replay = Replay(rows, 1, (), "int64", 1, DISCOUNT, **options)
    for step in range(count):
        replay.add([step], [0], [step], [False], [False])
    return replay


def test_what_is_overwritten_is_not_drawn_any_more():
    drawn = steady(25, 10).draw((500,), np.random.default_rng(0))
    assert set(drawn.observations) == set(range(15, 24))
    assert (drawn.next_observations == drawn.observations + 1).all()


def test_all_are_drawn_alike():
    drawn = steady(11, 20).draw((20_000,), np.random.default_rng(0))
    counts = np.bincount(drawn.observations, minlength=10)
    assert (np.abs(counts / 2_000 - 1) < 0.1).all()
    assert (drawn.weights == 1).all()


def test_a_cut_leads_to_what_was_observed_last_and_not_into_the_next_episode():
    replay = Replay(40, 1, (), "int64", 3, DISCOUNT)
    for step in range(5):
        replay.add([step], [0], [1.0], [False], [False])
    replay.cut(np.array([5]))
    for step in range(100, 106):
        replay.add([step], [0], [1.0], [False], [False])
    drawn = replay.draw((500,), np.random.default_rng(0))
    assert 5 not in drawn.observations
    last = drawn.observations == 4
    assert last.any()
    assert set(drawn.next_observations[last]) == {5}
    assert drawn.rewards[last] == pytest.approx(1.0)
    assert drawn.discounts[last] == pytest.approx(DISCOUNT)


def test_transitions_are_drawn_in_proportion_to_their_priorities():
    replay = steady(11, 20, priority=0.5)
    first = replay.draw((10_000,), np.random.default_rng(0))
    assert np.bincount(first.observations, minlength=10).min() > 800  # new ones are alike
    replay.prioritize(np.arange(10), np.arange(10.0) ** 2)  # to the power of a half: 0 … 9
    drawn = replay.draw((45_000,), np.random.default_rng(1), importance=1.0)
    counts = np.bincount(drawn.observations, minlength=10)
    np.testing.assert_allclose(counts[1:] / 1_000, np.arange(1, 10), rtol=0.12)
    assert counts[0] < 20
    # The weights make up for it: of the rarest, 1, and of the others in inverse proportion.
    for place in range(2, 10):
        weights = drawn.weights[drawn.observations == place]
        one = drawn.weights[drawn.observations == 1][0]
        assert weights == pytest.approx(one / place, rel=1e-3)


def test_a_new_transition_gets_the_greatest_priority_so_far():
    replay = steady(6, 20, priority=1.0)
    replay.prioritize(np.arange(5), np.array([1.0, 1, 1, 1, 50]))
    replay.add([6], [0], [6], [False], [False])
    drawn = replay.draw((4_000,), np.random.default_rng(0))
    share = (drawn.observations == 5).mean()
    assert share == pytest.approx(50 / 104, abs=0.04)


@pytest.mark.parametrize("priority", [0.0, 0.6])
@given(lengths=st.lists(st.integers(1, 9), min_size=2, max_size=9), rows=st.integers(8, 40))
@settings(max_examples=40, deadline=None)
def test_pictures_kept_once_come_back_as_they_were_observed(
    priority: float, lengths: list[int], rows: int
):
    whole = Replay(2 * rows, 2, (1, 4), "int64", 2, DISCOUNT, priority)
    once = Replay(2 * rows, 2, (1, 4), "int64", 2, DISCOUNT, priority, frames=4)
    picture = 0
    for length in lengths:
        shown: list[int] = []
        for step in range(length + 1):  # the last one is only observed
            picture += 1
            shown.append(picture)
            last = [shown[max(0, step - back)] for back in (3, 2, 1, 0)]
            observed = np.array([[last], [[-x for x in last]]])
            ends, real = np.full(2, step == length - 1), np.full(2, step < length)
            for replay in (whole, once):
                replay.add(observed, np.zeros(2), np.ones(2), ends, np.zeros(2, bool), real)
    found = [once.real[step % rows].any() for step in range(once._oldest, once.added - 2)]
    if not any(found):
        return
    drawn = once.draw((50,), np.random.default_rng(0))
    expected = whole.transitions(drawn.places, drawn.weights)
    for name in ("observations", "next_observations", "rewards", "discounts"):
        np.testing.assert_array_equal(getattr(drawn, name), getattr(expected, name))
    assert once.observations.nbytes * 4 == whole.observations.nbytes


def test_a_replay_that_is_too_small_is_refused():
    with pytest.raises(InputError, match="too small"):
        Replay(16, 2, (84, 84, 4), "uint8", 4, DISCOUNT, frames=4)


def test_what_was_kept_comes_back(tmp_path):
    replay = steady(25, 10, priority=0.5)
    replay.prioritize(np.arange(5), np.arange(5.0))
    np.savez(tmp_path / "state.npz", **replay.state())
    again = Replay(10, 1, (), "int64", 1, DISCOUNT, priority=0.5)
    with np.load(tmp_path / "state.npz") as arrays:
        again.restore(dict(arrays))
    for replay_ in (replay, again):
        replay_.add([25], [0], [25], [False], [False])
    one, other = (r.draw((99,), np.random.default_rng(0)) for r in (replay, again))
    np.testing.assert_array_equal(one.observations, other.observations)
    np.testing.assert_array_equal(one.weights, other.weights)


@given(values=st.lists(st.floats(0, 10), min_size=1, max_size=70), data=st.data())
@settings(max_examples=100, deadline=None)
def test_a_sum_tree_finds_what_a_running_sum_finds(values: list[float], data: st.DataObject):
    array = np.array(values)
    if array.sum() < 1e-3:
        return
    tree = SumTree(len(array))
    tree[np.arange(len(array))] = array
    assert tree.total == pytest.approx(array.sum())
    sums = np.array(data.draw(st.lists(st.floats(0, 0.999), min_size=1, max_size=20))) * tree.total
    expected = np.searchsorted(np.cumsum(array), sums, side="right")
    found = tree.find(sums)
    # Where rounding decides, the neighbour is right, too.
    near = np.abs(np.cumsum(array)[np.minimum(found, len(array) - 1)] - sums) < 1e-9
    before = np.concatenate([[0], np.cumsum(array)])[found]
    assert ((found == expected) | near | (np.abs(before - sums) < 1e-9)).all()
    assert (array[found] > 0).all()


def test_a_sum_tree_takes_changes_of_a_few():
    tree = SumTree(100)
    tree[np.arange(100)] = np.ones(100)
    tree[np.array([3, 3, 97])] = np.array([9.0, 5.0, 0.0])
    assert tree.total == pytest.approx(98 + 5)
    assert tree[np.array([3, 97])].tolist() == [5.0, 0.0]
