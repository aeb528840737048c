"""What `zoo evaluate --folds` does: cross-validation."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.cli import learning, output
from zoo.errors import InputError

if TYPE_CHECKING:
    from recipes import CrossValidation
    from recipes.cross_validation import Fold
    from recipes.recipe import Recipe


def cross_validate(
    name: str,
    data: str | None,
    folds: int,
    fields: dict[str, Any],
    given: dict[str, Any],
    out: Path | None,
    json: bool,
) -> None:
    """Train a recipe once for each fold, and print how well each model does.

    Args:
        name: of a pretrained model or an architecture, or path of a finished run.
        data: what `load_data` takes.
        folds: number of folds.
        fields: of the recipe, over its own.
        given: further arguments of `load_data`.
        out: folder for the table, or `None`.
        json: print JSON.

    Raises:
        InputError: what is named has no recipe that learns from examples, or a wrong field.
    """
    if folds < 2:
        raise InputError(f"a cross-validation takes at least 2 folds, not {folds}.")
    output.start_tensorflow()
    import recipes
    from recipes.cross_validation import PLAN, check_place
    from zoo.cli import adversarial, control
    from zoo.cli.progress import Epochs, interrupts_count

    place = Path(name)
    if control.is_agent(name) or control.is_agents_run(place):
        raise InputError(f"{name!r} learns by playing: it has no examples to divide into folds.")
    if adversarial.is_adversary(name) or adversarial.is_adversaries_run(place):
        raise InputError(
            f"{name!r} learns to make pictures: it has no targets to be measured by on a fold."
        )
    recipe = _recipe(name, data, fields, given)
    if out:
        check_place(out)
    splits = learning.loaded(recipe)

    def report(fold: "Fold") -> None:
        shown, value = next(iter(fold.metrics.items()))
        output.progress.print(
            f"fold {fold.fold} of {folds}: {shown} {output.figure(shown, value)} of "
            f"{fold.held_out:,}"
        )

    try:
        with interrupts_count():
            found = recipes.cross_validate(
                recipe, splits, folds, out=out, callbacks=[Epochs(recipe.all_epochs)], report=report
            )
    except KeyboardInterrupt:
        if out and (out / PLAN).is_file():
            output.progress.print("The same command goes on after the last fold that was done.")
        raise
    _show(name, found, out, json)


def _recipe(name: str, data: str | None, fields: dict[str, Any], given: dict[str, Any]) -> "Recipe":
    """Return the recipe of a run, of a pretrained model, or one for an architecture and data."""
    import recipes

    if name in recipes.RECIPES or not (Path(name) / "config.json").is_file():
        return learning.recipe_named(name, data, fields, given)
    own = recipes.Run(name).config.recipe
    given = given if data else own.data_options | given
    return learning.replaced(own, fields | {"data": data or own.data, "data_options": given})


def _show(name: str, found: "CrossValidation", out: Path | None, json: bool) -> None:
    """Print the figures of each fold, their mean and their standard deviation."""
    from recipes.cross_validation import TABLE

    if json:
        output.emit(
            {
                "model": name,
                "data": found.source,
                "folds": found.folds,
                "mean": found.mean,
                "deviation": found.deviation,
                "out": str(out) if out else None,
            }
        )
        return
    rows = [
        (fold.fold, f"{fold.train:,}", f"{fold.held_out:,}",
         *(output.figure(key, fold.metrics[key]) for key in found.names))
        for fold in found.folds
    ]  # fmt: skip
    for title, values in (("mean", found.mean), ("deviation", found.deviation)):
        rows.append((title, "", "", *(output.figure(key, values[key]) for key in found.names)))
    output.table(
        f"{name} on {found.source}, {len(found.folds)} folds of its training and validation "
        "examples",
        ("fold", "learned from", "measured on", *found.names),
        rows,
    )
    if out:
        output.out.print(f"{out / TABLE}: a row for each fold")
