"""`zoo train` and `zoo finetune`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from zoo.cli import learning, options, output
from zoo.cli.learning import resumable, show_run
from zoo.errors import InputError
from zoo.files import refuse_taken
from zoo.weights import model_folder

if TYPE_CHECKING:
    from recipes.folder import Folder
    from recipes.recipe import Recipe
    from recipes.tuning.kinds import AnyRecipe


def train(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A pretrained model's recipe, an architecture, or a recipe's .json file."
        ),
    ] = None,
    data: options.Data = None,
    target: options.Target = None,
    task: options.Task = None,
    drop: options.Drop = None,
    text: options.Text = None,
    env: options.Env = None,
    out: learning.Out = None,
    resume: learning.Resume = False,
    epochs: learning.Epochs = None,
    steps: learning.Steps = None,
    batch_size: learning.Batch = None,
    learning_rate: learning.Rate = None,
    seed: learning.Seed = None,
    devices: learning.Devices = None,
    model_shards: learning.Shards = 1,
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
    place = options.default_out(out, name.removesuffix(".json")) if name else out
    if resume:
        changes = fields | given | ({"data": data} if data else {})
        _resume(place, changes, devices, model_shards, json)
        return
    if name is None or place is None:
        raise InputError("name a recipe or an architecture; `zoo list` shows them.")
    refuse_taken(place)
    output.start_tensorflow()
    recipe = learning.recipe_for(name, data, env, fields, given)
    with resumable(place, "train"):
        learning.show(_trained(recipe, place, devices, model_shards), json)


def finetune(
    model: Annotated[
        str | None, typer.Argument(help="A pretrained model, or the path of a run.")
    ] = None,
    data: options.Data = None,
    target: options.Target = None,
    task: options.Task = None,
    drop: options.Drop = None,
    text: options.Text = None,
    out: learning.Out = None,
    resume: learning.Resume = False,
    epochs: learning.Epochs = None,
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
    batch_size: learning.Batch = None,
    learning_rate: learning.Rate = None,
    seed: learning.Seed = None,
    devices: learning.Devices = None,
    model_shards: learning.Shards = 1,
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
        changes = fields | given | ({"data": data} if data else {})
        _resume(out, changes, devices, model_shards, json)
        return
    if model is None or data is None:
        raise InputError("name a model and the data to fine-tune it on: zoo finetune NAME --data …")
    model_folder(model)  # a wrong name is answered at once
    place = options.default_out(out, f"{Path(model).name}-{Path(data).stem}")
    refuse_taken(place)
    output.start_tensorflow()
    import recipes
    from recipes.devices import devices_for
    from recipes.finetuning import finetuning_defaults
    from recipes.inputs import data_options_for
    from recipes.recipe import TOKENS, Recipe
    from zoo.cli.progress import Epochs as Bar

    first = {"model": model, "data": data, "epochs": 1, "fine_tuning": True, "data_options": given}
    given = data_options_for(model, **learning.checked(Recipe, first | fields).reading)
    with output.progress.status(f"reading {data}"):
        splits = recipes.data_for(model, data, **given)
    options.report_skipped(splits)
    planned = finetuning_defaults() | fields
    total = planned["epochs"] + (0 if splits.task in TOKENS else planned["head_epochs"])
    with resumable(place, "finetune"):
        run = recipes.finetune(
            model,
            splits,
            place,
            devices=devices_for(devices, model_shards),
            data_options=given,
            callbacks=[Bar(total)],
            **fields,
        )
    show_run(run, json)


def _resume(
    out: Path | None, changes: dict[str, Any], devices: str | None, model_shards: int, json: bool
) -> None:
    """Finish an interrupted run, and print how well it does."""
    if out is None:
        raise InputError("name the run that is to be resumed (--out).")
    if changes:
        raise InputError(
            "a run is resumed with the recipe that it was started with: leave out "
            f"{', '.join(changes)}."
        )
    output.start_tensorflow()
    with resumable(out, "train"):
        learning.show(_trained(None, out, devices, model_shards), json)


def _trained(
    recipe: "AnyRecipe | None", place: Path, devices: str | None, model_shards: int
) -> "Folder[Any]":
    """Train by a recipe of any kind, and show how it goes.

    Args:
        recipe: how, or `None` to go on where the run in `place` stopped.
        place: folder of the run.
        devices: as in `recipes.train`.
        model_shards: over how many of them the weights are divided.
    """
    import recipes
    from recipes.adversarial import AdversarialRecipe
    from recipes.control import ControlRecipe
    from recipes.devices import devices_for
    from zoo.cli import adversarial, control

    agents = isinstance(recipe, ControlRecipe) or (recipe is None and control.is_agents_run(place))
    generators = isinstance(recipe, AdversarialRecipe) or (
        recipe is None and adversarial.is_adversaries_run(place)
    )
    if (agents or generators) and (devices or model_shards > 1):
        raise InputError(
            f"{'agents' if agents else 'generators and critics'} learn on one device: leave out "
            "--devices and --model-shards."
        )
    if agents:
        return control.train_agent(cast("ControlRecipe | None", recipe), place)
    if generators:
        return adversarial.train(cast("AdversarialRecipe | None", recipe), place)
    spread = devices_for(devices, model_shards)
    if recipe is None:
        # Of a cluster's processes, only the first need have the run.
        own = recipes.Run(place).config.recipe if learning.unfinished(place) else None
        bars = [learning.bar(own)] if own else []
        return recipes.train(own, place, resume=True, devices=spread, callbacks=bars)
    supervised = cast("Recipe", recipe)
    data = learning.loaded(supervised)
    return recipes.train(
        supervised, place, data=data, devices=spread, callbacks=[learning.bar(supervised)]
    )
