"""Eight Gaussians on a ring, learned by two losses: one loses most of them, one covers all.

    python docs/ring.py

trains the same two small networks by the same optimizers, once by the minimax loss and once by
Wasserstein's with a gradient penalty, and draws what they make as `docs/ring.png`. A point is a
picture of one pixel with two channels, so that all of `recipes.adversarial` works on it.
"""

from pathlib import Path
from typing import Any

import keras
import numpy as np
from matplotlib.figure import Figure

import zoo
from recipes.adversarial import AdversarialRecipe
from recipes.adversarial.pictures import codes_of
from recipes.adversarial.trainer import AdversarialTrainer
from zoo.files import whole_file

CENTRES = 0.7 * np.stack([f(2 * np.pi * np.arange(8) / 8) for f in (np.cos, np.sin)], axis=1)
DEVIATION = 0.02
LOSSES: dict[str, dict[str, Any]] = {
    "minimax": {"loss": "minimax"},
    "WGAN-GP": {"loss": "wasserstein", "gradient_penalty": 0.1},
}
SHOWN = (500, 1000, 2000, 3000)  # updates of the generator after which its points are drawn
_BATCH, _BLOCK = 256, 250
_NEAR, _COVERED = 5 * DEVIATION, 0.02  # within so much of a centre; by such a share of the points


def ring(count: int, seed: int = 0) -> np.ndarray:
    """Return points `(count, 2)` in -1…1, as many around each centre."""
    random = np.random.default_rng(seed)
    return CENTRES[random.integers(8, size=count)] + random.normal(scale=DEVIATION, size=(count, 2))


def covered(points: np.ndarray) -> int:
    """Return how many centres have a fair share of the points near them."""
    distances = np.linalg.norm(points[:, None] - CENTRES, axis=-1)
    near = distances.min(axis=1) < _NEAR
    found = np.bincount(distances.argmin(axis=1)[near], minlength=len(CENTRES))
    return int((found >= _COVERED * len(points)).sum())


def learned(loss: str, seed: int = 0, shown: tuple[int, ...] = SHOWN) -> list[np.ndarray]:
    """Train a generator of points, and return 2,000 of them after each number of updates."""
    keras.utils.set_random_seed(seed)
    recipe = AdversarialRecipe(
        generator="gan",
        discriminator="gan_discriminator",
        data="ring",
        epochs=1,
        batch_size=_BATCH,
        critic_steps=5,
        learning_rate=5e-4,
        beta_1=0.0,
        beta_2=0.9,
        ema=0.0,
        seed=seed,
        **LOSSES[loss],
    )
    pictures = np.round(255 * (ring(20_000) + 1) / 2).astype("uint8").reshape(-1, 1, 1, 2)
    generator = zoo.build("gan", output_shape=(1, 1, 2), latent=16, hidden=(128, 128))
    critic = zoo.build("gan_discriminator", input_shape=(1, 1, 2), hidden=(128, 128))
    trainer = AdversarialTrainer(generator, critic, recipe, pictures, np.zeros(len(pictures)))
    random = np.random.default_rng(seed)
    codes, made = codes_of(generator, 2000, seed), []
    for update in range(_BLOCK, shown[-1] + 1, _BLOCK):
        trainer.learn(random.integers(len(pictures), size=(_BLOCK, recipe.critic_steps, _BATCH)))
        if update in shown:
            made.append(2 * generator.predict(codes, verbose=0).reshape(-1, 2) - 1)
    return made


def draw(points: dict[str, list[np.ndarray]], path: Path) -> None:
    """Draw a row of panels for each loss."""
    figure = Figure(figsize=(2.6 * len(SHOWN), 2.9 * len(points)), layout="constrained")
    rows = figure.subplots(len(points), len(SHOWN))
    for row, (loss, course) in zip(rows, points.items(), strict=True):
        for axes, updates, made in zip(row, SHOWN, course, strict=True):
            axes.scatter(*CENTRES.T, s=120, facecolors="none", edgecolors="tab:gray")
            axes.scatter(*made.T, s=2, alpha=0.3)
            axes.set(xlim=(-1.05, 1.05), ylim=(-1.05, 1.05), xticks=[], yticks=[], aspect="equal")
            axes.set_title(f"{loss}, {updates:,}: {covered(made)} of 8", fontsize=9)
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=110)


def main() -> None:
    """Train by each loss, draw, and print how many centres the last points cover."""
    points = {loss: learned(loss) for loss in LOSSES}
    for loss, course in points.items():
        print(f"{loss}: {covered(course[-1])} of 8")
    draw(points, Path(__file__).with_suffix(".png"))


if __name__ == "__main__":
    main()
