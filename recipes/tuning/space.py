"""The space of a search: what its recipe and its architecture leave open, and what the user says.

A parameter is named as the place in the recipe that its value goes to: "learning_rate",
"augment.crop", "arguments.dropout".
"""

import inspect
import json
import random
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import keras_tuner
import msgspec

from recipes.data.augmentation import AUGMENTATIONS
from zoo import registry
from zoo.errors import InputError
from zoo.registry import unknown
from zoo.spaces import (
    SCALES,
    Choice,
    Condition,
    Float,
    Int,
    Parameter,
    Value,
    Widths,
    expanded,
)

ARGUMENTS = "arguments"  # the field of a recipe that its builder's arguments are in
# Fields of which it is a part that is searched -> the field that names what it is part of.
_BUILDERS = {
    ARGUMENTS: "model",
    "generator_arguments": "generator",
    "discriminator_arguments": "discriminator",
}
NESTED = {*_BUILDERS, "augment"}
# What a search itself decides, or what would compare one thing with another.
_REFUSED = {
    "conditional", "data", "data_options", "discriminator", "environment", "environment_options",
    "examples", "fine_tuning", "generator", "goal", "judge", "model", "quantize", "reference",
    "score_examples", "seed", "shape", "test_episodes",
}  # fmt: skip
# Arguments of builders that follow from the data, or name the model.
_GIVEN = {
    "actions", "classes", "include_top", "input_shape", "name", "observation", "output_shape",
    "source_vocabulary_size", "target_vocabulary_size", "vocabulary_size",
}  # fmt: skip
_DECADE = 10.0  # a recipe's own learning rate is searched so far up and down
_RANGE = re.compile(r"(?P<low>[^:,*]+):(?P<high>[^:,*]+)(:(?P<scale>[a-z]+))?")


def around(rate: float) -> Float:
    """Return the range of a learning rate, or of a penalty, around a recipe's own."""
    return Float(rate / _DECADE, rate * _DECADE, "log")


def combined(
    own: Mapping[str, Parameter | Widths],
    given: Mapping[str, Any],
    fixed: Collection[str],
    recipe: Any,
) -> dict[str, Parameter]:
    """Return the space of a search, parents before what depends on them.

    Args:
        own: what recipe and builder leave open.
        given: the user's parameters, over those; see `parameter`.
        fixed: fields and arguments that have been set, and are not searched.
        recipe: that the values go into.

    Raises:
        InputError: a name, a range or a condition is wrong; the nearest right name is given.
    """
    wanted = {_place(name, recipe): parameter(name, value) for name, value in given.items()}
    known = {*expanded({**own, **wanted})}
    for name, this in wanted.items():
        if not isinstance(this, Widths) and this.when and this.when.parent not in known:
            parent = _place(this.when.parent, recipe)
            wanted[name] = replace(this, when=Condition(parent, this.when.values))
    settled = {name for name in own if name in fixed or name.split(".")[0] in fixed}
    for name in wanted:
        if name in fixed:
            raise InputError(f"{name} is set, and cannot be searched as well.")
    space = expanded({k: v for k, v in own.items() if k not in settled} | wanted)
    # What depends on a field that was set is searched if the setting lets it play a part.
    for name in list(space):
        when = space[name].when
        if when and when.parent not in space and name not in wanted:
            if getattr(recipe, when.parent, None) in when.values:
                space[name] = replace(space[name], when=None)
            else:
                del space[name]
    if not space:
        raise InputError(
            "there is nothing to search: every parameter is set. Name one and where it lies "
            "(--space learning_rate=1e-4:1e-1:log)."
        )
    return _ordered(space)


def parameter(name: str, value: Any) -> Parameter | Widths:
    """Return where a parameter lies, from how a user says it.

    Args:
        name: its name, for the message.
        value: one of `zoo.spaces`; a list of values; a tuple of both ends, and a scale where it is
            not linear; or a `str`: "1e-4:1e-1:log", "adam,sgd"; "16:512:log*1:3" for a list of one
            to three numbers; with " if schedule=cosine" behind it where it depends on another.

    Raises:
        InputError: it is none of them, or nothing to search.

    Example:
        >>> from recipes.tuning.space import parameter
        >>> parameter("weight_decay", "1e-6:1e-2:log if optimizer=adamw|lion").when
        Condition(parent='optimizer', values=('adamw', 'lion'))
    """
    if isinstance(value, Choice | Float | Int | Widths):
        return value
    try:
        if isinstance(value, str):
            return _parsed(value)
        if isinstance(value, tuple):
            if len(value) not in (2, 3):
                raise InputError(f"a range has two ends, and may have a scale: {value!r} is none.")
            return _ranged(*value)
        if isinstance(value, Sequence):
            return Choice(tuple(value))
    except (InputError, TypeError) as error:
        raise InputError(f"{name}: {error}") from None
    raise InputError(
        f"{name}: say where it lies as a list of values, as (low, high) or (low, high, 'log'), not "
        f"as {value!r}."
    )


def said(this: Parameter) -> str:
    """Return a parameter as `parameter` reads it from a `str`."""
    if isinstance(this, Choice):
        text = ",".join(map(_word, this.values))
    else:
        text = f"{this.low}:{this.high}" + (f":{this.scale}" if this.scale != "linear" else "")
    if this.when:
        text += f" if {this.when.parent}={'|'.join(map(_word, this.when.values))}"
    return text


def _word(value: Value) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)


def _parsed(text: str) -> Parameter | Widths:
    """Return what a `str` says."""
    text, _, condition = text.partition(" if ")
    when = None
    if condition:
        parent, equals, values = condition.partition("=")
        if not equals:
            raise InputError(f"a condition is written PARENT=VALUE|VALUE, not {condition!r}.")
        when = Condition(parent.strip(), tuple(map(_value, values.split("|"))))
    each, times, lengths = text.partition("*")
    found = _RANGE.fullmatch(each.strip())
    if not found:
        if times:
            raise InputError(f"numbers of a list lie in a range, such as 16:512*1:3, not {each!r}.")
        return Choice(tuple(map(_value, text.split(","))), when)
    result = _ranged(_value(found["low"]), _value(found["high"]), found["scale"] or "linear")
    if not times:
        return replace(result, when=when)
    ends = re.fullmatch(r"\s*(\d+):(\d+)\s*", lengths)
    if not ends or not isinstance(result, Int) or when:
        raise InputError(
            f"a list is written as whole numbers and lengths, 16:512*1:3, not {text!r}."
        )
    return Widths(int(ends[1]), int(ends[2]), result)


def _ranged(low: Any, high: Any, scale: str = "linear") -> Float | Int:
    for end in (low, high):
        if isinstance(end, bool) or not isinstance(end, int | float):
            raise InputError(f"the ends of a range are numbers, not {end!r}.")
    if scale not in SCALES:
        raise unknown(scale, SCALES, "scale")
    if isinstance(low, int) and isinstance(high, int):
        return Int(low, high, scale)
    return Float(float(low), float(high), scale)


def _value(text: str) -> Value:
    """Return a word as a number or a truth, if it is one."""
    text = text.strip()
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return text
    return value if isinstance(value, bool | int | float) else text


def _place(name: str, recipe: Any) -> str:
    """Return the place in a recipe that a parameter's name means.

    Raises:
        InputError: there is no such place; the nearest are named.
    """
    fields = {field.name for field in msgspec.structs.fields(type(recipe))}
    first, _, rest = name.partition(".")
    if name in _REFUSED or (first in NESTED and not rest) or (rest or name) in _GIVEN:
        raise InputError(f"{name!r} is nothing that a search can vary.")
    if first == "augment" and isinstance(getattr(recipe, first, None), dict):
        known = [f"augment.{key}" for key in AUGMENTATIONS]
        if name not in known:
            raise unknown(name, known, "augmentation")
        return name
    places = [*fields - _REFUSED - NESTED]
    found = [name] if name in places else []
    # The network of a fine-tuning is built already.
    builders = {} if getattr(recipe, "fine_tuning", False) else _BUILDERS
    for nested, field in builders.items():
        if nested not in fields:
            continue
        row = registry.architecture(getattr(recipe, field))
        names = inspect.signature(registry.builder(row)).parameters
        places += [f"{nested}.{argument}" for argument in names if argument not in _GIVEN]
        found += [f"{nested}.{name}"] if name in names and name not in fields else []
    if len(found) > 1:
        raise InputError(f"{name!r} could be {' or '.join(found)}: say which.")
    if not found and name not in places:
        raise unknown(name, places, "parameter")
    return found[0] if found else name


def _ordered(space: Mapping[str, Parameter]) -> dict[str, Parameter]:
    """Return a space with every parent before what depends on it.

    Raises:
        InputError: a condition can never be met.
    """
    for name, this in space.items():
        if not this.when:
            continue
        parent = this.when.parent
        if parent not in space:
            raise unknown(parent, space, f"parameter that {name} could depend on,")
        if isinstance(space[parent], Float):
            raise InputError(f"{name} depends on {parent}, which is no choice of single values.")
        for value in this.when.values:
            if not _has(space[parent], value):
                raise InputError(f"{name} is for {parent}={value}, which {parent} never is.")
    result: dict[str, Parameter] = {}

    def put(name: str) -> None:
        result[name] = space[name]
        for other, this in space.items():
            if this.when and this.when.parent == name:
                put(other)

    for name, this in space.items():
        if this.when is None:
            put(name)
    if len(result) < len(space):
        circle = " and ".join(name for name in space if name not in result)
        raise InputError(f"{circle} depend on each other in a circle: none could ever be had.")
    return result


def _has(parent: Parameter, value: Value) -> bool:
    if isinstance(parent, Choice):
        return any(value == v and type(value) is type(v) for v in parent.values)
    return isinstance(value, int) and parent.low <= value <= parent.high


def hyperparameters(space: Mapping[str, Parameter]) -> keras_tuner.HyperParameters:
    """Return a space as KerasTuner has it."""
    result = keras_tuner.HyperParameters()
    for name, this in space.items():
        parent = this.when.parent if this.when else None
        condition = (
            {"parent_name": parent, "parent_values": list(this.when.values)} if this.when else {}
        )
        if isinstance(this, Choice) and set(this.values) == {False, True} and _truths(this):
            result.Boolean(name, **condition)
        elif isinstance(this, Choice):  # KerasTuner takes truths for numbers
            result.Choice(name, list(this.values), **condition)
        elif isinstance(this, Int):
            result.Int(name, this.low, this.high, sampling=this.scale, **condition)
        else:
            result.Float(name, this.low, this.high, sampling=this.scale, **condition)
    return result


def _truths(choice: Choice) -> bool:
    return all(isinstance(value, bool) for value in choice.values)


def applied(recipe: Any, values: Mapping[str, Value]) -> Any:
    """Return a recipe with the values of a trial in their places.

    Raises:
        InputError: the recipe cannot have them together.
    """
    changes: dict[str, Any] = {}
    lists: dict[str, dict[int, int]] = {}
    for name, value in values.items():
        *_, last = name.split(".")
        if last == "length":
            lists.setdefault(name.removesuffix(".length"), {})
        elif last.isdecimal():
            lists.setdefault(name.removesuffix(f".{last}"), {})[int(last)] = int(value)
        else:
            _put(recipe, changes, name, value)
    for name, numbers in lists.items():
        _put(recipe, changes, name, [numbers[key] for key in sorted(numbers)])
    if "augment" in changes:  # a strength of nothing is no augmentation
        changes["augment"] = {k: v for k, v in changes["augment"].items() if v}
    return with_fields(recipe, changes)


def with_fields(recipe: Any, changes: Mapping[str, Any]) -> Any:
    """Return a recipe with some fields changed.

    Raises:
        InputError: a field cannot have such a value.
    """
    fields = msgspec.structs.asdict(recipe) | dict(changes)
    try:
        return msgspec.convert(msgspec.to_builtins(fields), type(recipe))
    except (msgspec.ValidationError, TypeError) as error:
        raise InputError(str(error)) from None


def _put(recipe: Any, changes: dict[str, Any], name: str, value: Any) -> None:
    field, _, key = name.partition(".")
    if key:
        changes.setdefault(field, dict(getattr(recipe, field)))[key] = value
    else:
        changes[field] = value


def drawn(space: Mapping[str, Parameter], seed: int) -> dict[str, Value]:
    """Return a configuration drawn at random, without what its conditions leave out."""
    source = random.Random(seed)  # noqa: S311 - a draw, no secret
    every = hyperparameters(space)
    return decoded(every, [source.random() for _ in every.space])


def decoded(every: keras_tuner.HyperParameters, positions: Sequence[float]) -> dict[str, Value]:
    """Return the values at some positions in 0…1, one for each parameter of a space in turn."""
    values: dict[str, Value] = {}
    for this, position in zip(every.space, positions, strict=True):
        if all(condition.is_active(values) for condition in this.conditions):
            values[this.name] = this.prob_to_value(float(position))
    return values
