"""`zoo tune`: which settings of a recipe and of its architecture do best."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.cli import learning, options, output
from zoo.errors import InputError
from zoo.files import refuse_taken

if TYPE_CHECKING:
    from recipes import Search, Splits
    from recipes.tuning import Outcome
    from recipes.tuning.kinds import AnyRecipe

_SHOWN = 5  # trials at the end


def tune(
    name: Annotated[
        str | None, typer.Argument(help="A pretrained model's recipe, or an architecture.")
    ] = None,
    data: options.Data = None,
    target: options.Target = None,
    task: options.Task = None,
    drop: options.Drop = None,
    text: options.Text = None,
    env: options.Env = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the search; default runs/NAME-search.")
    ] = None,
    tuner: Annotated[
        str | None, typer.Option(help="random, grid, hyperband or bayesian (default).")
    ] = None,
    trials: Annotated[int | None, typer.Option(help="The most trials; default 20.")] = None,
    executions: Annotated[
        int | None, typer.Option(help="Trainings of each configuration; default 1.")
    ] = None,
    objective: Annotated[
        str,
        typer.Option(
            help="val_accuracy or val_loss; of generators val_distance, val_kernel_distance, "
            "val_precision or val_recall; of agents val_return. Default the first that there is."
        ),
    ] = "",
    space: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=WHERE",
            help="Where a setting lies, such as learning_rate=1e-4:1e-1:log, optimizer=adam,sgd, "
            "hidden=16:512:log*1:3, or warmup='0:0.2 if schedule=cosine'.",
        ),
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes that run trials side by side.")] = 1,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where the search in --out stopped.")
    ] = False,
    retrain: Annotated[
        bool, typer.Option("--retrain/--no-retrain", help="Train the best anew in the end.")
    ] = True,
    finetune: Annotated[
        bool, typer.Option("--finetune", help="Of fine-tuning the pretrained model on the data.")
    ] = False,
    epochs: learning.Epochs = None,
    steps: learning.Steps = None,
    seed: learning.Seed = None,
    set_: options.Set = None,
    strict: options.Strict = False,
    download: options.Download = False,
    json: output.Json = False,
) -> None:
    """Search for the settings that do best on validation, and train with them.

    What is set (--set, --epochs, --steps) is not searched.
    """
    fields = options.settings(set_, epochs=epochs, steps=steps, seed=seed)
    given = options.data_options(target, task, drop, strict, download, fields, text=text)
    wanted = _wanted(space)
    if resume:
        changes = fields | given | wanted | ({"name": name} if name else {})
        own = {
            "data": data, "env": env, "tuner": tuner, "executions": executions,
            "objective": objective, "finetune": finetune,
        }  # fmt: skip
        changes |= {name: value for name, value in own.items() if value}
        if changes:
            raise InputError(
                "a search is resumed with what it was started with: leave out "
                f"{', '.join(changes)}. More trials are possible (--trials)."
            )
        if out is None:
            raise InputError("name the search that is to be resumed (--out).")
        output.start_tensorflow()
        import recipes

        _finished(
            recipes.resume_tuning(
                out, max_trials=trials, workers=workers, retrain=retrain, progress=_said
            ),
            json,
        )
        return
    if name is None:
        raise InputError("name a recipe or an architecture; `zoo list` shows them.")
    place = options.default_out(out, f"{name}-search")
    refuse_taken(place)
    output.start_tensorflow()
    import recipes

    if finetune:
        recipe: AnyRecipe = learning.recipe_named(name, data, fields, given, finetune)
    else:
        recipe = learning.recipe_for(name, data, env, fields, given)
    with learning.resumable(place, "tune"), warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: output.progress.print(f"{message}")
        search = recipes.tune(
            recipe,
            None if workers > 1 else _data(recipe),
            out=place,
            tuner=tuner or "bayesian",
            max_trials=20 if trials is None else trials,
            executions=1 if executions is None else executions,
            objective=objective,
            space=wanted,
            fixed=fields,
            seed=recipe.seed,
            workers=workers,
            retrain=retrain,
            progress=_said,
        )
    _finished(search, json)


def _data(recipe: "AnyRecipe") -> "Splits | None":
    """Load what a recipe of any kind learns from, and say what was left out."""
    from recipes.adversarial import AdversarialRecipe
    from recipes.adversarial.training import data_of
    from recipes.control import ControlRecipe

    if isinstance(recipe, ControlRecipe):
        return None
    if not isinstance(recipe, AdversarialRecipe):
        return learning.loaded(recipe)
    data = data_of(recipe)
    options.report_skipped(data)
    return data


def _wanted(space: list[str] | None) -> dict[str, str]:
    """Return where the settings lie, by their names."""
    result = {}
    for line in space or []:
        name, equals, where = line.partition("=")
        if not equals or not where.strip():
            raise InputError(f"--space wants NAME=WHERE, not {line!r}.")
        if name.strip() in result:
            raise InputError(f"--space {name.strip()} is given twice.")
        result[name.strip()] = where.strip()
    return result


def _said(number: int, outcome: "Outcome") -> None:
    """Say how a trial ended."""
    figures = ", ".join(f"{name} {value:.4f}" for name, value in outcome.figures.items())
    why = figures or outcome.message
    output.progress.print(f"trial {number + 1}, {outcome.status}: {why} ({outcome.seconds:.0f} s)")


def _finished(search: "Search", json: bool) -> None:
    from recipes.tuning import is_worker

    if is_worker():
        return
    ended, config = search.outcomes, search.config
    best = [(int(key), ended[key]) for key in search.ranked[:_SHOWN]]
    if json:
        output.emit(
            {
                "search": str(search.path),
                "objective": config.objective,
                "trials": [
                    {"trial": number, "value": outcome.figures[config.objective],
                     "settings": outcome.values}
                    for number, outcome in best
                ],
                "best": search.best,
                "metrics": search.run.metrics if search.finished else None,
            }
        )  # fmt: skip
        return
    lost = [outcome for outcome in ended.values() if outcome.message]
    for outcome in lost[:_SHOWN]:
        output.progress.print(f"{outcome.status}: {outcome.message}")
    names: dict[str, Any] = dict.fromkeys(key for _, o in best for key in o.values)
    output.table(
        f"{search.path}: {len(ended)} trials, {len(lost)} of them pruned or failed",
        ("setting", *(f"trial {number + 1}" for number, _ in best)),
        [
            (config.objective, *(f"{o.figures[config.objective]:.4f}" for _, o in best)),
            *((key, *(_short(o.values.get(key)) for _, o in best)) for key in names),
        ],
    )
    if search.finished:
        learning.show(search.run, json)


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return "" if value is None else str(value)
