"""Forward-mode automatic differentiation of scalars, by dual numbers.

    python docs/dual.py

A dual number is a value and its derivative along one direction; both are computed at once, and
nothing is noted. On a tape of dual numbers (`docs/tape.py`) the sweep backwards yields dual
numbers, too: the gradient, and the product of the Hessian with the direction.
"""

from collections.abc import Callable, Sequence
from typing import Any

from tape import Number, Value, gradient, plain


class Dual(Number):
    """A value, and its derivative along the direction."""

    def __init__(self, number: float, slope: float = 0.0) -> None:
        self.number, self.slope = number, slope

    def __add__(self, other: Any) -> "Dual":
        return Dual(self.number + plain(other), self.slope + slope_of(other))

    def __mul__(self, other: Any) -> "Dual":
        slope = self.slope * plain(other) + self.number * slope_of(other)
        return Dual(self.number * plain(other), slope)

    def through(self, function: Callable[..., Any], slope: Callable[..., Any]) -> "Dual":
        """Return an elementary function of this: the chain rule."""
        result = function(self.number)
        return Dual(result, slope(self.number, result) * self.slope)


def slope_of(x: Any) -> float:
    """Return the derivative of a dual number, or that of a constant, which is 0."""
    return x.slope if isinstance(x, Dual) else 0.0


def jvp(of: Callable[..., Any], at: Sequence[float], along: Sequence[float]) -> tuple[float, float]:
    """Return a function's value, and its derivative along a direction, by one pass forward."""
    result = of(*map(Dual, at, along))
    return plain(result), slope_of(result)


def grad(of: Callable[..., Any], at: Sequence[Any]) -> list[Any]:
    """Return a function's gradient, by one pass forward and one backward."""
    tape: list[Value] = []
    last = of(*(Value(tape, number) for number in at))
    if not isinstance(last, Value):  # no argument went in
        return [0.0] * len(at)
    return gradient(last)[: len(at)]


def hvp(of: Callable[..., Any], at: Sequence[float], along: Sequence[float]) -> list[float]:
    """Return the product of a function's Hessian with a direction: forward over reverse."""
    return [slope_of(slope) for slope in grad(of, list(map(Dual, at, along)))]


if __name__ == "__main__":
    rosenbrock = lambda x, y: (1 - x) ** 2 + 100 * (y - x**2) ** 2
    at, along = (-1.0, 2.0), (0.6, 0.8)
    value, slope = jvp(rosenbrock, at, along)
    print(f"at {at}: {value:g}, and along {along}: {slope:g}")
    print("gradient:", *(f"{g:g}" for g in grad(rosenbrock, at)))
    print("Hessian times direction:", *(f"{h:g}" for h in hvp(rosenbrock, at, along)))
