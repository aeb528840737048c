"""Search spaces as data: what may be varied, over which range, and under which condition.

Every architecture has one beside its builder, `SPACES` of its module: name of an argument -> where
its values lie. `recipes.tune` searches it together with a recipe's own.
"""

import importlib
import math
from collections.abc import Mapping
from dataclasses import dataclass

from zoo.errors import InputError
from zoo.registry import architecture

SCALES = ("linear", "log")

Value = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Condition:
    """What must be so that a parameter plays a part.

    Attributes:
        parent: name of another parameter.
        values: those of its values with which this one does.
    """

    parent: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some values, all of one type.

    Attributes:
        values: numbers are taken to be in order; words and truths are not.
        when: the condition; none by default.
    """

    values: tuple[Value, ...]
    when: Condition | None = None

    def __post_init__(self) -> None:
        """Refuse what leaves no choice."""
        if len(set(self.values)) < 2:
            raise InputError(
                f"there is nothing to search in {_listed(self.values)}: fix it (--set)."
            )
        if len(set(self.values)) < len(self.values):
            raise InputError(f"a value stands twice in {_listed(self.values)}.")
        if len({type(value) for value in self.values}) > 1:
            raise InputError(f"the values {_listed(self.values)} are of different types.")


@dataclass(frozen=True, slots=True)
class Float:
    """A number of a range.

    Attributes:
        low: the smallest.
        high: the largest.
        scale: "linear", or "log": each of its decades is as likely as the next.
        when: the condition; none by default.
    """

    low: float
    high: float
    scale: str = "linear"
    when: Condition | None = None

    def __post_init__(self) -> None:
        """Refuse what is no range."""
        _check(self)
        for end in ("low", "high"):  # whole ends, too, are those of numbers that are not whole
            object.__setattr__(self, end, float(getattr(self, end)))


@dataclass(frozen=True, slots=True)
class Int:
    """A whole number of a range, its ends included.

    Attributes:
        low: the smallest.
        high: the largest.
        scale: "linear", or "log": doubling is as likely from small ones as from large ones.
        when: the condition; none by default.
    """

    low: int
    high: int
    scale: str = "linear"
    when: Condition | None = None

    def __post_init__(self) -> None:
        """Refuse what is no range."""
        _check(self)


@dataclass(frozen=True, slots=True)
class Widths:
    """A list of whole numbers, such as the widths of layers.

    It becomes several parameters: "NAME.length", and "NAME.1", "NAME.2" … as far as that reaches.

    Attributes:
        shortest: the fewest numbers.
        longest: the most.
        each: where each of them lies.
    """

    shortest: int
    longest: int
    each: Int

    def __post_init__(self) -> None:
        """Refuse what is no range of lengths."""
        if not 0 <= self.shortest <= self.longest or self.longest < 1:
            raise InputError(f"{self.shortest} to {self.longest} are no lengths of a list.")


Parameter = Choice | Float | Int
Space = Mapping[str, Parameter | Widths]


def search_space(name: str) -> Space:
    """Return the search space of an architecture: argument of its builder -> where it lies.

    Args:
        name: of `zoo.list_models(pretrained=False)`.

    Raises:
        InputError: there is no such architecture; the nearest ones are given.

    Example:
        >>> from zoo.spaces import search_space
        >>> search_space("mlp")["dropout"]
        Float(low=0.0, high=0.5, scale='linear', when=None)
    """
    module, function = architecture(name).builder.split(":")
    return importlib.import_module(module).SPACES[function]


def expanded(space: Space) -> dict[str, Parameter]:
    """Return a space in which lists have become the parameters that they consist of."""
    result: dict[str, Parameter] = {}
    for name, parameter in space.items():
        if not isinstance(parameter, Widths):
            result[name] = parameter
            continue
        length, (shortest, longest) = f"{name}.length", (parameter.shortest, parameter.longest)
        lengths = range(shortest, longest + 1)
        if shortest < longest:
            result[length] = Choice(tuple(lengths))
        each = parameter.each
        for number in range(1, longest + 1):
            when = Condition(length, tuple(n for n in lengths if n >= number))
            always = number <= shortest
            result[f"{name}.{number}"] = Int(
                each.low, each.high, each.scale, None if always else when
            )
    return result


def _check(parameter: Float | Int) -> None:
    low, high, scale = parameter.low, parameter.high, parameter.scale
    if scale not in SCALES:
        raise InputError(f"a scale is one of {', '.join(SCALES)}, not {scale!r}.")
    if not (math.isfinite(low) and math.isfinite(high)):
        raise InputError(f"{low} to {high} is no range: its ends must be finite.")
    if low == high:
        raise InputError(f"there is nothing to search from {low} to {high}: give it as a setting.")
    if low > high:
        raise InputError(f"{low} to {high} is no range: its first end must be the smaller.")
    if scale == "log" and low <= 0:
        raise InputError(f"{low} to {high} has no logarithms: both ends must be above 0.")


def _listed(values: tuple[Value, ...]) -> str:
    return ", ".join(map(str, values)) or "no values"
