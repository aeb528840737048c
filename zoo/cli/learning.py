"""`zoo train`, `zoo finetune`, `zoo evaluate` and `zoo reproduce`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from zoo.cli import options, output
from zoo.errors import CheckFailed, InputError
from zoo.files import refuse_taken
from zoo.weights import model_folder, pretrained_names

if TYPE_CHECKING:
    from recipes import Run, Splits
    from recipes.recipe import Recipe

R = TypeVar("R")  # any kind of recipe

Out = Annotated[Path | None, typer.Option(help="Folder of the run; default runs/NAME.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on where the run in --out stopped.")]
Epochs = Annotated[int | None, typer.Option(help="Number of epochs.")]
Batch = Annotated[int | None, typer.Option(help="Examples in a step.")]
Rate = Annotated[float | None, typer.Option(help="Highest learning rate.")]
Seed = Annotated[int | None, typer.Option(help="Of weights, order, augmentation and dropout.")]


def train(
    name: Annotated[
        str | None, typer.Argument(help="A pretrained model's recipe, or an architecture.")
    ] = None,
    data: options.Data = None,
    target: options.Target = None,
    task: options.Task = None,
    drop: options.Drop = None,
    text: options.Text = None,
    env: Annotated[
        str | None, typer.Option(help="The Gymnasium id of where an agent is to learn.")
    ] = None,
    out: Out = None,
    resume: Resume = False,
    epochs: Epochs = None,
    steps: Annotated[int | None, typer.Option(help="Of an agent: steps that it plays.")] = None,
    batch_size: Batch = None,
    learning_rate: Rate = None,
    seed: Seed = None,
    set_: options.Set = None,
    strict: options.Strict = False,
    download: options.Download = False,
    json: output.Json = False,
) -> None:
    """Train a recipe, or an architecture on your data, from random weights.

    The recipe of a model that was fine-tuned starts from the model it names. An agent learns in an
    environment (--env) in place of data.
    """
    fields = options.settings(
        set_,
        epochs=epochs,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
    )
    given = options.data_options(target, task, drop, strict, download, fields, text=text)
    if resume:
        place = out or (options.default_out(None, name) if name else None)
        _resume(place, fields | given | ({"data": data} if data else {}), json)
        return
    if name is None:
        raise InputError("name a recipe or an architecture; `zoo list` shows them.")
    place = options.default_out(out, name)
    refuse_taken(place)
    output.start_tensorflow()
    import recipes
    from zoo.cli import adversarial, control

    if env or control.is_agent(name):
        if data or given:
            raise InputError("an agent learns in an environment (--env), and takes no data.")
        agent = control.recipe_named(name, env, fields)
        with resumable(place, "train"):
            control.finished(control.train_agent(agent, place), json)
        return
    if adversarial.is_adversary(name):
        adversaries = adversarial.recipe_named(name, data, fields, given)
        with resumable(place, "train"):
            adversarial.finished(adversarial.train(adversaries, place), json)
        return
    recipe = recipe_named(name, data, fields, given)
    splits = loaded(recipe)
    with resumable(place, "train"):
        run = recipes.train(recipe, place, data=splits, callbacks=[_bar(recipe)])
    show_run(run, json)


def finetune(
    model: Annotated[
        str | None, typer.Argument(help="A pretrained model, or the path of a run.")
    ] = None,
    data: options.Data = None,
    target: options.Target = None,
    task: options.Task = None,
    drop: options.Drop = None,
    text: options.Text = None,
    out: Out = None,
    resume: Resume = False,
    epochs: Epochs = None,
    head_epochs: Annotated[
        int | None, typer.Option(help="Epochs before, in which only the head learns.")
    ] = None,
    strategy: Annotated[
        str | None,
        typer.Option(help="What learns then: all, frozen, gradual, or discriminative."),
    ] = None,
    keep_classes: Annotated[
        bool,
        typer.Option("--keep-classes", help="Keep the model's own classes beside the data's."),
    ] = False,
    batch_size: Batch = None,
    learning_rate: Rate = None,
    seed: Seed = None,
    set_: options.Set = None,
    strict: options.Strict = False,
    download: options.Download = False,
    json: output.Json = False,
) -> None:
    """Fine-tune a model on your data; the model itself is not touched."""
    fields = options.settings(
        set_,
        epochs=epochs,
        head_epochs=head_epochs,
        strategy=strategy,
        keep_classes=keep_classes or None,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
    )
    given = options.data_options(target, task, drop, strict, download, fields, text=text)
    if resume:
        _resume(out, fields | given | ({"data": data} if data else {}), json)
        return
    if model is None or data is None:
        raise InputError("name a model and the data to fine-tune it on: zoo finetune NAME --data …")
    model_folder(model)  # a wrong name is answered at once
    place = options.default_out(out, f"{Path(model).name}-{Path(data).stem}")
    refuse_taken(place)
    output.start_tensorflow()
    import recipes
    from recipes.finetuning import finetuning_defaults
    from recipes.inputs import data_options_for
    from recipes.recipe import TOKENS, Recipe
    from zoo.cli.progress import Epochs as Bar

    first = {"model": model, "data": data, "epochs": 1, "fine_tuning": True, "data_options": given}
    given = data_options_for(model, **checked(Recipe, first | fields).reading)
    with output.progress.status(f"reading {data}"):
        splits = recipes.data_for(model, data, **given)
    options.report_skipped(splits)
    planned = finetuning_defaults() | fields
    total = planned["epochs"] + (0 if splits.task in TOKENS else planned["head_epochs"])
    with resumable(place, "finetune"):
        run = recipes.finetune(
            model, splits, place, data_options=given, callbacks=[Bar(total)], **fields
        )
    show_run(run, json)


def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            help="A pretrained model, or the path of a run; with --folds, or an architecture."
        ),
    ],
    data: options.Data = None,
    split: Annotated[
        str | None, typer.Option(help="train, validation, test, or all; default test.")
    ] = None,
    augment: Annotated[
        str, typer.Option(help="Test-time augmentation of pictures: flip, shift or flip+shift.")
    ] = "",
    target: options.Target = None,
    task: options.Task = None,
    drop: options.Drop = None,
    text: options.Text = None,
    folds: Annotated[
        int | None,
        typer.Option(
            help="Cross-validate: train the recipe anew for each of so many folds of the training "
            "and validation examples, and measure it there; the test split is not touched."
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="With --folds: number of epochs.")] = None,
    set_: options.Set = None,
    out: Annotated[
        Path | None,
        typer.Option(help="With --folds: folder for a CSV; what was interrupted goes on there."),
    ] = None,
    strict: options.Strict = False,
    download: options.Download = False,
    json: output.Json = False,
) -> None:
    """Measure a model on its own test examples, or on your data; or its recipe on folds."""
    if folds is not None:
        if split or augment:
            raise InputError("--folds says what is measured on: leave out --split and --augment.")
        from zoo.cli.folds import cross_validate

        fields = options.settings(set_, epochs=epochs)
        given = options.data_options(target, task, drop, strict, download, fields, text=text)
        cross_validate(model, data, folds, fields, given, out, json)
        return
    if epochs is not None or set_ or out:
        raise InputError("--epochs, --set and --out are for a cross-validation (--folds).")
    split = split or "test"
    model_folder(model)  # a wrong name is answered at once
    output.start_tensorflow()
    import recipes
    from zoo.cards import card

    given = options.data_options(target, task, drop, strict, download, text=text)
    if card(model).task == "control":
        if data or given or augment or split != "test":
            raise InputError(f"{model!r} is measured by its test episodes, not on data.")
        from recipes.control import play
        from zoo.cli.control import shown

        shown(play(model), f"{model}, test episodes", json, {"model": model, "split": split})
        return
    if card(model).task == "generation":
        if data or augment or split != "test" or set(given) - {"download", "strict"}:
            raise InputError(f"{model!r} is scored against the test pictures of its own data.")
        from zoo.cli import adversarial

        adversarial.evaluate(model, json, given)
        return
    if data is None:
        metrics = recipes.evaluate(model, None, split, augment=augment, **given)
    else:
        splits = recipes.data_for(model, data, **given)
        options.report_skipped(splits)
        metrics = recipes.evaluate(model, splits, split, augment=augment)
    if json:
        output.emit({"model": model, "data": data, "split": split, "metrics": metrics})
        return
    output.table(
        f"{model} on {data or 'its own data'}, {split}",
        ("metric", "value"),
        [(name, output.figure(name, value)) for name, value in metrics.items()],
    )


_TOLERANCE = 0.5  # points that a recipe that is run again may be worse


def reproduce(
    name: Annotated[str, typer.Argument(help="A pretrained model.")],
    out: Out = None,
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
        recipe = replaced(recipe, {"data_options": {**recipe.data_options, "download": True}})
    if recipe.fine_tuning:
        recipe = with_data_options(recipe)
    place = out or Path("runs") / f"{name}-again"
    if _unfinished(place):
        earlier = recipes.Run(place)
        done = earlier.finished and not package  # what could not be packaged still can be
        if done or earlier.config.recipe != recipe:
            raise InputError(f"{place} holds another run: name another place (--out).")
    run = recipes.train(
        recipe, place, data=loaded(recipe), resume=_unfinished(place), callbacks=[_bar(recipe)]
    )
    if name in pretrained_names():  # compared before a better one could be overwritten
        _compare(name, run, _TOLERANCE if tolerance is None else tolerance, json)
    else:
        show_run(run, json)
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


def _resume(out: Path | None, changes: dict[str, Any], json: bool) -> None:
    """Finish an interrupted run, and print how well it does."""
    if out is None:
        raise InputError("name the run that is to be resumed (--out).")
    if changes:
        raise InputError(
            "a run is resumed with the recipe that it was started with: leave out "
            f"{', '.join(changes)}."
        )
    output.start_tensorflow()
    from recipes.run import Run
    from recipes.supervised import continue_run
    from zoo.cli import adversarial, control

    if control.is_agents_run(out):
        with resumable(out, "train"):
            control.finished(control.train_agent(None, out), json)
        return
    if adversarial.is_adversaries_run(out):
        with resumable(out, "train"):
            adversarial.finished(adversarial.train(None, out), json)
        return
    run = Run(out)
    with resumable(run.path, "train"):
        show_run(continue_run(run, callbacks=[_bar(run.config.recipe)]), json)


@contextmanager
def resumable(place: Path, verb: str) -> Iterator[None]:
    """Say, when Ctrl-C ends a training, how it goes on."""
    from zoo.cli.progress import interrupts_count

    try:
        with interrupts_count():
            yield
    except KeyboardInterrupt:
        if _unfinished(place):
            output.progress.print(f"`zoo {verb} --resume --out {place}` goes on from here.")
        raise


def _unfinished(path: Path) -> bool:
    return (path / "config.json").is_file()


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


def _bar(recipe: "Recipe") -> Any:
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
