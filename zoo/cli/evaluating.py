"""`zoo evaluate`."""

from pathlib import Path
from typing import Annotated

import typer

from zoo.cli import options, output
from zoo.errors import InputError
from zoo.weights import model_folder


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
