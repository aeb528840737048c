"""`zoo reproduce`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zoo.cli import learning, options, output
from zoo.errors import CheckFailed, InputError
from zoo.weights import pretrained_names

if TYPE_CHECKING:
    from recipes import Run

_TOLERANCE = 0.5  # points that a recipe that is run again may be worse


def reproduce(
    name: Annotated[str, typer.Argument(help="A pretrained model.")],
    out: learning.Out = None,
    tolerance: Annotated[
        float | None, typer.Option(help="Points that it may be worse; default 0.5.")
    ] = None,
    package: Annotated[
        Path | None, typer.Option(help="Write NAME/card.json and its weights into this folder.")
    ] = None,
    download: options.Download = False,
    json: output.Json = False,
) -> None:
    """Train a pretrained model's recipe again, and compare the result with its card."""
    output.start_tensorflow()
    import recipes
    from recipes.adversarial import ADVERSARIAL_RECIPES
    from recipes.finetuning import with_data_options
    from recipes.pretrained import recipe_of
    from zoo.cli import adversarial, control

    if tolerance is not None and (control.is_agent(name) or name in ADVERSARIAL_RECIPES):
        raise InputError(f"{name!r} has no metric in points: leave out --tolerance.")
    if control.is_agent(name):
        control.reproduce(name, out or Path("runs") / f"{name}-again", package, json)
        return
    if name in ADVERSARIAL_RECIPES:
        place = out or Path("runs") / f"{name}-again"
        adversarial.reproduce(name, place, package, download, json)
        return
    recipe = recipe_of(name)
    if download:
        recipe = learning.replaced(
            recipe, {"data_options": {**recipe.data_options, "download": True}}
        )
    if recipe.fine_tuning:
        recipe = with_data_options(recipe)
    place = out or Path("runs") / f"{name}-again"
    if learning.unfinished(place):
        earlier = recipes.Run(place)
        done = earlier.finished and not package  # what could not be packaged still can be
        if done or earlier.config.recipe != recipe:
            raise InputError(f"{place} holds another run: name another place (--out).")
    run = recipes.train(
        recipe,
        place,
        data=learning.loaded(recipe),
        resume=learning.unfinished(place),
        callbacks=[learning.bar(recipe)],
    )
    if name in pretrained_names():  # compared before a better one could be overwritten
        _compare(name, run, _TOLERANCE if tolerance is None else tolerance, json)
    else:
        learning.show_run(run, json)
    if package:
        from zoo.cli.packaging import package as write

        write(run, name, package)


def _compare(name: str, run: "Run", tolerance: float, json: bool) -> None:
    """Print the main figure of a card and of its recipe's new run.

    Raises:
        CheckFailed: the new one is worse by more than so many points.
    """
    from zoo import cards

    # Of tokens, the share that was right: a BLEU has points of its own, and a loss falls.
    metric = "r2" if run.config.task in ("regression", "reconstruction") else "accuracy"
    before, after = cards.card(name).metric(metric), run.card.metric(metric)
    if before is None or after is None:
        raise InputError(f"the card of {name!r} has no {metric} on the test split.")
    points = 100 * (after.value - before.value)
    if json:
        output.emit(
            {"name": name, "run": str(run.path), "metric": metric, "card": before, "again": after}
        )
    else:
        output.table(
            f"{name}, {metric} on {after.examples:,} test examples",
            ("card", "again", "difference in points"),
            [(f"{before.value:.4f}", f"{after.value:.4f}", f"{points:+.2f}")],
        )
    if points < -tolerance:
        raise CheckFailed(f"{name} came out {-points:.2f} points worse than its card says.")
