"""Methods by name, and the recipes of the packaged generators."""

from typing import Any

from recipes.adversarial.recipe import AdversarialRecipe
from zoo.registry import unknown

_WASSERSTEIN = {"loss": "wasserstein", "critic_steps": 5}
# Name -> networks and losses as its paper has them; the data decides about shapes and classes.
METHODS: dict[str, dict[str, Any]] = {
    "gan": {"generator": "gan", "discriminator": "gan_discriminator"},
    "dcgan": {"generator": "dcgan", "discriminator": "dcgan_discriminator"},
    "cgan": {
        "generator": "cdcgan",
        "discriminator": "cdcgan_discriminator",
        "conditional": True,
    },
    "wgan": {
        "generator": "dcgan",
        "discriminator": "dcgan_discriminator",
        "clip_weights": 0.01,
        "learning_rate": 5e-5,
        "beta_1": 0.0,
        "beta_2": 0.9,
        **_WASSERSTEIN,
    },
    "wgan_gp": {
        "generator": "dcgan",
        "discriminator": "dcgan_critic",
        "gradient_penalty": 10.0,
        "learning_rate": 1e-4,
        "beta_1": 0.0,
        "beta_2": 0.9,
        **_WASSERSTEIN,
    },
    "sngan": {
        "generator": "residual_gan",
        "discriminator": "sngan_discriminator",
        "loss": "hinge",
        "critic_steps": 5,
        "beta_1": 0.0,
        "beta_2": 0.9,
    },
}

# DCGAN's critic soon tells all that is made from what is real; a penalty on its gradients (R1; of a
# whole batch, since it normalizes by batch) keeps it from that, and bears a higher rate. Small
# batches make more updates of an epoch.
_STEADY = {"r1": 1.0, "learning_rate": 5e-4, "batch_size": 64, "precision": "mixed_bfloat16"}
ADVERSARIAL_RECIPES = {
    "dcgan-mnist": AdversarialRecipe(
        **METHODS["dcgan"] | _STEADY, data="mnist", epochs=30, judge="lenet5-mnist"
    ),
    "dcgan-fashion": AdversarialRecipe(
        **METHODS["dcgan"] | _STEADY, data="fashion_mnist", epochs=60, judge="resnet20-fashion"
    ),
    "cgan-mnist": AdversarialRecipe(
        **METHODS["cgan"] | _STEADY, data="mnist", epochs=15, judge="lenet5-mnist"
    ),
    # With the penalty, one update of the critic is enough at this rate, and so many more are made
    # of the generator.
    "wgan_gp-fashion": AdversarialRecipe(
        **METHODS["wgan_gp"] | _STEADY | {"r1": 0.0, "critic_steps": 1, "learning_rate": 1e-3},
        data="fashion_mnist",
        epochs=120,
        judge="resnet20-fashion",
    ),
}


def adversarial_recipe_of(name: str) -> AdversarialRecipe:
    """Return the recipe of a packaged generator.

    Raises:
        InputError: there is none of that name; the nearest ones are given.
    """
    if name not in ADVERSARIAL_RECIPES:
        raise unknown(name, ADVERSARIAL_RECIPES, "recipe of a generator")
    return ADVERSARIAL_RECIPES[name]
