"""Reverse-mode automatic differentiation of scalars, in less than 100 lines.

    python docs/tape.py

A tape notes each operation when it is computed: the result, what it was made of, and the derivative
by each of those. One sweep from the end to the beginning gives the derivatives of one number by all
others. `docs/derivatives.md` explains it; `docs/dual.py` goes forward.
"""

import math
from collections.abc import Callable
from typing import Any


class Number:
    """What follows from `+`, `*` and `through`, which a kind of numbers has of its own."""

    number: Any  # the value alone

    __radd__ = lambda self, other: self + other
    __rmul__ = lambda self, other: self * other
    __neg__ = lambda self: self * -1.0
    __sub__ = lambda self, other: self + -other
    __rsub__ = lambda self, other: -self + other
    __truediv__ = lambda self, other: self * other**-1
    __rtruediv__ = lambda self, other: self**-1 * other
    # A comparison chooses a branch, in `max` and `abs` too: there is nothing to differentiate.
    __lt__ = lambda self, other: self.number < plain(other)
    __gt__ = lambda self, other: self.number > plain(other)
    __abs__ = lambda self: max(self, -self)

    def __pow__(self, power: float) -> Any:  # a constant
        return elementary(lambda x: x**power, lambda x, y: power and power * x ** (power - 1))(self)


class Value(Number):
    """A number on a tape; a parent is a place on the tape, and the derivative by what is there."""

    def __init__(self, tape: "list[Value]", number: Any, *parents: tuple[int, Any]) -> None:
        self.tape, self.number, self.parents, self.place = tape, number, parents, len(tape)
        tape.append(self)

    def __add__(self, other: Any) -> "Value":
        parents = [(value.place, 1.0) for value in (self, other) if isinstance(value, Value)]
        return Value(self.tape, self.number + plain(other), *parents)

    def __mul__(self, other: Any) -> "Value":
        factors = (self, other), (other, self)
        parents = [(own.place, plain(by)) for own, by in factors if isinstance(own, Value)]
        return Value(self.tape, self.number * plain(other), *parents)

    def through(self, function: Callable[..., Any], slope: Callable[..., Any]) -> "Value":
        """Return an elementary function of this."""
        result = function(self.number)
        return Value(self.tape, result, (self.place, slope(self.number, result)))


def gradient(of: Value) -> list[Any]:
    """Return the derivatives of a value by all values of its tape, in one sweep backwards."""
    slopes: list[Any] = [0.0] * of.place + [1.0] + [0.0] * (len(of.tape) - of.place - 1)
    for value in reversed(of.tape[: of.place + 1]):
        for place, slope in value.parents:  # a value may have been used often: sum over its uses
            slopes[place] = slopes[place] + slopes[value.place] * slope
    return slopes


def plain(x: Any) -> Any:
    """Return the value of a number, or a constant as it is."""
    return x.number if isinstance(x, Number) else x


def elementary(function: Callable[..., Any], slope: Callable[..., Any]) -> Callable[[Any], Any]:
    """Teach a function of floats all numbers; `slope` is made of its argument and its result."""

    def taught(x: Any) -> Any:
        return x.through(taught, slope) if isinstance(x, Number) else function(x)

    return taught


exp = elementary(math.exp, lambda x, y: y)
log = elementary(math.log, lambda x, y: 1 / x)
tanh = elementary(math.tanh, lambda x, y: 1 - y * y)
erf = elementary(math.erf, lambda x, y: 2 / math.sqrt(math.pi) * exp(-(x * x)))

if __name__ == "__main__":
    import tensorflow as tf

    loss = lambda w, b, f: (f(1.5 * w + b) - 1.0) ** 2 + 0.1 * w**2
    tape: list[Value] = []
    last = loss(Value(tape, 0.5), Value(tape, -0.25), tanh)
    for value, slope in zip(tape, gradient(last), strict=True):
        print(f"{value.place}: {value.number:9.6f}, derivative {slope:9.6f}, of {value.parents}")
    variables = [tf.Variable(0.5, dtype="float64"), tf.Variable(-0.25, dtype="float64")]
    with tf.GradientTape() as theirs:
        result = loss(*variables, tf.tanh)
    print("TensorFlow:", *(f"{float(g):.6f}" for g in theirs.gradient(result, variables)))
