"""`zoo lr-find`: which learning rate to begin with."""

from pathlib import Path
from typing import Annotated

import typer

from zoo.cli import learning, options, output
from zoo.errors import InputError
from zoo.files import refuse_taken


def lr_find(
    name: Annotated[str, typer.Argument(help="A pretrained model's recipe, or an architecture.")],
    data: options.Data = None,
    target: options.Target = None,
    task: options.Task = None,
    drop: options.Drop = None,
    text: options.Text = None,
    out: Annotated[
        Path | None, typer.Option(help="The PNG file; default NAME-learning-rate.png, here.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
    lowest: Annotated[float, typer.Option(help="Learning rate of the first step.")] = 1e-6,
    highest: Annotated[float, typer.Option(help="Learning rate of the last step.")] = 1.0,
    steps: Annotated[int, typer.Option(help="Number of steps.")] = 100,
    finetune: Annotated[
        bool, typer.Option("--finetune", help="Of fine-tuning the pretrained model on the data.")
    ] = False,
    batch_size: learning.Batch = None,
    seed: learning.Seed = None,
    set_: options.Set = None,
    strict: options.Strict = False,
    download: options.Download = False,
    json: output.Json = False,
) -> None:
    """Find a learning rate: raise it step by step, and watch the loss."""
    fields = options.settings(set_, batch_size=batch_size, seed=seed)
    given = options.data_options(target, task, drop, strict, download, fields, text=text)
    place = out or Path(f"{name.replace('/', '_')}-learning-rate.png")
    if place.suffix.lower() != ".png" or place.is_dir():
        raise InputError(f"the curve is a PNG file: name it so, not {place} (--out).")
    refuse_taken(place, overwrite)
    output.start_tensorflow()
    import recipes
    from zoo.cli import adversarial, control

    if adversarial.is_adversary(name) or control.is_agent(name):
        raise InputError(f"{name!r} does not learn from examples with targets: give it a rate.")
    recipe = learning.recipe_named(name, data, fields, given, finetune)
    splits = learning.loaded(recipe)
    with output.progress.status(f"raising the learning rate of {name}"):
        found = recipes.lr_find(recipe, splits, lowest, highest, steps)
    found.plot(place)
    if json:
        output.emit(
            {
                "model": recipe.model,
                "data": recipe.data,
                "suggestion": found.suggestion,
                "learning_rate": recipe.learning_rate,
                "batch_size": recipe.batch_size,
                "diverged": found.diverged,
                "rates": found.rates.tolist(),
                "losses": found.losses.tolist(),
                "smoothed": found.smoothed.tolist(),
                "out": str(place),
            }
        )
        return
    output.out.print(f"learning rate {found.suggestion:.1e}; the recipe has "
                     f"{recipe.learning_rate:.1e}")  # fmt: skip
    output.out.print(f"{place}: the loss over the rate")
