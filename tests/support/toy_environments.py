"""Small Gymnasium environments for tests: one to count in, and several that are broken."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

LENGTH = 5
# Of a recipe that is through in seconds.
QUICK: dict[str, Any] = {
    "steps": 1_024,
    "block_steps": 128,
    "block_updates": 16,
    "warm_up": 256,
    "batch_size": 16,
    "evaluate_every": 256,
    "keep_every": 512,
    "evaluation_episodes": 3,
    "test_episodes": 4,
}


class Corridor(gym.Env):
    """Go right (1) to the end of a corridor; every step earns its number.

    Args:
        end: "terminated" where the end is the task's, "truncated" where time is up there.
        dtype: of what is observed.
        fault: "raise" in the third step, "reward" that is no number, "observation" that is none.
        actions: their number.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 25}

    def __init__(
        self,
        end: str = "terminated",
        dtype: str = "float32",
        fault: str = "",
        actions: int = 2,
        render_mode: str | None = None,
    ) -> None:
        self.end, self.fault, self.render_mode = end, fault, render_mode
        greatest = {"bool": 1, "uint8": 255}.get(dtype, 100)
        shape = (3,) if dtype == "float32" else (6, 6, 2)
        self.observation_space = spaces.Box(0, greatest, shape, dtype)
        self.action_space = spaces.Discrete(actions)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.step_number, self.place = 0, 0
        return self._seen(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.step_number += 1
        self.place += int(action)
        if self.fault == "raise" and self.step_number == 3:
            raise RuntimeError("the floor gave way")
        reward = float("nan") if self.fault == "reward" else float(self.step_number)
        over = self.step_number >= LENGTH
        ends = over and self.end == "terminated"
        return self._seen(), reward, ends, over and not ends, {}

    def _seen(self) -> np.ndarray:
        seen = np.zeros(self.observation_space.shape, self.observation_space.dtype)
        seen.flat[0] = self.step_number
        seen.flat[1] = self.place
        if self.fault == "observation" and self.step_number == 2:
            seen.flat[2] = np.nan
        return seen

    def render(self) -> np.ndarray:
        picture = np.zeros((16, 16, 3), "uint8")
        picture[:, : 1 + 3 * self.step_number] = 255
        return picture


gym.register("Corridor-v0", entry_point=Corridor)
