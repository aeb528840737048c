"""Recipes: everything that decides how a model is trained, as data."""

import math
from collections.abc import Sequence
from typing import Any

import keras

from recipes.adam import Adam, AdamW
from recipes.data import augmentation
from recipes.data.sampling import SAMPLINGS
from recipes.losses import TokenCrossentropy
from recipes.schedules import SCHEDULES, WARMED, learning_rates
from recipes.shares import with_shares
from zoo.cards import Frozen, Reference
from zoo.errors import InputError
from zoo.quantization import INT8
from zoo.registry import unknown

LOSSES: dict[str, "str | keras.losses.Loss"] = {
    "classification": "categorical_crossentropy",
    "regression": "mean_squared_error",
    "reconstruction": "mean_squared_error",
    "translation": TokenCrossentropy(),
    "language_modeling": TokenCrossentropy(),
}
# The tasks whose targets are tokens.
TOKENS = ("translation", "language_modeling")
# The losses for classes that take label smoothing.
SMOOTHED = {
    "categorical_crossentropy": keras.losses.CategoricalCrossentropy,
    "categorical_focal_crossentropy": keras.losses.CategoricalFocalCrossentropy,
}
# Those that are not Keras' own.
OWN_OPTIMIZERS = {"adam": Adam, "adamw": AdamW}
OPTIMIZERS = {
    "sgd": {"momentum": 0.9, "nesterov": True},
    "rmsprop": {},
    "adam": {},
    "adamw": {},
    "nadam": {},
    "adagrad": {},
    "adadelta": {},
    "adamax": {},
    "lion": {},
    "muon": {},
}
# What learns in fine-tuning, once the head has had its own epochs.
STRATEGIES = ("all", "frozen", "gradual", "discriminative")
QUANTIZATIONS = ("", INT8)
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


class Recipe(Frozen, frozen=True):
    """How a model is trained.

    Attributes:
        model: name of an architecture, or of the pretrained model or run that is fine-tuned.
        data: what `load_data` takes.
        epochs: number of epochs, those with the head alone not counted.
        arguments: for the builder; shapes and classes come from the data where they are not given.
            In fine-tuning, what the source is built with in place of its own arguments (see
            `zoo.load`), such as {"input_shape": [128, 128, 3]} for pictures that are smaller.
        data_options: further arguments of `load_data`.
        examples: use so many training examples only, stratified; 0 for all.
        batch_size: examples in a step.
        optimizer: one of `OPTIMIZERS`.
        learning_rate: the highest of the schedule.
        schedule: "constant"; "step" (a tenth at one half and again at three quarters);
            "exponential" (to a hundredth); "cosine" (to zero, after the warm-up); "inverse_sqrt"
            (after the warm-up, with one over the root of the steps; Vaswani et al. 2017, section
            5.3); "one_cycle" (linear from a twenty-fifth in three tenths of the steps, then cosine
            to a ten-thousandth).
        warmup: share of the steps in which the schedule rises linearly from zero: of "cosine" and
            "inverse_sqrt".
        weight_decay: decoupled weight decay.
        clip_norm: largest norm of all gradients together; 0 for no clipping.
        ema: momentum of the moving average of the weights, such as 0.99; 0 for none. Validation
            and the kept weights are the average's.
        loss: any Keras loss by name; "" for the task's own (`LOSSES`). For classes,
            "categorical_focal_crossentropy" gives less weight to what the model is sure of (gamma
            2, alpha 0.25, https://arxiv.org/abs/1708.02002).
        label_smoothing: for classes and tokens, between 0 and 1.
        tokenizer: arguments of `Tokenizer.train`, for data of text, such as
            {"kind": "subwords", "vocabulary_size": 6000}; what is not given follows from the task:
            6,000 subwords for translation, 10,000 words for classes, characters for one long text.
        max_length: greatest number of tokens of a text, or of a window of one long text.
        class_weights: weigh the classes in inverse proportion to their sizes.
        sampling: for classes of unequal size: an epoch draws every class equally often, with "over"
            as often as the largest has examples, with "under" the smallest; "" draws each example
            once. For unbalanced data see also `recipes.thresholds`.
        augment: name -> strength; see `recipes.data.augmentation`.
        precision: "float32", "mixed_bfloat16" or "mixed_float16".
        patience: stop after so many epochs without a better validation; 0 to train to the end.
        keep: "best" keeps the weights of the best validation, "last" those of the last epoch.
        fine_tuning: the model's weights are a start: batch normalization is kept still.
        train_normalization: it learns in fine-tuning, too, after the epochs of the head alone: for
            pictures unlike the source's, in batches of 32 or more.
        head_epochs: epochs in which only the head learns, before what the strategy says does.
        head_learning_rate: the learning rate of those.
        strategy: what learns in the `epochs` of fine-tuning: "all"; "frozen", the head alone;
            "gradual", one stage more in each epoch, from the head down, until all do;
            "discriminative", all, and the farther from the head the slower
            (https://arxiv.org/abs/1801.06146). Stages are the model's own (`surgery.stages`).
        stage_factor: by which the learning rate falls with each stage away from the head; 0 for
            the strategy's own, which is 2.6 for "discriminative" and else 1.
        keep_classes: fine-tuning adds the data's classes to the model's own, in place of them.
        quantize: "int8": fine-tuning learns with numbers that are rounded as in an int8 file, which
            then answers as the model does (`zoo.quantization.rounding`); "" for not.
        seed: of weights, order, augmentation and dropout.
        reference: a published figure for this recipe.
    """

    model: str
    data: str
    epochs: int
    arguments: dict = {}
    data_options: dict = {}
    examples: int = 0
    batch_size: int = 128
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    schedule: str = "constant"
    warmup: float = 0.0
    weight_decay: float = 0.0
    clip_norm: float = 0.0
    ema: float = 0.0
    loss: str = ""
    label_smoothing: float = 0.0
    tokenizer: dict = {}
    max_length: int = 128
    class_weights: bool = False
    sampling: str = ""
    augment: dict[str, float] = {}
    precision: str = "float32"
    patience: int = 0
    keep: str = "best"
    fine_tuning: bool = False
    train_normalization: bool = False
    head_epochs: int = 0
    head_learning_rate: float = 1e-3
    strategy: str = "all"
    stage_factor: float = 0.0
    keep_classes: bool = False
    quantize: str = ""
    seed: int = 0
    reference: Reference | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        for field, choices in (
            ("optimizer", OPTIMIZERS),
            ("schedule", SCHEDULES),
            ("precision", PRECISIONS),
            ("keep", ("best", "last")),
            ("sampling", SAMPLINGS),
            ("strategy", STRATEGIES),
            ("quantize", QUANTIZATIONS),
        ):
            if getattr(self, field) not in choices:
                raise unknown(getattr(self, field), choices, field)
        augmentation.check(self.augment)
        try:
            keras.losses.get(self.loss or None)
        except ValueError:
            raise InputError(f"loss: Keras has no {self.loss!r}.") from None
        for field in ("epochs", "batch_size", "learning_rate", "head_learning_rate", "max_length"):
            if not getattr(self, field) > 0:
                raise InputError(f"{field} must be above 0, not {getattr(self, field)}.")
        for field in ("ema", "label_smoothing", "warmup"):
            if not 0 <= getattr(self, field) < 1:
                raise InputError(f"{field} must be in [0, 1), not {getattr(self, field)}.")
        for field in ("patience", "head_epochs", "clip_norm", "weight_decay", "examples", "seed"):
            if getattr(self, field) < 0:
                raise InputError(f"{field} must not be negative, but is {getattr(self, field)}.")

        if self.seed >= 2**32:
            raise InputError(f"seed must be below {2**32}, not {self.seed}.")
        if self.warmup and self.schedule not in WARMED:
            raise InputError(
                f"warmup is for the schedules {', '.join(WARMED)}, not for {self.schedule!r}."
            )
        if "sparse" in self.loss.lower():
            raise InputError(
                f"the loss {self.loss!r} takes class numbers, and a recipe gives each example's "
                "classes as zeros and a one: take the one without 'sparse'."
            )
        if self.class_weights and self.sampling:
            raise InputError(
                "class_weights and sampling both make up for unequal classes: take one of them."
            )
        for asked, what in (
            (self.strategy != "all", f"the strategy {self.strategy!r} is"),
            (self.stage_factor, "stage_factor is"),
            (self.keep_classes, "keep_classes is"),
            (self.train_normalization, "train_normalization is"),
            (self.head_epochs, "head_epochs is"),
            (self.quantize, "quantize is"),
        ):
            if asked and not self.fine_tuning:
                raise InputError(f"{what} for fine-tuning, and this recipe trains from nothing.")
        if self.quantize and self.precision != "float32":
            raise InputError(f"quantize is for float32, and not for {self.precision}.")
        if self.tokenizer and self.fine_tuning:
            raise InputError(
                "a tokenizer is for training from nothing: fine-tuning keeps the model's own, and "
                "adds to it."
            )
        if self.stage_factor and not 1 <= self.stage_factor < math.inf:
            raise InputError(f"stage_factor must be at least 1, not {self.stage_factor}.")
        if self.stage_factor and self.strategy == "frozen":
            raise InputError("stage_factor has no stages to slow down with the strategy 'frozen'.")

    @property
    def reading(self) -> dict[str, Any]:
        """Arguments of `load_data`: in fine-tuning, pictures come as the source is built for."""
        if self.fine_tuning and "input_shape" in self.arguments:
            return {"shape": self.arguments["input_shape"], **self.data_options}
        return self.data_options

    @property
    def all_epochs(self) -> int:
        """Number of epochs, those with the head alone counted."""
        return self.head_epochs + self.epochs

    @property
    def rate_factor(self) -> float:
        """By which the learning rate falls with each stage away from the head."""
        return self.stage_factor or (2.6 if self.strategy == "discriminative" else 1.0)


def optimizer(
    recipe: Recipe,
    learning_rate: float,
    schedule: str,
    steps: int,
    shares: Sequence[float] = (),
) -> keras.Optimizer:
    """Return a fresh optimizer for a phase of so many steps.

    Args:
        recipe: names it and its settings.
        learning_rate: the highest.
        schedule: of the learning rate.
        steps: in the phase.
        shares: of the learning rate, one for each variable in turn; none for 1 throughout.
    """
    settings = {
        "learning_rate": learning_rates(schedule, learning_rate, steps, recipe.warmup),
        "global_clipnorm": recipe.clip_norm or None,
        # AdamW has no None.
        "weight_decay": recipe.weight_decay or (0.0 if recipe.optimizer == "adamw" else None),
    }
    if recipe.ema:
        settings |= {"use_ema": True, "ema_momentum": recipe.ema}
    if recipe.optimizer == "muon":  # it trains biases and the like by an Adam of its own
        settings["adam_weight_decay"] = recipe.weight_decay
    made = made_optimizer(recipe.optimizer, settings)
    if shares:
        made = with_shares(made, shares)
    if recipe.precision == "mixed_float16":  # small gradients would vanish
        return keras.optimizers.LossScaleOptimizer(made)
    return made


def made_optimizer(name: str, settings: dict[str, Any]) -> keras.Optimizer:
    """Return a fresh optimizer.

    Args:
        name: one of `OPTIMIZERS`.
        settings: arguments beside its usual ones.
    """
    settings = {**OPTIMIZERS[name], **settings}
    if name in OWN_OPTIMIZERS:
        return OWN_OPTIMIZERS[name](**settings)
    return keras.optimizers.get({"class_name": name, "config": settings})


def smoothed_loss(recipe: Recipe, task: str = "classification") -> "keras.losses.Loss | None":
    """Return a recipe's loss, its labels smoothed; `None` where they cannot be."""
    if task in TOKENS:
        return None if recipe.loss else TokenCrossentropy(recipe.label_smoothing)
    kind = SMOOTHED.get(recipe.loss or LOSSES["classification"])
    return kind(label_smoothing=recipe.label_smoothing) if kind else None


def check(recipe: Recipe, task: str, shape: Sequence[int]) -> None:
    """Refuse a recipe that asks for what its task or its data does not have.

    Args:
        recipe: the recipe.
        task: of its data and model.
        shape: of one input; of a text, ().

    Raises:
        InputError: says which field does not fit.
    """
    if task != "classification":
        for asked, what in (
            (recipe.label_smoothing and task not in TOKENS, "label smoothing is"),
            (recipe.class_weights, "class weights are"),
            (recipe.sampling, f"sampling {recipe.sampling!r} is"),
            (recipe.keep_classes, "keep_classes is"),
            ("categorical" in recipe.loss.lower(), f"the loss {recipe.loss!r} is"),
        ):
            if asked:
                raise InputError(f"{what} for classes, not for {task}.")
    if recipe.label_smoothing and smoothed_loss(recipe, task) is None:
        raise InputError(f"label smoothing does not go with the loss {recipe.loss!r}.")
    if not shape:
        for field in ("augment", "sampling", *(("loss",) if task in TOKENS else ())):
            if getattr(recipe, field):
                raise InputError(f"{field} is not for text, but is {getattr(recipe, field)!r}.")
        return
    if recipe.tokenizer:
        raise InputError("a tokenizer is for text, and this data holds none.")
    if len(shape) != 3 and (recipe.augment or task == "reconstruction"):
        what = "augmentation" if recipe.augment else f"{recipe.model!r}"
        raise InputError(f"{what} needs images, and these examples are rows of a table.")
    augmentation.check(recipe.augment, shape)
