"""What `zoo train` and `zoo reproduce` do with generators and their critics."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo import cards
from zoo.cli import output
from zoo.cli.learning import checked
from zoo.cli.options import report_skipped
from zoo.errors import CheckFailed, InputError
from zoo.files import refuse_taken
from zoo.weights import pretrained_names

if TYPE_CHECKING:
    from recipes.adversarial import AdversarialRecipe, AdversarialRun
    from recipes.adversarial.run import AdversarialState

_WORSE = 0.1  # share by which a distance may grow from one training to the next
_EPOCHS = 25  # where nobody says


def is_adversary(name: str) -> bool:
    """Return whether a name is of a method or a recipe of adversaries, or of a generator."""
    from recipes.adversarial import ADVERSARIAL_RECIPES, METHODS
    from zoo.catalog import NAMES

    made = name in NAMES and NAMES[name].task in ("generation", "discrimination")
    return name in METHODS or name in ADVERSARIAL_RECIPES or made


def recipe_named(
    name: str, data: str | None, fields: dict[str, Any], given: dict[str, Any]
) -> "AdversarialRecipe":
    """Return a recipe of adversaries, or one for a method and data.

    Args:
        name: of the recipe, the method or the generator.
        data: what `recipes.data.pictures.load_pictures` takes.
        fields: of the recipe, over its own.
        given: further arguments of `load_data`.

    Raises:
        InputError: no data for a method, no critic for a generator, or a wrong field.
    """
    import msgspec

    from recipes.adversarial import ADVERSARIAL_RECIPES, METHODS, AdversarialRecipe

    fields = fields | ({"data": data} if data else {}) | ({"data_options": given} if given else {})
    if name in ADVERSARIAL_RECIPES:
        own = msgspec.structs.asdict(ADVERSARIAL_RECIPES[name])
        return checked(AdversarialRecipe, own | ({"judge": ""} if data else {}) | fields)
    if data is None:
        raise InputError(f"name the pictures that {name!r} is to learn from (--data).")
    if name not in METHODS and "discriminator" not in fields:
        raise InputError(
            f"{name!r} is half of a pair: name the other (--set discriminator=...), or a method: "
            f"{', '.join(METHODS)}."
        )
    own = METHODS.get(name, {"generator": name})
    return checked(AdversarialRecipe, {"epochs": _EPOCHS} | own | fields)


def train(recipe: "AdversarialRecipe | None", place: Path) -> "AdversarialRun":
    """Train a generator and its critic, and show how they do after every epoch.

    Args:
        recipe: how, or `None` to go on where the run in `place` stopped.
        place: folder of the run.
    """
    import warnings

    from recipes.adversarial import AdversarialRun, train_adversarial
    from recipes.adversarial.training import data_of

    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: output.progress.print(f"{message}")
        resume = recipe is None
        recipe = recipe or AdversarialRun(place).config.recipe
        data = data_of(recipe)
        report_skipped(data)
        return train_adversarial(recipe, place, data=data, resume=resume, progress=_shown)


def reproduce(name: str, place: Path, package: Path | None, download: bool, json: bool) -> None:
    """Train a packaged generator's recipe again, and package it if asked to.

    Args:
        name: of the recipe.
        place: folder of the run.
        package: folder that the package goes to, or `None`.
        download: allow the data to be downloaded.
        json: print JSON.

    Raises:
        CheckFailed: its distance is larger than its card says by more than a tenth.
    """
    import msgspec

    from recipes.adversarial import AdversarialRun
    from recipes.adversarial.pretrained import adversarial_recipe_of

    recipe = adversarial_recipe_of(name)
    if download:
        options = {**recipe.data_options, "download": True}
        recipe = msgspec.structs.replace(recipe, data_options=options)
    if is_adversaries_run(place):
        earlier = AdversarialRun(place)
        if earlier.config.recipe != recipe or (earlier.finished and not package):
            raise InputError(f"{place} holds another run: name another place (--out).")
        run = train(None, place)
    else:
        refuse_taken(place)
        run = train(recipe, place)
    finished(run, json)
    if name in pretrained_names():  # compared before a better one could be overwritten
        before, after = (card.metrics[0] for card in (cards.card(name), run.card))
        if after.value > before.value * (1 + _WORSE):
            raise CheckFailed(
                f"{name} has a {before.name.replace('_', ' ')} of {after.value:.2f}, and of "
                f"{before.value:.2f} on its card."
            )
    if package:
        from zoo.cli.packaging import package_generator

        package_generator(run, name, package)


def evaluate(model: str, json: bool, options: dict[str, Any]) -> None:
    """Print the scores of a generator against the test pictures of its own data.

    Args:
        model: name of a packaged generator, or path of a run.
        json: print JSON.
        options: further arguments of `load_data`, that do not change the pictures.

    Raises:
        InputError: the pictures are not what it learned from.
    """
    from recipes.adversarial import AdversarialRecipe
    from recipes.adversarial.finishing import figures_of
    from recipes.data.pictures import load_pictures
    from zoo.models import load

    card = cards.card(model)
    recipe = checked(AdversarialRecipe, card.recipe)
    data = load_pictures(recipe.data, recipe.shape or None, **recipe.data_options | options)
    report_skipped(data)
    if data.fingerprint != card.dataset.fingerprint:
        raise InputError(
            f"{data.source!r} has changed since {model!r} learned from it: its scores would be of "
            "other pictures."
        )
    _, metrics = figures_of(load(model), data, recipe)
    _scores({metric.name: metric.value for metric in metrics}, model, recipe.judged_by, json)


def finished(run: "AdversarialRun", json: bool) -> None:
    """Print the scores of a finished run."""
    _scores(run.metrics["test"], str(run.path), run.config.recipe.judged_by, json)


def _scores(found: dict[str, float], name: str, judge: str, json: bool) -> None:
    if json:
        output.emit({"model": name, "features": judge, "metrics": found})
        return
    rows = [(key.replace("_", " "), f"{value:.3f}") for key, value in found.items()]
    output.table(f"{name}, features of {judge}", ("score", "value"), rows)


def is_adversaries_run(path: Path) -> bool:
    """Return whether a folder holds a run of adversaries."""
    from zoo.cli.control import task_of_run

    return task_of_run(path) == "generation"


def _shown(state: "AdversarialState", recipe: "AdversarialRecipe") -> None:
    row = state.history[-1]
    output.progress.print(
        f"epoch {state.epoch}/{recipe.epochs}  critic {row['critic_loss']:.3f}  generator "
        f"{row['generator_loss']:.3f}  diversity {row['diversity']:.0%}  "
        f"{state.seconds:.0f} s"
    )
