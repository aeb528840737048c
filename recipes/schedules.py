"""How the learning rate goes over the steps of a training."""

from typing import Any

import keras
from keras import ops

SCHEDULES = ("constant", "step", "exponential", "cosine", "inverse_sqrt", "one_cycle")
WARMED = ("cosine", "inverse_sqrt")  # those that a warm-up can come before


@keras.saving.register_keras_serializable(package="recipes")
class InverseSquareRoot(keras.optimizers.schedules.LearningRateSchedule):
    """Rises linearly from zero, and then falls with one over the root of the steps.

    *Attention Is All You Need*, Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, section 5.3

    Args:
        rate: the highest, at the end of the warm-up.
        warmup_steps: number of steps of the rise.
    """

    def __init__(self, rate: float, warmup_steps: int) -> None:
        self.rate, self.warmup_steps = rate, warmup_steps

    def __call__(self, step: Any) -> Any:
        """Return the rate of a step, whose number counts from 0."""
        done = (ops.cast(step, "float32") + 1) / self.warmup_steps
        return self.rate * ops.minimum(done, ops.rsqrt(done))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {"rate": self.rate, "warmup_steps": self.warmup_steps}


def learning_rates(
    schedule: str, rate: float, steps: int, warmup: float = 0.0
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """Return a schedule over `steps` steps whose highest learning rate is `rate`.

    Example:
        >>> from recipes.schedules import learning_rates
        >>> rates = learning_rates("one_cycle", 1.0, 100)
        >>> [round(float(rates(step)), 2) for step in (0, 30, 65, 100)]
        [0.04, 1.0, 0.5, 0.0]
    """
    schedules = keras.optimizers.schedules
    rising = round(steps * (0.3 if schedule == "one_cycle" else warmup))
    falling = max(1, steps - rising)
    if schedule == "step":
        limits = [steps // 2, steps * 3 // 4]
        return schedules.PiecewiseConstantDecay(limits, [rate, rate / 10, rate / 100])
    if schedule == "exponential":
        return schedules.ExponentialDecay(rate, steps, 0.01)
    if schedule == "cosine" and not rising:
        return schedules.CosineDecay(rate, falling)
    if schedule == "cosine":
        return schedules.CosineDecay(0.0, falling, warmup_target=rate, warmup_steps=rising)
    if schedule == "inverse_sqrt":
        return InverseSquareRoot(rate, max(1, rising))
    if schedule == "one_cycle":
        return schedules.CosineDecay(
            rate / 25, falling, alpha=1e-4, warmup_target=rate, warmup_steps=max(1, rising)
        )
    return rate
