"""What is searched: what architectures declare, what a user says, and what is refused."""

import inspect
from typing import Any

import pytest

import zoo
from recipes import Recipe
from recipes.tuning.space import applied, combined, drawn, parameter, said
from recipes.tuning.supervised import recipe_space
from zoo.catalog import NAMES, ROWS
from zoo.errors import InputError
from zoo.registry import builder
from zoo.spaces import Choice, Condition, Float, Int, Widths, expanded, search_space

DIGITS = Recipe(model="mlp", data="digits", epochs=2)
# Small enough that a network of any width is built at once.
SMALL: dict[str, dict[str, Any]] = {
    "alexnet": {"input_shape": (96, 96, 3), "classes": 5},
    "vgg": {"input_shape": (32, 32, 3), "classes": 5},
    "googlenet": {"input_shape": (64, 64, 3), "classes": 5},
    "inception_v3": {"input_shape": (96, 96, 3), "classes": 5},
    "resnet": {"input_shape": (64, 64, 3), "classes": 5},
    "mobilenet_v2": {"input_shape": (64, 64, 3), "classes": 5},
    "efficientnet_lite": {"input_shape": (64, 64, 3), "classes": 5},
}


def space_of(recipe: Recipe = DIGITS, **given: Any) -> dict[str, Any]:
    return combined(recipe_space(recipe, pictures=True), given, set(), recipe)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_architecture_says_what_can_be_searched(row: Any) -> None:
    space = search_space(next(iter(row.variants)))
    accepted = inspect.signature(builder(row)).parameters
    assert set(space) <= set(accepted) - {"name", "input_shape", "output_shape", "classes"}


@pytest.mark.parametrize("row", [r for r in ROWS if search_space(next(iter(r.variants)))],
                         ids=lambda row: row.name)  # fmt: skip
def test_what_is_drawn_from_an_architectures_space_can_be_built(row: Any) -> None:
    name = next(iter(row.variants))
    space = expanded(search_space(name))
    recipe = Recipe(model=name, data="digits", epochs=1)
    named = {f"arguments.{key}": this for key, this in _nested(space).items()}
    seen = set()
    for seed in range(2):
        arguments = applied(recipe, drawn(named, seed)).arguments
        model = zoo.build(name, **SMALL.get(row.name, {}), **arguments)
        seen.add(str(sorted(arguments.items())))
        assert model.count_params() > 0
    assert len(seen) == 2


def _nested(space: dict[str, Any]) -> dict[str, Any]:
    """Return a space whose conditions name their parents as a recipe does."""
    from dataclasses import replace

    def moved(this: Any) -> Any:
        when = this.when and Condition(f"arguments.{this.when.parent}", this.when.values)
        return replace(this, when=when)

    return {name: moved(this) for name, this in space.items()}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1e-4:1e-1:log", Float(1e-4, 1e-1, "log")),
        ("0:4", Int(0, 4)),
        ("0.0:4", Float(0, 4)),
        ("16:512:log", Int(16, 512, "log")),
        ("32, 64,128", Choice((32, 64, 128))),
        ("adam,sgd", Choice(("adam", "sgd"))),
        ("true,false", Choice((True, False))),
        ("16:512:log*1:3", Widths(1, 3, Int(16, 512, "log"))),
        ("0.0:0.2 if schedule=cosine", Float(0, 0.2, when=Condition("schedule", ("cosine",)))),
        ("1,2 if depth=3|4", Choice((1, 2), Condition("depth", (3, 4)))),
    ],
)
def test_a_space_is_said_in_words(text: str, expected: Any) -> None:
    found = parameter("x", text)
    assert found == expected
    if not isinstance(found, Widths):
        assert parameter("x", said(found)) == expected
        assert [type(v) for v in getattr(found, "values", ())] == [
            type(v) for v in getattr(expected, "values", ())
        ]


def test_a_space_is_said_in_python() -> None:
    assert parameter("x", [1, 2]) == Choice((1, 2))
    assert parameter("x", (1, 5)) == Int(1, 5)
    assert parameter("x", (1e-3, 1.0, "log")) == Float(1e-3, 1.0, "log")
    assert parameter("x", Int(1, 2)) == Int(1, 2)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"learning_rat": "1:2"}, "did you mean 'learning_rate'"),
        ({"dropuot": "0.0:0.5"}, "dropout"),
        ({"augment.flop": "0.0:0.5"}, "did you mean 'augment.flip'"),
        ({"seed": "1,2"}, "nothing that a search can vary"),
        ({"model": "mlp,lenet5"}, "nothing that a search can vary"),
        ({"augment": "1,2"}, "nothing that a search can vary"),
        ({"batch_size": "32"}, "batch_size: there is nothing to search in 32"),
        ({"batch_size": "32,32"}, "nothing to search"),
        ({"batch_size": "32,64,32"}, "a value stands twice"),
        ({"batch_size": "32,many"}, "different types"),
        ({"learning_rate": "0.1:0.1"}, "nothing to search from 0.1 to 0.1"),
        ({"learning_rate": "0.1:0.01"}, "its first end must be the smaller"),
        ({"learning_rate": "0:1:log"}, "no logarithms"),
        ({"learning_rate": "1e-3:inf"}, "the ends of a range are numbers"),
        ({"learning_rate": (1e-3, float("inf"))}, "must be finite"),
        ({"learning_rate": "0.1:1:lgo"}, "did you mean 'log'"),
        ({"learning_rate": 0.1}, "as a list of values"),
        ({"hidden": "16:512*3"}, "a list is written as"),
        ({"hidden": "16,32*1:3"}, "numbers of a list lie in a range"),
        ({"warmup": "0.0:0.1 if shedule=cosine"}, "did you mean 'schedule'"),
        ({"warmup": "0.0:0.1 if schedule=cosin"}, "which schedule never is"),
        ({"warmup": "0.0:0.1 if schedule"}, "a condition is written"),
        ({"warmup": "0.0:0.1 if learning_rate=0.1"}, "no choice of single values"),
        ({"name": "a,b"}, "nothing that a search can vary"),
        ({"classes": "3,4"}, "nothing that a search can vary"),
        ({"arguments.input_shape": "3,4"}, "nothing that a search can vary"),
        ({"learning_rate": (0.1,)}, "a range has two ends"),
        ({"epochs": "1,2 if batch_size=32", "batch_size": "32,64 if epochs=1"}, "in a circle"),
    ],
    ids=str,
)
def test_a_wrong_space_is_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as refusal:
        space_of(**given)
    assert words in str(refusal.value)


def test_whole_ends_do_not_make_a_range_of_whole_numbers() -> None:
    assert said(Float(0, 1)) == "0.0:1.0"
    assert parameter("x", said(Float(0, 1))) == Float(0.0, 1.0)


def test_a_condition_may_name_an_argument_alone() -> None:
    space = space_of(dropout="0.1:0.5 if batch_norm=true")
    assert space["arguments.dropout"].when == Condition("arguments.batch_norm", (True,))


def test_a_value_of_a_wrong_type_is_refused() -> None:
    with pytest.raises(InputError, match=r"Expected `int`, got `float` - at `\$.batch_size`"):
        applied(DIGITS, {"batch_size": 16.5})


def test_what_depends_comes_behind_and_is_left_out() -> None:
    space = space_of(hidden="16:64*1:3")
    names = list(space)
    assert names.index("schedule") < names.index("warmup")
    for seed in range(40):
        values = drawn(space, seed)
        assert ("warmup" in values) == (values["schedule"] == "cosine")
        recipe = applied(DIGITS, values)
        assert len(recipe.arguments["hidden"]) == values["arguments.hidden.length"]
        assert all(16 <= width <= 64 for width in recipe.arguments["hidden"])


def test_a_name_of_an_argument_is_enough() -> None:
    assert space_of(dropout="0.1:0.2")["arguments.dropout"] == Float(0.1, 0.2)


def test_what_is_set_is_not_searched() -> None:
    fixed = {"schedule", "arguments.hidden"}
    own = recipe_space(DIGITS, pictures=True)
    space = combined(own, {}, fixed, DIGITS)
    assert not {"schedule", "warmup"} & set(space)
    assert not [name for name in space if name.startswith("arguments.hidden")]
    cosine = Recipe(model="mlp", data="digits", epochs=2, schedule="cosine")
    assert combined(own, {}, fixed, cosine)["warmup"].when is None  # it plays a part, always
    with pytest.raises(InputError, match="is set, and cannot be searched"):
        combined(own, {"schedule": ["cosine", "constant"]}, fixed, DIGITS)
    with pytest.raises(InputError, match="there is nothing to search: every parameter is set"):
        combined({"schedule": own["schedule"]}, {}, fixed, DIGITS)


def test_a_learning_rate_is_searched_around_the_recipes_own() -> None:
    recipe = Recipe(model="mlp", data="digits", epochs=2, learning_rate=0.03)
    assert recipe_space(recipe, pictures=False)["learning_rate"] == Float(0.003, 0.3, "log")
    assert not [n for n in recipe_space(recipe, pictures=False) if n.startswith("augment")]


def test_an_unknown_architecture_has_no_space() -> None:
    with pytest.raises(InputError, match="lenet5"):
        search_space("lenet55")
    assert set(NAMES) >= {"mlp", "lenet5"}
