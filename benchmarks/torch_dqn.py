"""The contenders of `dqn.py` that compute by PyTorch; it imports nothing of the zoo."""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import nn

WARM_UP, BATCH, CAPACITY, RATE, DISCOUNT = 1_024, 64, 50_000, 1e-3, 0.99
TARGET_PERIOD = 128  # updates, one for two steps
EXPLORATION, FIRST_EPSILON, LAST_EPSILON = 0.3, 1.0, 0.05
EVALUATE_EVERY, EPISODES = 512, 20


def evaluate(act: Callable[[np.ndarray], np.ndarray], seed: int) -> float:
    """Return the mean return of a greedy policy, its episodes side by side."""
    environments = gym.make_vec("CartPole-v1", num_envs=EPISODES)
    observations, _ = environments.reset(seed=seed)
    returns, over = np.zeros(EPISODES), np.zeros(EPISODES, bool)
    while not over.all():
        observations, rewards, terminated, truncated, _ = environments.step(act(observations))
        returns += np.where(over, 0, rewards)
        over |= terminated | truncated
    environments.close()
    return float(returns.mean())


class Watch:
    """The clock, which evaluations stop."""

    def __init__(self, act: Callable[[np.ndarray], np.ndarray], seed: int) -> None:
        self.act, self.seed = act, seed
        self.curve: list[tuple[int, float, float]] = []
        self.spent, self.began = 0.0, time.perf_counter()

    def stop(self, step: int, count: int) -> None:
        """Count a step; evaluate if it is time to."""
        if step % EVALUATE_EVERY >= count:
            return
        self.spent += time.perf_counter() - self.began
        self.curve.append((step, self.spent, evaluate(self.act, 10_000 * self.seed + step)))
        self.began = time.perf_counter()

    def seconds(self) -> float:
        """Return the seconds so far."""
        return self.spent + time.perf_counter() - self.began


def network() -> nn.Sequential:
    """Return the perceptron."""
    layers = [nn.Linear(4, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 2)]
    return nn.Sequential(*layers)


def run_cleanrl(seed: int, steps: int) -> dict[str, Any]:
    """Train in the manner of CleanRL's dqn.py: one environment, a step, perhaps an update."""
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    learner, target = network(), network()
    target.load_state_dict(learner.state_dict())
    optimizer = torch.optim.Adam(learner.parameters(), lr=RATE)
    seen, following = (np.zeros((CAPACITY, 4), "float32") for _ in range(2))
    actions, rewards, ended = (np.zeros(CAPACITY, kind) for kind in ("int64", "float32", "float32"))

    def act(observations: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return learner(torch.as_tensor(observations)).argmax(-1).numpy()

    environment = gym.make("CartPole-v1")
    observation, _ = environment.reset(seed=seed)
    updates, watch = 0, Watch(act, seed)
    for step in range(1, steps + 1):
        progress = min(1.0, step / (EXPLORATION * steps))
        epsilon = FIRST_EPSILON + progress * (LAST_EPSILON - FIRST_EPSILON)
        if step <= WARM_UP or random.random() < epsilon:
            action = int(random.integers(2))
        else:
            action = int(act(observation[None])[0])
        after, reward, terminated, truncated, _ = environment.step(action)
        place = (step - 1) % CAPACITY
        seen[place], following[place], actions[place] = observation, after, action
        rewards[place], ended[place] = reward, terminated
        observation = environment.reset()[0] if terminated or truncated else after
        if step > WARM_UP and step % 2 == 0:
            drawn = random.integers(min(step, CAPACITY), size=BATCH)
            with torch.no_grad():
                best = target(torch.as_tensor(following[drawn])).max(-1).values
                left = DISCOUNT * (1 - torch.as_tensor(ended[drawn]))
                aims = torch.as_tensor(rewards[drawn]) + left * best
            values = learner(torch.as_tensor(seen[drawn]))
            own = values.gather(1, torch.as_tensor(actions[drawn])[:, None])[:, 0]
            loss = nn.functional.smooth_l1_loss(own, aims)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(learner.parameters(), 10.0)
            optimizer.step()
            updates += 1
            if updates % TARGET_PERIOD == 0:
                target.load_state_dict(learner.state_dict())
        watch.stop(step, 1)
    return {
        "environments": 1,
        "steps": steps,
        "updates": updates,
        "parameters": sum(p.numel() for p in learner.parameters()),
        "seconds": watch.seconds(),
        "curve": watch.curve,
        "framework": f"torch {torch.__version__}",
    }


def run_sb3(seed: int, steps: int, count: int) -> dict[str, Any]:
    """Train by Stable-Baselines3."""
    import stable_baselines3 as sb3
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.env_util import make_vec_env

    agent = sb3.DQN(
        "MlpPolicy",
        make_vec_env("CartPole-v1", n_envs=count, seed=seed),
        learning_rate=RATE,
        buffer_size=CAPACITY,
        learning_starts=WARM_UP,
        batch_size=BATCH,
        gamma=DISCOUNT,
        train_freq=max(1, 2 // count),  # in steps of all environments at once
        gradient_steps=max(1, count // 2),
        target_update_interval=2 * TARGET_PERIOD,
        exploration_fraction=EXPLORATION,
        exploration_final_eps=LAST_EPSILON,
        max_grad_norm=10.0,
        policy_kwargs={"net_arch": [120, 84]},
        seed=seed,
        device="cpu",
    )

    def act(observations: np.ndarray) -> np.ndarray:
        return agent.predict(observations, deterministic=True)[0]

    watch = Watch(act, seed)

    class Stop(BaseCallback):
        def _on_step(self) -> bool:
            watch.stop(self.num_timesteps, count)
            return True

    agent.learn(steps, callback=Stop())
    return {
        "environments": count,
        "steps": agent.num_timesteps,
        "updates": agent._n_updates,
        "parameters": sum(p.numel() for p in agent.policy.q_net.parameters()),
        "seconds": watch.seconds(),
        "curve": watch.curve,
        "framework": f"stable-baselines3 {sb3.__version__}, torch {torch.__version__}",
    }


if __name__ == "__main__":
    name, seed, steps = sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    if name == "cleanrl":
        print(json.dumps(run_cleanrl(seed, steps)))
    else:
        print(json.dumps(run_sb3(seed, steps, 8 if name == "sb3-8" else 1)))
