"""One sheet about one picture: everything of `recipes.interpretation` side by side."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from matplotlib.figure import Figure

from recipes import interpretation
from recipes.evaluation import answers
from zoo.files import whole_file
from zoo.stages import is_stage

_COLUMNS = 4
_MOST = 36  # maps or filters in one panel


@dataclass(frozen=True, eq=False)
class Explanation:
    """What a model answers to a picture, and why, as far as pictures can tell.

    Attributes:
        image: uint8 `(height, width, channels)`.
        probabilities: float32 `(classes,)`, the model's answer.
        target: number of the class that is explained.
        saliency: float32 `(height, width)`.
        occlusion: float32 `(height, width)`, in units of probability.
        ideal: uint8 `(height, width, channels)`, a picture that the model answers with `target`.
        ideal_probability: what the model gives `target` there.
        layer: the layer whose maps `grad_cam` weighs; "" for a model without convolutions, which
            has no Grad-CAM, no filters and no maps.
        grad_cam: float32 `(height, width)`, or `None`.
        filters: float32 `(filters, height, width, channels)`, or `None`.
        maps: name of a stage -> float32 `(height, width, channels)`.
    """

    image: np.ndarray
    probabilities: np.ndarray
    target: int
    saliency: np.ndarray
    occlusion: np.ndarray
    ideal: np.ndarray
    ideal_probability: float
    layer: str
    grad_cam: np.ndarray | None
    filters: np.ndarray | None
    maps: dict[str, np.ndarray]

    def draw(self, path: str | os.PathLike[str], labels: Sequence[str] = ()) -> None:
        """Draw the sheet as a PNG.

        Args:
            path: the file.
            labels: names of the classes; default their numbers.
        """
        panels = self._panels(labels or [str(n) for n in range(len(self.probabilities))])
        rows = math.ceil(len(panels) / _COLUMNS)
        figure = Figure(figsize=(3.2 * _COLUMNS, 3.5 * rows), layout="constrained")
        grid = figure.subplots(rows, _COLUMNS, squeeze=False)
        for axes in grid.flat:
            axes.set_axis_off()
        for axes, (title, layers) in zip(grid.flat, panels, strict=False):
            axes.set_title(title, fontsize=9)
            for pixels, settings in layers:
                shown = axes.imshow(pixels, interpolation="nearest", **settings)
            if title.startswith("occlusion"):
                figure.colorbar(shown, ax=axes, shrink=0.7)
        with whole_file(Path(path)) as temporary:
            figure.savefig(temporary, dpi=110)

    def _panels(self, labels: Sequence[str]) -> list[tuple[str, list[tuple[np.ndarray, dict]]]]:
        """Return title -> pictures that lie on top of each other, with their settings."""
        order = self.probabilities.argsort()[::-1][:3]
        top = "\n".join(f"{labels[n]} {100 * self.probabilities[n]:.1f} %" for n in order)
        name = labels[self.target]
        grey: dict[str, Any] = {"cmap": "gray", "vmin": 0, "vmax": 255}
        picture, ideal = ((_shown(p), grey) for p in (self.image, self.ideal))
        reach = max(0.01, float(np.abs(self.occlusion).max()))  # less is not worth a colour
        lost: dict[str, Any] = {"cmap": "coolwarm", "vmin": -reach, "vmax": reach}
        panels: list[tuple[str, list[tuple[np.ndarray, dict]]]] = [
            (top, [picture]),
            (f"saliency for {name}", [(self.saliency, {"cmap": "magma", "vmin": 0, "vmax": 1})]),
            (f"occlusion: lost probability of {name}", [(self.occlusion, lost)]),
            (f"made for {name}: {100 * self.ideal_probability:.1f} %", [ideal]),
        ]
        if self.grad_cam is not None:
            over = (self.grad_cam, {"cmap": "jet", "alpha": 0.45, "vmin": 0, "vmax": 1})
            panels.insert(2, (f"Grad-CAM for {name} ({self.layer})", [picture, over]))
        if self.filters is not None:
            tiles = self.filters if self.filters.shape[-1] == 3 else self.filters.mean(-1)
            panels.append(
                (_counted("filters of the first layer", tiles), [(_mosaic(tiles), _GREY_LEVELS)])
            )
        for stage, maps in self.maps.items():
            tiles = np.moveaxis(maps, -1, 0)
            strongest = tiles[np.argsort(-tiles.mean(axis=(1, 2)), kind="stable")]
            scaled = [(t - t.min()) / (np.ptp(t) or 1) for t in strongest[:_MOST]]
            panels.append(
                (_counted(f"maps of {stage}", tiles), [(_mosaic(np.array(scaled)), _GREY_LEVELS)])
            )
        return panels


_GREY_LEVELS = {"cmap": "gray", "vmin": 0, "vmax": 1}


def explain(
    model: keras.Model, image: np.ndarray, target: int | None = None, seed: int = 0
) -> Explanation:
    """Look at a model and a picture in every way of `recipes.interpretation`.

    Args:
        model: functional `keras.Model` from one picture to probabilities `(batch, classes)`.
        image: uint8 `(height, width, channels)`, as the model takes it.
        target: number of the class; default `None`: the one that the model answers with.
        seed: of the picture that is made for the class.

    Returns:
        The `Explanation`; its `draw(path)` writes the sheet.

    Raises:
        InputError: a model without pictures or classes, a wrong picture, a wrong target.

    Example:
        >>> import numpy as np
        >>> import zoo
        >>> from recipes.explanation import explain
        >>> digit = np.zeros((28, 28, 1), "uint8")
        >>> explain(zoo.load("lenet5-mnist"), digit, target=7).layer
        'stage2'
    """
    salient = interpretation.saliency(model, image, target)  # refuses what cannot be explained
    probabilities = answers(model, image[None])[0]
    target = int(probabilities.argmax()) if target is None else target
    ideal = interpretation.activation_maximization(model, target, seed=seed)
    spatial = interpretation.spatial_layers(model)
    stages = list(filter(is_stage, spatial))
    return Explanation(
        image=image,
        probabilities=probabilities,
        target=target,
        saliency=salient,
        occlusion=interpretation.occlusion(model, image, target),
        ideal=ideal,
        ideal_probability=float(answers(model, ideal[None])[0, target]),
        layer=spatial[-1] if spatial else "",
        grad_cam=interpretation.grad_cam(model, image, target) if spatial else None,
        filters=interpretation.first_layer_filters(model) if spatial else None,
        maps={name: interpretation.activation_maps(model, image, name) for name in stages},
    )


def _shown(picture: np.ndarray) -> np.ndarray:
    """Return a picture as matplotlib takes it: grey without its channel."""
    return picture[..., 0] if picture.shape[-1] == 1 else picture


def _counted(title: str, tiles: np.ndarray) -> str:
    shown = f"{_MOST} of " if len(tiles) > _MOST else ""
    return f"{title} ({shown}{len(tiles)})"


def _mosaic(tiles: np.ndarray) -> np.ndarray:
    """Lay tiles in 0…1, `(tiles, height, width, …)`, out in rows with white lines between them."""
    tiles = tiles[:_MOST]
    across = math.ceil(math.sqrt(len(tiles)))
    down = math.ceil(len(tiles) / across)
    height, width, *colours = tiles.shape[1:]
    sheet = np.ones((down * (height + 1) - 1, across * (width + 1) - 1, *colours), "float32")
    for number, tile in enumerate(tiles):
        y, x = number // across * (height + 1), number % across * (width + 1)
        sheet[y : y + height, x : x + width] = tile
    return sheet
