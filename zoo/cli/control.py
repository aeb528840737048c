"""`zoo play`, and what `zoo train`, `zoo evaluate` and `zoo reproduce` do with agents."""

import math
from json import loads as json_of
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo import cards
from zoo.cli import output
from zoo.cli.learning import checked
from zoo.errors import CheckFailed, InputError
from zoo.files import refuse_taken
from zoo.weights import model_folder, pretrained_names

if TYPE_CHECKING:
    from recipes.control import ControlRecipe, ControlRun
    from recipes.control.run import ControlState
    from zoo.cards import Card


_WORSE = 0.01  # share by which a return may fall where all episodes earned the same


def play(
    model: Annotated[str, typer.Argument(help="A pretrained agent, or the path of a run.")],
    env: Annotated[
        str | None, typer.Option(help="A Gymnasium id; default: where the agent learned.")
    ] = None,
    episodes: Annotated[int, typer.Option(help="Number of episodes.")] = 10,
    seed: Annotated[int, typer.Option(help="Of the environments.")] = 0,
    video: Annotated[
        Path | None, typer.Option(help="File for one episode: .gif, .webp or animated .png.")
    ] = None,
    json: output.Json = False,
) -> None:
    """Let an agent play, and count what it earns."""
    if episodes < 1:
        raise InputError(f"episodes must be above 0, not {episodes}.")
    model_folder(model)  # a wrong name is answered at once
    output.start_tensorflow()
    from recipes.control import play as played

    found = played(model, env, episodes, seed, video=video)
    shown(found, f"{model}, {episodes} episodes", json, {"model": model, "episodes": episodes})


def shown(found: dict[str, float], title: str, json: bool, facts: dict[str, Any]) -> None:
    """Print the figures of some episodes."""
    if json:
        output.emit(facts | {"metrics": found})
        return
    rows = [(name.replace("_", ", "), f"{value:.1f}") for name, value in found.items()]
    output.table(title, ("metric", "value"), rows)


def finished(run: "ControlRun", json: bool) -> None:
    """Print the figures of a finished run."""
    found = run.metrics["test"]
    shown(found, f"{run.path}, test episodes", json, {"run": str(run.path)})


def train_agent(recipe: "ControlRecipe | None", place: Path) -> "ControlRun":
    """Train an agent, and show how it does after every evaluation.

    Args:
        recipe: how, or `None` to go on where the run in `place` stopped.
        place: folder of the run.
    """
    from recipes.control import ControlRun, train_control

    if recipe is None:
        recipe = ControlRun(place).config.recipe
        return train_control(recipe, place, resume=True, progress=_evaluated)
    return train_control(recipe, place, progress=_evaluated)


def reproduce(name: str, place: Path, package: Path | None, json: bool) -> None:
    """Train a packaged agent's recipe again, and package it if asked to.

    Raises:
        CheckFailed: it earns less than its card says, by more than a hundredth and two of the
            errors of both means.
    """
    from recipes.control import ControlRun
    from recipes.control.pretrained import control_recipe_of

    recipe = control_recipe_of(name)
    if is_agents_run(place):
        earlier = ControlRun(place)
        if earlier.config.recipe != recipe or (earlier.finished and not package):
            raise InputError(f"{place} holds another run: name another place (--out).")
        run = train_agent(None, place)
    else:
        refuse_taken(place)
        run = train_agent(recipe, place)
    finished(run, json)
    if name in pretrained_names():  # compared before a better one could be overwritten
        _compare(cards.card(name), run.card)
    if package:
        from zoo.cli.packaging import package_agent

        package_agent(run, name, package)


def _compare(before: "Card", after: "Card") -> None:
    """Hold the returns of two cards against each other."""

    def of(card: "Card", name: str) -> float:
        metric = card.metric(name)
        return metric.value if metric else math.nan

    episodes = [card.metrics[0].examples for card in (before, after)]
    error = math.hypot(
        *(
            of(c, "return_deviation") / n**0.5
            for c, n in zip((before, after), episodes, strict=True)
        )
    )
    lost = of(before, "return") - of(after, "return")
    if lost > 2 * error + _WORSE * abs(of(before, "return")):
        raise CheckFailed(f"{before.name} earned {lost:.1f} less than its card says.")


def is_agents_run(path: Path) -> bool:
    """Return whether a folder holds a run of control."""
    return task_of_run(path) == "control"


def task_of_run(path: Path) -> str:
    """Return the task of the run in a folder, or "" where there is none."""
    file = path / "config.json"
    try:
        found = json_of(file.read_bytes())
    except (OSError, ValueError):
        return ""
    return str(found.get("task", "")) if isinstance(found, dict) else ""


def recipe_named(name: str, env: str | None, fields: dict[str, Any]) -> "ControlRecipe":
    """Return a recipe of control, or one for an architecture and an environment.

    Raises:
        InputError: no such name, no environment for an architecture, or a wrong field.
    """
    import msgspec

    from recipes.control import CONTROL_RECIPES, ControlRecipe

    given = {"environment": env} if env else {}
    if name in CONTROL_RECIPES:
        own = msgspec.structs.asdict(CONTROL_RECIPES[name])
        return checked(ControlRecipe, own | given | fields)
    if not env:
        raise InputError(f"name the environment that {name!r} is to learn in (--env).")
    return checked(ControlRecipe, {"model": name, "steps": 50_000} | given | fields)


def is_agent(name: str) -> bool:
    """Return whether a name is of a recipe of control, or of an architecture for it."""
    from recipes.control import CONTROL_RECIPES
    from zoo.catalog import NAMES

    return name in CONTROL_RECIPES or (name in NAMES and NAMES[name].task == "control")


def _evaluated(state: "ControlState", recipe: "ControlRecipe") -> None:
    row = state.history[-1]
    output.progress.print(
        f"step {int(row['step']):,}/{recipe.steps:,}  return {row['return']:.1f} ± "
        f"{row['return_deviation']:.1f}  loss {row['loss']:.3f}  {state.seconds:.0f} s"
    )
