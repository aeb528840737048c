"""What the commands that train have in common: options, recipes by name, data, interruption."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

import typer

from zoo.cli import options, output
from zoo.errors import InputError
from zoo.weights import model_folder

if TYPE_CHECKING:
    from recipes import Run, Splits
    from recipes.folder import Folder
    from recipes.recipe import Recipe
    from recipes.tuning.kinds import AnyRecipe

R = TypeVar("R")  # any kind of recipe

Out = Annotated[Path | None, typer.Option(help="Folder of the run; default runs/NAME.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on where the run in --out stopped.")]
Epochs = Annotated[int | None, typer.Option(help="Number of epochs.")]
Steps = Annotated[int | None, typer.Option(help="Of an agent: steps that it plays.")]
Batch = Annotated[int | None, typer.Option(help="Examples in a step.")]
Rate = Annotated[float | None, typer.Option(help="Highest learning rate.")]
Seed = Annotated[int | None, typer.Option(help="Of weights, order, augmentation and dropout.")]
Devices = Annotated[
    str | None,
    typer.Option(
        help="Devices that share the work: a number, all, or cluster; see docs/devices.md."
    ),
]
Shards = Annotated[
    int, typer.Option("--model-shards", help="Devices over which the weights are divided.")
]


@contextmanager
def resumable(place: Path, verb: str) -> Iterator[None]:
    """Say, when Ctrl-C ends a training, how it goes on."""
    from zoo.cli.progress import interrupts_count

    try:
        with interrupts_count():
            yield
    except KeyboardInterrupt:
        if unfinished(place):
            output.progress.print(f"`zoo {verb} --resume --out {place}` goes on from here.")
        raise


def unfinished(path: Path) -> bool:
    """Return whether a folder holds a run, so that it could be resumed."""
    return (path / "config.json").is_file()


def recipe_for(
    name: str,
    data: str | None,
    env: str | None,
    fields: dict[str, Any],
    given: dict[str, Any],
) -> "AnyRecipe":
    """Return the recipe that a name means, of whatever kind it is.

    Args:
        name: of a recipe, a method or an architecture, or of a .json file that holds a recipe, as
            a search leaves it.
        data: what it is to learn from, in place of a recipe's own.
        env: the Gymnasium id of where an agent is to learn.
        fields: of the recipe, over its own.
        given: further arguments of `load_data`.

    Raises:
        InputError: no such name, nothing to learn from, or a wrong field.
    """
    from zoo.cli import adversarial, control

    if Path(name).suffix == ".json":
        if env or given:
            raise InputError(
                f"{name} says itself what is learned from; --data alone may change it."
            )
        return _recipe_in(Path(name), fields | ({"data": data} if data else {}))
    if env or control.is_agent(name):
        if data or given:
            raise InputError("an agent learns in an environment (--env), and takes no data.")
        return control.recipe_named(name, env, fields)
    if adversarial.is_adversary(name):
        return adversarial.recipe_named(name, data, fields, given)
    return recipe_named(name, data, fields, given)


def _recipe_in(path: Path, fields: dict[str, Any]) -> "AnyRecipe":
    """Read a recipe of whatever kind from a file, and change some of its fields."""
    import msgspec

    from recipes.tuning.kinds import KINDS

    try:
        own = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except FileNotFoundError:
        raise InputError(f"there is no file {path}.") from None
    except (OSError, msgspec.DecodeError) as error:
        raise InputError(f"{path} holds no recipe: {error}") from None
    for kind, _ in KINDS.values():
        if all(field.name in own for field in msgspec.structs.fields(kind) if field.required):
            return checked(kind, own | fields)
    raise InputError(f"{path} holds no recipe: it names no model to train.")


def recipe_named(
    name: str,
    data: str | None,
    fields: dict[str, Any],
    given: dict[str, Any],
    finetune: bool = False,
) -> "Recipe":
    """Return the recipe of a pretrained model, or one for an architecture and data.

    Args:
        name: of the pretrained model or the architecture.
        data: what `load_data` takes.
        fields: of the recipe, over its own.
        given: further arguments of `load_data`.
        finetune: the recipe starts from the pretrained model or run, and needs data.

    Raises:
        InputError: no such name, no data for an architecture, or a wrong field.
    """
    import recipes
    from recipes.recipe import Recipe

    first: dict[str, Any] = {"model": name, "data": data, "epochs": 20, "data_options": given}
    if finetune:
        if data is None:
            raise InputError(f"name the data to fine-tune {name!r} on (--data).")
        model_folder(name)
        from recipes.finetuning import finetuning_defaults

        return checked(Recipe, first | {"fine_tuning": True} | finetuning_defaults() | fields)
    if name in recipes.RECIPES:
        fields = fields | ({"data": data} if data else {})
        own = recipes.RECIPES[name]
        given = given if data else own.data_options | given
        return replaced(own, fields | {"data_options": given})
    if data is None:
        from zoo.registry import list_models, unknown

        if name in list_models(pretrained=False):
            raise InputError(f"name the data to train {name!r} on (--data).")
        raise unknown(name, [*recipes.RECIPES, *list_models(pretrained=False)], "model")
    return checked(Recipe, first | fields)


def loaded(recipe: "Recipe") -> "Splits":
    """Load what a recipe names, and say what was left out."""
    from recipes.supervised import data_of

    with output.progress.status(f"reading {recipe.data}"):
        data = data_of(recipe)
    options.report_skipped(data)
    return data


def bar(recipe: "Recipe") -> Any:
    """Return the display of a recipe's epochs."""
    from zoo.cli.progress import Epochs as Bar

    return Bar(recipe.all_epochs)


def replaced(recipe: "Recipe", fields: dict[str, Any]) -> "Recipe":
    """Return a recipe with some of its fields changed."""
    import msgspec

    return checked(type(recipe), msgspec.structs.asdict(recipe) | fields)


def checked(kind: "type[R]", fields: dict[str, Any]) -> "R":
    """Return a recipe, or say which field is wrong; a wrong name is answered with the nearest."""
    import msgspec

    from zoo.registry import unknown

    known = [field.name for field in msgspec.structs.fields(kind)]  # type: ignore[arg-type]
    for name in fields:
        if name not in known:
            raise unknown(name, known, "field of a recipe")
    try:
        return msgspec.convert(msgspec.to_builtins(fields), kind)
    except msgspec.ValidationError as error:
        raise InputError(str(error)) from None


def show_run(run: "Run", json: bool) -> None:
    """Print how well a finished run does."""
    if json:
        output.emit({"run": str(run.path), "metrics": run.metrics})
        return
    output.table(
        str(run.path),
        ("metric", "validation", "test"),
        [
            (
                name,
                *(output.figure(name, run.metrics[s].get(name)) for s in ("validation", "test")),
            )
            for name in run.metrics["test"]
        ],
    )


def show(run: "Folder[Any]", json: bool) -> None:
    """Print how well a finished run of any kind does."""
    from recipes.adversarial import AdversarialRun
    from recipes.control import ControlRun
    from zoo.cli import adversarial, control

    if isinstance(run, ControlRun):
        control.finished(run, json)
    elif isinstance(run, AdversarialRun):
        adversarial.finished(run, json)
    else:
        show_run(cast("Run", run), json)
