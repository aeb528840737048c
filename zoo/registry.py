"""Names of architectures and pretrained models, and how a name becomes a model."""

import difflib
import fnmatch
import importlib
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from zoo.errors import InputError

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, slots=True)
class Variant:
    """One size of an architecture.

    Attributes:
        trainable: number of trainable parameters with these arguments.
        non_trainable: number of parameters that are stored and not trained.
        arguments: what the builder is called with, beside its defaults.
    """

    trainable: int
    non_trainable: int = 0
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Architecture:
    """One row of the catalog: a builder, its sizes, and where it comes from.

    Attributes:
        name: the family's short name.
        family: the folder of `zoo/` that holds it.
        task: "classification", "regression", "reconstruction", "translation",
            "language_modeling", "control", "generation" or "discrimination" (of what was made).
        builder: "module:function"; imported when a model is built, never to be listed.
        variants: name of a model -> its `Variant`. Every one of these names can be built.
        paper: title of the paper that introduced it.
        link: its DOI or arXiv address.
        year: its year.
        section: section of *The Mathematical Engineering of Deep Learning*.
    """

    name: str
    family: str
    task: str
    builder: str
    variants: Mapping[str, Variant]
    paper: str
    link: str
    year: int
    section: str


def index(rows: Iterable[Architecture]) -> dict[str, Architecture]:
    """Return name of a variant -> its row.

    Raises:
        ValueError: a name stands in the table twice.
    """
    names: dict[str, Architecture] = {}
    for row in rows:
        for name in row.variants:
            if name in names:
                raise ValueError(
                    f"the name {name!r} stands in the catalog twice: in the rows "
                    f"{names[name].name!r} and {row.name!r}"
                )
            names[name] = row
    return names


def architecture(name: str) -> Architecture:
    """Return the catalog's row for the name of an architecture.

    Raises:
        InputError: there is no such name; the nearest ones are given.
    """
    from zoo.catalog import NAMES

    return NAMES[_known(name, NAMES, "architecture")]


def list_models(
    pattern: str = "*",
    *,
    task: str | None = None,
    family: str | None = None,
    pretrained: bool | None = None,
) -> list[str]:
    """List the names that `zoo.build` and `zoo.load` take, in natural order.

    Args:
        pattern: `str`, shell wildcards, such as "lenet*".
        task: `str`, only models of this task, such as "classification".
        family: `str`, only models of this family, such as "vision".
        pretrained: `True` for pretrained models alone, `False` for architectures alone, `None`
            (default) for both.

    Returns:
        List of `str`; "lenet5" comes before "lenet10".

    Raises:
        InputError: there is no such task or family.

    Example:
        >>> import zoo
        >>> zoo.list_models("lenet5*", pretrained=True)
        ['lenet5-fashion', 'lenet5-mnist']
    """
    from zoo.catalog import NAMES
    from zoo.weights import architecture_of, pretrained_names

    for value, kind, known in (
        (task, "task", {row.task for row in NAMES.values()}),
        (family, "family", {row.family for row in NAMES.values()}),
    ):
        if value is not None:
            _known(value, known, kind)
    rows: dict[str, Architecture] = {}
    if pretrained is not True:
        rows |= NAMES
    if pretrained is not False:
        rows |= {name: NAMES[architecture_of(name)] for name in pretrained_names()}
    return sorted(
        (
            name
            for name, row in rows.items()
            if fnmatch.fnmatchcase(name, pattern)
            and task in (None, row.task)
            and family in (None, row.family)
        ),
        key=natural_key,
    )


def build(name: str, /, **arguments: Any) -> "keras.Model":
    """Build an architecture with fresh random weights.

    Args:
        name: `str`, a name of `zoo.list_models(pretrained=False)`.
        **arguments: for the builder, over the variant's own; see the builder's documentation.

    Returns:
        A functional `keras.Model`. Raw inputs go in: its preprocessing is inside.

    Raises:
        InputError: an unknown name or argument; the nearest ones are given.

    Example:
        >>> import zoo
        >>> zoo.build("mlp", hidden=(256, 128), classes=10).count_params()
        235146
    """
    row = architecture(name)
    function = builder(row)
    accepted = inspect.signature(function).parameters
    for argument in arguments:
        _known(argument, accepted, f"argument of {name!r}")
    return function(**{"name": name, **row.variants[name].arguments, **arguments})


def builder(row: Architecture) -> Callable[..., "keras.Model"]:
    """Import a row's builder."""
    module, function = row.builder.split(":")
    return getattr(importlib.import_module(module), function)


def import_builders() -> None:
    """Import every builder of the catalog, and with them all layers that they register."""
    from zoo.catalog import ROWS

    for row in ROWS:
        builder(row)


def unknown(name: str, names: Iterable[str], kind: str) -> InputError:
    """Return the error for a wrong name, with the nearest right ones, or all if none is near."""
    names = sorted(names, key=natural_key)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    hint = "did you mean " + " or ".join(map(repr, near)) if near else "known: " + ", ".join(names)
    return InputError(f"there is no {kind} {name!r}; {hint}.")


def natural_key(text: str) -> list[tuple[int, int | str]]:
    """Return a sort key in which runs of digits count as numbers."""
    return [
        (0, int(part)) if part.isdecimal() else (1, part)
        for part in re.split(r"(\d+)", text)
        if part
    ]


def _known(name: str, names: Iterable[str], kind: str) -> str:
    if name not in names:
        raise unknown(name, names, kind)
    return name
