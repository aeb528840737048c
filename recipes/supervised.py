"""Training from labelled examples: one loop for every recipe, exact over interruptions."""

import math
import os
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from recipes.building import check_length, fresh_model, prepared, seed_everything
from recipes.checkpoint import Checkpoint
from recipes.data import Examples, Splits, load_data
from recipes.data.pipeline import balanced_weights, batches, training_batches
from recipes.data.sampling import epoch_size
from recipes.data.text_batches import Batches, text_batches
from recipes.devices import ONE, Devices, devices_for
from recipes.evaluation import batch_of
from recipes.finishing import finish
from recipes.inputs import data_for, text_options
from recipes.losses import token_accuracy
from recipes.phases import Phase, phases, thaw
from recipes.recipe import LOSSES, Recipe, optimizer, smoothed_loss
from recipes.run import Run, State
from recipes.vocabulary import carries_state
from zoo import registry, surgery
from zoo.catalog import NAMES
from zoo.errors import CheckFailed, InputError
from zoo.files import refuse_taken
from zoo.generative.vae import is_variational
from zoo.layers import FakeQuantize, channel_axes


def train(
    recipe: Recipe | str | None,
    out: str | os.PathLike[str],
    *,
    data: Splits | None = None,
    resume: bool = False,
    devices: int | str | Devices | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> Run:
    """Train a model by a recipe: from random weights, or by fine-tuning where the recipe says so.

    Args:
        recipe: a `Recipe`, or the name of a pretrained model, for its own recipe; with `resume`, it
            is not looked at.
        out: folder of the new run.
        data: `Splits` in place of what the recipe names; a resumed run must be given them again.
        resume: go on where the run in `out` stopped, with the recipe that it was started with; a
            finished run is returned as it is.
        devices: number of this machine's devices that share the batches; "all" of them; "cluster"
            for those of several processes; or what `recipes.devices.devices_for` returns, for
            weights in shards. A run goes on with as many as it is resumed with. Default: one.
        callbacks: Keras callbacks, such as a display of progress.

    Returns:
        The finished `Run`. In a cluster, the first process's is in `out`; the others' are in
        folders that are forgotten.

    Raises:
        InputError: the recipe, the data or the devices are wrong, or `out` is taken.
        CheckFailed: the loss became infinite or not a number.

    Example:
        >>> import tempfile
        >>> from recipes import Recipe, train
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run = train(Recipe(model="softmax", data="iris", epochs=2), f"{folder}/iris")
        ...     run.load().output_shape
        (None, 3)
    """
    devices = devices_for(devices)
    place = devices.place(Path(out), resume)
    if resume:
        return continue_run(Run(place), data, callbacks, devices)
    if recipe is None:
        raise InputError("name a recipe: only a run that is resumed has its own.")
    if isinstance(recipe, str):
        from recipes.pretrained import recipe_of

        recipe = recipe_of(recipe)
    return continue_run(*begin(recipe, place, data), callbacks, devices)


def begin(
    recipe: Recipe, out: str | os.PathLike[str], data: Splits | None = None
) -> tuple[Run, Splits]:
    """Make the run of a recipe: the model before its first step, and the data that it learns from.

    Raises:
        InputError: the recipe or the data is wrong, or `out` is taken.
    """
    refuse_taken(Path(out))
    if recipe.fine_tuning:
        from recipes.finetuning import begin_by

        return begin_by(recipe, out, data)
    data = prepared(recipe, data or data_of(recipe))
    model, task, arguments = fresh_model(recipe, data)
    check_length(recipe, model)
    return Run.create(out, recipe, model, data, task, recipe.model, arguments), data


def continue_run(
    run: Run,
    data: Splits | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    devices: Devices = ONE,
) -> Run:
    """Train a run to its end from where it stands, and finish it.

    Raises:
        InputError: the data is not what the run was started with.
        CheckFailed: the loss became infinite or not a number.
    """
    if run.finished:
        return run
    data = own_data(run, data)
    return finish(run, learn(run, data, callbacks, devices=devices), data, devices.count)


def own_data(run: Run, data: Splits | None) -> Splits:
    """Return the data that a run was started with.

    Raises:
        InputError: it is not that any more.
    """
    recipe = run.config.recipe
    data = _numbered(data, run) if data else data_of(recipe, run)
    data = data.limited(recipe.examples)
    if data.fingerprint != run.config.dataset.fingerprint:
        raise InputError(
            f"the data {data.source!r} is not what {run.path} was started with: it has changed."
        )
    return data


def learn(
    run: Run,
    data: Splits,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    until: int | None = None,
    devices: Devices = ONE,
) -> keras.Model:
    """Train a run from where it stands; its test examples are not looked at.

    Args:
        run: not finished yet.
        data: what it was started with.
        callbacks: Keras callbacks.
        until: number of the epoch after which to pause, from 1; default its recipe's last. The
            schedule of the learning rate is that of all epochs.
        devices: on which it trains.

    Returns:
        The model with the weights that are kept, in the units of the data.

    Raises:
        InputError: the devices or Keras' backend cannot train such a model.
        CheckFailed: the loss became infinite or not a number.
    """
    config = run.config
    carried = goes_on(config.architecture, data)
    try:
        if carried and keras.backend.backend() != "tensorflow":
            raise InputError(
                f"{config.architecture!r} carries its states from batch to batch, which Keras "
                "forgets under other backends: train it under TensorFlow "
                "(KERAS_BACKEND=tensorflow)."
            )
        devices.check(config.recipe, config.task, carried)
    except InputError:
        run.discard_if_empty()
        raise
    with devices.scope():
        _learn(run, data, callbacks, until, devices)
    model = run.load_initial()
    run.load_kept(model, run.read_state() or State())
    _unscale_head(model, data)
    return model


def _learn(
    run: Run,
    data: Splits,
    callbacks: Sequence[keras.callbacks.Callback],
    until: int | None,
    devices: Devices,
) -> None:
    """Train a run from where it stands; what it has learned is in its state."""
    recipe = run.config.recipe
    until = recipe.all_epochs if until is None else until
    run.sweep()
    seed_everything(recipe.seed)
    model = run.load_initial()
    if recipe.precision != "float32":
        model = surgery.with_precision(model, recipe.precision)
    if goes_on(run.config.architecture, data):
        model = _carrying(model, run.config.architecture, run.config.arguments, recipe)
    scaled = standardized_targets(data)
    stages = stages_of(model, recipe) if recipe.fine_tuning else []
    for phase in phases(recipe, len(stages)):
        state = run.read_state() or State()
        if state.epoch < min(phase.epochs.stop, until):
            try:
                _fit(model, stages, run, scaled, phase, state, callbacks, until, devices)
            except (CheckFailed, InputError, ValueError):
                run.discard_if_empty()
                raise


def goes_on(architecture: str, data: Splits) -> bool:
    """Return whether a model's states are carried from batch to batch while it learns."""
    long = data.task == "language_modeling"
    return long and bool(architecture) and carries_state(architecture)


def _carrying(
    model: keras.Model, architecture: str, arguments: dict[str, Any], recipe: Recipe
) -> keras.Model:
    """Return the same model with states that go on from one batch to the next."""
    changes = {"stateful": True, "batch_size": recipe.batch_size}
    result = registry.build(architecture, **arguments | changes)
    result.set_weights(model.get_weights())
    if recipe.precision != "float32":
        result = surgery.with_precision(result, recipe.precision)
    return result


class _Forget(keras.callbacks.Callback):
    """Sets carried states to zero where an epoch or a validation begins: at a text's beginning."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Forget what the validation read."""
        self._forget()

    def on_test_begin(self, logs: Any = None) -> None:
        """Forget what the training read."""
        self._forget()

    def _forget(self) -> None:
        for layer in self.model.layers:
            if getattr(layer, "stateful", False):
                layer.reset_state()


def stages_of(model: keras.Model, recipe: Recipe) -> list[list[keras.Layer]]:
    """Return the stages that a recipe thaws; the model's own `trainable` flags are forgotten."""
    model.trainable = True
    return surgery.stages(model, recipe.train_normalization)


def data_of(recipe: Recipe, run: Run | None = None) -> Splits:
    """Load what a recipe names, with the task that its architecture leaves no choice of.

    Args:
        recipe: the recipe.
        run: that is resumed or measured: it knows how its table's columns became features, and how
            its classes are numbered.
    """
    options = dict(recipe.reading)
    if run is None and recipe.fine_tuning:
        return data_for(recipe.model, recipe.data, **options)
    row = NAMES.get(recipe.model)
    if row and row.task == "regression" and Path(recipe.data).is_file():
        options.setdefault("task", row.task)
    if row and row.task == "reconstruction" and Path(recipe.data).is_dir():
        options.setdefault("task", row.task)
    if row and row.family == "sequence":
        options = text_options(row.task, options)
    data = load_data(recipe.data, **options, encoder=run.encoder if run else None)
    return _numbered(data, run) if run else data


def _numbered(data: Splits, run: Run) -> Splits:
    """Return a run's data with its classes numbered as the run has them."""
    known = run.config.labels
    data = replace(data, tokenizers=run.tokenizers)
    return data.relabelled(known) if set(data.labels) <= set(known) else data


def compile_model(
    model: keras.Model, recipe: Recipe, task: str, optimizer: keras.Optimizer
) -> None:
    """Give a model the loss of its recipe, the metrics of its task, and an optimizer."""
    loss: Any = recipe.loss or _usual_loss(model, task)
    if recipe.label_smoothing:
        loss = smoothed_loss(recipe, task)
    metrics: dict[str, list[Any]] = {"classification": ["accuracy"], "translation": [_accuracy()]}
    model.compile(
        optimizer,
        loss,
        metrics=metrics.get(task, []),
        # On CPUs, TensorFlow's XLA is slower for convolutions and no faster for wide recurrent
        # layers, and it compiles anew for every length of texts. JAX knows no other compiler.
        jit_compile="auto" if keras.backend.backend() == "jax" else False,
    )


def _usual_loss(model: keras.Model, task: str) -> Any:
    """Return the loss of a task, or that beside which codes are weighed."""
    return "binary_crossentropy" if is_variational(model) else LOSSES[task]


def _accuracy() -> keras.metrics.Metric:
    return keras.metrics.MeanMetricWrapper(token_accuracy, name="accuracy")


def recipe_batches(
    recipe: Recipe, data: Splits, task: str, epochs: range, carried: bool = False
) -> Batches:
    """Return the shuffled, augmented and weighted batches that a recipe trains on.

    Args:
        recipe: the recipe.
        data: what it learns from.
        task: of the model.
        epochs: numbers of the epochs.
        carried: of one long text: a batch goes on where the one before it ended.
    """
    classes = len(data.labels)
    weighted = recipe.class_weights and task == "classification"
    weights = balanced_weights(data.train.targets, classes) if weighted else None
    if data.holds_text:
        return text_batches(
            data,
            recipe.batch_size,
            recipe.max_length,
            epochs,
            recipe.seed,
            carried=carried,
            class_weights=weights,
        )
    training = training_batches(
        data.train,
        recipe.batch_size,
        task,
        classes,
        epochs=epochs,
        seed=recipe.seed,
        augment=recipe.augment,
        class_weights=weights,
        sampling=recipe.sampling,
    )
    size = batch_of(data.validation.inputs)
    return Batches(
        training=training,
        steps=math.ceil(epoch_size(data.train.targets, recipe.sampling) / recipe.batch_size),
        validation=batches(data.validation, size, task, classes),
    )


def _scale(data: Splits) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of the training targets of a regression."""
    values = data.train.targets.astype("float64")
    deviation = values.std(axis=0)
    return values.mean(axis=0), np.where(deviation > 0, deviation, 1.0)


def standardized_targets(data: Splits) -> Splits:
    """Return the data with standardized targets, if they are quantities.

    A target in the hundreds of thousands would keep an optimizer busy for ever with the size of
    the weights; `_unscale_head` gives the finished model its units back.
    """
    if data.task != "regression":
        return data
    mean, deviation = _scale(data)

    def standardized(examples: Examples) -> Examples:
        return Examples(examples.inputs, ((examples.targets - mean) / deviation).astype("float32"))

    return replace(data, train=standardized(data.train), validation=standardized(data.validation))


def _unscale_head(model: keras.Model, data: Splits) -> None:
    """Put the targets' mean and deviation into the linear output layer of a regression."""
    if data.task != "regression":
        return
    mean, deviation = _scale(data)
    *_, head = filter(channel_axes, model.layers)
    kernel, bias = head.get_weights()
    head.set_weights([kernel * deviation, bias * deviation + mean])
    last = model.layers[-1]
    if isinstance(last, FakeQuantize):  # rounds what the head gives
        ends = np.stack(last.get_weights())[:, None]
        last.adapt((ends * deviation + mean).ravel())


def _fit(
    model: keras.Model,
    stages: list[list[keras.Layer]],
    run: Run,
    data: Splits,
    phase: Phase,
    state: State,
    callbacks: Sequence[keras.callbacks.Callback],
    until: int,
    devices: Devices,
) -> None:
    """Train one phase from the state on disk, which every epoch renews, up to an epoch."""
    recipe, task = run.config.recipe, run.config.task
    factor = recipe.rate_factor
    shares = []
    if recipe.fine_tuning:
        shares = thaw(model, stages, phase.thawed, factor, recipe.train_normalization)
    epochs = range(max(phase.epochs.start, state.epoch), phase.epochs.stop)
    carried = goes_on(run.config.architecture, data)
    feed = recipe_batches(recipe, data, task, epochs, carried)
    if feed.left_out:
        warnings.warn(
            f"{feed.left_out:,} of {len(data.train):,} pairs have more than {recipe.max_length} "
            "tokens (max_length) and are not learned from.",
            stacklevel=2,
        )
    total = feed.steps * len(phase.epochs)
    own = optimizer(
        recipe, phase.learning_rate, phase.schedule, total, shares if factor != 1 else ()
    )
    if state.epoch:
        _assign(model.variables, state.model)
    model = devices.spread(model)
    compile_model(model, recipe, task, own)
    model.optimizer.build(model.trainable_variables)
    if state.epoch > phase.epochs.start:
        _assign(model.optimizer.variables, state.optimizer)
    averaged = [keras.callbacks.SwapEMAWeights()] if recipe.ema else []
    model.fit(
        feed.training,
        steps_per_epoch=feed.steps,
        initial_epoch=epochs.start,
        epochs=min(epochs.stop, until),
        validation_data=feed.validation,
        verbose=0,
        shuffle=False,
        callbacks=[
            _Forget(),
            *averaged,
            Checkpoint(run, state, phase.epochs, devices, *averaged),
            keras.callbacks.TensorBoard(run.path / "tensorboard", write_graph=False),
            *callbacks,
        ],
    )


def _assign(variables: list[Any], values: list[np.ndarray]) -> None:
    if [tuple(v.shape) for v in variables] != [v.shape for v in values]:
        raise InputError("the saved state does not fit the model: it is of another version.")
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
