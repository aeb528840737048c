"""The recipes of control: those of the packaged agents, and one for a machine with a GPU."""

from recipes.control.recipe import ControlRecipe
from zoo.registry import unknown

CONTROL_RECIPES = {
    "dqn-cartpole": ControlRecipe(
        environment="CartPole-v1",
        steps=14_848,
        discount=0.98,
        batch_size=128,
        block_updates=512,
        evaluate_every=512,
        quantize="int8",
    ),
    "dqn-lunarlander": ControlRecipe(
        environment="LunarLander-v3",
        steps=200_000,
        arguments={"hidden": [256, 256]},
        learning_rate=5e-4,
        batch_size=128,
        block_updates=256,
        target_period=256,
        replay_capacity=200_000,
        warm_up=4_096,
        exploration=0.15,
        final_epsilon=0.02,
        evaluate_every=5_120,
        keep_every=51_200,
        quantize="int8",
    ),
    "dqn-breakout-minatar": ControlRecipe(
        environment="MinAtar/Breakout-v1",
        # Episodes of a good player would not end.
        environment_options={"max_episode_steps": 5_000},
        steps=3_000_000,
        model="dqn_minatar",
        environments=32,
        block_steps=512,
        block_updates=128,
        batch_size=128,
        learning_rate=5e-4,
        schedule="cosine",
        target_period=1_000,
        replay_capacity=500_000,
        warm_up=8_192,
        exploration=0.1,
        final_epsilon=0.01,
        evaluate_every=65_536,
        keep_every=524_288,
        quantize="int8",
    ),
    # For a machine with a GPU; its replay takes 1.4 GB.
    "dqn-pong": ControlRecipe(
        environment="ALE/Pong-v5",
        steps=2_000_000,
        model="dqn_nature",
        batch_size=32,
        block_updates=64,
        learning_rate=1e-4,
        target_period=1_000,
        replay_capacity=200_000,
        warm_up=20_000,
        exploration=0.1,
        final_epsilon=0.01,
        reward_range=[-1, 1],
        evaluate_every=51_200,
        evaluation_episodes=10,
        keep_every=204_800,
        test_episodes=20,
    ),
}


def control_recipe_of(name: str) -> ControlRecipe:
    """Return a recipe of control.

    Raises:
        InputError: there is none of that name; the nearest ones are given.
    """
    if name not in CONTROL_RECIPES:
        raise unknown(name, CONTROL_RECIPES, "recipe of control")
    return CONTROL_RECIPES[name]
