"""Recipes of generative adversarial networks, as data."""

from typing import Any

from recipes.adversarial.augmentation import AUGMENTATIONS
from recipes.adversarial.losses import LOSSES
from recipes.recipe import PRECISIONS
from zoo.cards import Frozen, Reference
from zoo.errors import InputError
from zoo.registry import architecture, unknown

# Named data -> the packaged classifier in whose features what was made is compared.
JUDGES = {
    "mnist": "lenet5-mnist",
    "fashion_mnist": "resnet20-fashion",
    "cifar10": "resnet20-cifar10",
}
FEWEST = 2  # pictures that a distance can be told of
_OTHER_JUDGE = "resnet20-cifar10"


class AdversarialRecipe(Frozen, frozen=True):
    """How a generator and its critic learn from pictures, against each other.

    Attributes:
        generator: name of an architecture for generation.
        discriminator: name of an architecture for discrimination.
        data: what `load_data` takes, or a folder of pictures of whatever kind.
        epochs: passes of the critic over the pictures.
        generator_arguments: for its builder; the pictures' shape and classes come from the data.
        discriminator_arguments: the same of the critic.
        loss: one of `recipes.adversarial.LOSSES`.
        conditional: whether both are told the classes.
        critic_steps: updates of the critic for one of the generator.
        batch_size: real pictures in an update, and made ones.
        learning_rate: of the generator.
        discriminator_learning_rate: of the critic; 0 for the generator's (two time scales:
            https://arxiv.org/abs/1706.08500).
        beta_1: Adam's, for the gradients' mean.
        beta_2: Adam's, for their squares.
        gradient_penalty: weight of the penalty on gradients whose norm is not 1, between real and
            made pictures (https://arxiv.org/abs/1704.00028); 10 there, 0 for none. The critic must
            judge each picture by itself, without batch normalization.
        r1: weight of half the squared norm of the gradient at real pictures
            (https://arxiv.org/abs/1801.04406); 0 for none. Of a critic with batch normalization it
            is that of the sum of a batch's logits, in which every picture has a share.
        clip_weights: bound of the critic's weights (https://arxiv.org/abs/1701.07875); 0 for none.
        ema: momentum of the moving average of the generator's weights, which is what is kept; 0
            for the weights themselves.
        label_smoothing: share by which the targets of real pictures fall short of 1.
        augment: what is done alike to the pictures that the critic sees, real and made, and what
            the generator learns through (https://arxiv.org/abs/2006.10738); of "translation",
            "cutout" and "color".
        precision: "float32", "mixed_bfloat16" or "mixed_float16".
        data_options: further arguments of `load_data`.
        shape: `[height, width, channels]` that pictures of a folder are brought to.
        judge: name of the classifier in whose features the pictures are compared; "" for the
            packaged one of the data.
        score_examples: number of pictures that are made for it.
        seed: of weights, order, codes and augmentation.
        reference: a published figure for this recipe.
    """

    generator: str
    discriminator: str
    data: str
    epochs: int
    generator_arguments: dict[str, Any] = {}
    discriminator_arguments: dict[str, Any] = {}
    loss: str = "non_saturating"
    conditional: bool = False
    critic_steps: int = 1
    batch_size: int = 128
    learning_rate: float = 2e-4
    discriminator_learning_rate: float = 0.0
    beta_1: float = 0.5
    beta_2: float = 0.999
    gradient_penalty: float = 0.0
    r1: float = 0.0
    clip_weights: float = 0.0
    ema: float = 0.999
    label_smoothing: float = 0.0
    augment: list[str] = []
    precision: str = "float32"
    data_options: dict[str, Any] = {}
    shape: list[int] = []
    judge: str = ""
    score_examples: int = 10_000
    seed: int = 0
    reference: Reference | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        for field, task in (("generator", "generation"), ("discriminator", "discrimination")):
            found = architecture(getattr(self, field)).task
            if found != task:
                raise InputError(
                    f"{getattr(self, field)!r} is for {found}, and no {field}: take one for {task}."
                )
        if self.loss not in LOSSES:
            raise unknown(self.loss, LOSSES, "loss")
        if self.precision not in PRECISIONS:
            raise unknown(self.precision, PRECISIONS, "precision")
        for name in self.augment:
            if name not in AUGMENTATIONS:
                raise unknown(name, AUGMENTATIONS, "augmentation")
        for field in ("epochs", "critic_steps", "batch_size", "learning_rate", "score_examples"):
            if not getattr(self, field) > 0:
                raise InputError(f"{field} must be above 0, not {getattr(self, field)}.")
        for field in (
            "discriminator_learning_rate", "gradient_penalty", "r1", "clip_weights", "seed",
        ):  # fmt: skip
            if getattr(self, field) < 0:
                raise InputError(f"{field} must not be negative, but is {getattr(self, field)}.")
        for field in ("beta_1", "beta_2", "ema", "label_smoothing"):
            if not 0 <= getattr(self, field) < 1:
                raise InputError(f"{field} must be in [0, 1), not {getattr(self, field)}.")
        if self.score_examples < FEWEST:
            raise InputError(f"score_examples must be {FEWEST} at least.")
        if self.label_smoothing and not LOSSES[self.loss].bounded:
            raise InputError(f"the loss {self.loss!r} has no targets that could be smoothed.")
        if self.seed >= 2**31:
            raise InputError(f"seed must be below {2**31}, not {self.seed}.")

    @property
    def critic_rate(self) -> float:
        """Learning rate of the critic."""
        return self.discriminator_learning_rate or self.learning_rate

    @property
    def judged_by(self) -> str:
        """Name of the classifier in whose features the pictures are compared."""
        return self.judge or JUDGES.get(self.data, _OTHER_JUDGE)
