"""Classical companions of the zoo's models, by scikit-learn: penalized regression, and k-means.

    python benchmarks/companions.py [--parts NAME ...]

Like `pca.py`, which stands beside the autoencoder. Only training and validation examples are
looked at. Each part writes a CSV and a figure of the same name to `benchmarks/results/`:

- `penalties`: coefficients of a linear regression of diabetes over the weight of a ridge or lasso
  penalty, features and target standardized. The zoo's `linear`, brought to its minimum by
  `recipes.minimize` with `l2`, is laid over the path of ridge. Dotted: the weight that scikit-learn
  chooses by five folds. Columns: `model`, `alpha` (as scikit-learn counts it), `feature`,
  `coefficient`, `chosen`.
- `clusters`: k-means of MNIST's images, of which the classes are only counted afterwards. Columns:
  `clusters`; `purity`, the share of the images that are of their cluster's commonest class;
  `adjusted_rand_index` between clusters and classes; `error`, the mean squared distance of a pixel
  in 0…1 from its centre's; `iterations`; `images`.
- `segmentation`: k-means of the colours of a photograph. Columns: `colours`, `error` as above.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.cluster import KMeans
from sklearn.datasets import load_sample_image
from sklearn.linear_model import LassoCV, Ridge, RidgeCV, lasso_path
from sklearn.metrics import adjusted_rand_score
from sklearn.metrics.cluster import contingency_matrix

import zoo
from recipes import load_data, minimize
from zoo.files import whole_file

RESULTS = Path(__file__).parent / "results"
ALPHAS = {"ridge": np.geomspace(1e-1, 1e5, 61), "lasso": np.geomspace(1e-3, 1, 61)}
SHOWN = 10  # every so many weights of ridge, the zoo's model is trained
CLUSTERS = (10, 20, 50)
COLOURS = (2, 3, 4, 8)
_SEED, _STARTS = 0, 3
_PIXELS = 20_000  # of the photograph, that centres are learned from


def standardized() -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return features and target of diabetes, standardized, and the features' names."""
    data = load_data("diabetes")
    inputs, targets = data.train.inputs.astype("float64"), data.train.targets.astype("float64")
    inputs = (inputs - inputs.mean(axis=0)) / inputs.std(axis=0)
    return inputs, ((targets - targets.mean()) / targets.std())[:, 0], data.features


def by_zoo(inputs: np.ndarray, targets: np.ndarray, alpha: float) -> np.ndarray:
    """Return the coefficients of the zoo's linear regression with ridge's penalty.

    Ridge adds alpha times the squared coefficients to the sum of squared errors, and `minimize`
    half of l2 times them to their mean.
    """
    model = zoo.build("linear", input_shape=inputs.shape[1:])
    minimize(
        model,
        "mean_squared_error",
        (inputs, targets[:, None]),
        method="newton",
        l2=2 * alpha / len(inputs),
        precision="float64",
        gradient_tolerance=1e-9,
    )
    return np.asarray(model.layers[-1].kernel)[:, 0]


def penalties() -> pd.DataFrame:
    """Return the coefficients over the weights of the penalties."""
    inputs, targets, features = standardized()
    ridge = [Ridge(alpha).fit(inputs, targets).coef_ for alpha in ALPHAS["ridge"]]
    _, lasso, _ = lasso_path(inputs, targets, alphas=ALPHAS["lasso"])
    shown = ALPHAS["ridge"][::SHOWN]
    chosen = {
        "ridge": RidgeCV(ALPHAS["ridge"], cv=5).fit(inputs, targets).alpha_,
        "lasso": LassoCV(alphas=ALPHAS["lasso"], cv=5).fit(inputs, targets).alpha_,
    }
    paths = {
        "ridge": (ALPHAS["ridge"], np.array(ridge)),
        # The path of lasso begins with the largest weight.
        "lasso": (np.sort(ALPHAS["lasso"]), lasso.T[::-1]),
        "zoo": (shown, np.array([by_zoo(inputs, targets, alpha) for alpha in shown])),
    }
    return pd.DataFrame(
        {
            "model": model,
            "alpha": alpha,
            "feature": feature,
            "coefficient": coefficient,
            "chosen": bool(np.isclose(alpha, chosen.get(model, np.nan))),
        }
        for model, (alphas, values) in paths.items()
        for alpha, row in zip(alphas, values, strict=True)
        for feature, coefficient in zip(features, row, strict=True)
    )


def draw_penalties(table: pd.DataFrame) -> Figure:
    """Draw a panel for each penalty."""
    figure = Figure(figsize=(12, 4.5), layout="constrained")
    panels: list[Axes] = list(figure.subplots(1, 2, sharey=True))
    for axes, model in zip(panels, ("ridge", "lasso"), strict=True):
        own = table[table["model"] == model]
        for number, (feature, path) in enumerate(own.groupby("feature", sort=False)):
            axes.plot(path["alpha"], path["coefficient"], color=f"C{number}", label=feature)
            if model == "ridge":
                ours = table[(table["model"] == "zoo") & (table["feature"] == feature)]
                axes.plot(ours["alpha"], ours["coefficient"], "o", color=f"C{number}", ms=4)
        axes.axvline(own["alpha"][own["chosen"]].iloc[0], color="black", linestyle=":")
        axes.axhline(0, color="black", linewidth=0.5)
        what = (
            "lines: scikit-learn, points: the zoo's linear" if model == "ridge" else "scikit-learn"
        )
        axes.set(xscale="log", xlabel="alpha", title=f"{model} ({what})")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("coefficient")
    panels[1].legend(fontsize=8, ncols=2)
    return figure


def purity(classes: np.ndarray, clusters: np.ndarray) -> float:
    """Return the share of examples that are of the commonest class of their cluster."""
    return float(contingency_matrix(classes, clusters).max(axis=0).sum() / len(classes))


def clusters() -> tuple[pd.DataFrame, Figure]:
    """Return what k-means finds among MNIST's images, and a figure of its centres."""
    data = load_data("mnist")
    pool = data.train.joined(data.validation)
    flat = (pool.inputs.reshape(len(pool), -1) / 255).astype("float32")
    rows, groups = [], []
    for k in CLUSTERS:
        found = KMeans(k, n_init=_STARTS, random_state=_SEED).fit(flat)
        counts = contingency_matrix(pool.targets, found.labels_)
        commonest = counts.argmax(axis=0)
        order = np.lexsort((-counts.max(axis=0), commonest))
        groups.append((found.cluster_centers_[order], commonest[order]))
        rows.append(
            {
                "clusters": k,
                "purity": round(purity(pool.targets, found.labels_), 4),
                "adjusted_rand_index": round(adjusted_rand_score(pool.targets, found.labels_), 4),
                "error": round(float(found.inertia_) / flat.size, 6),
                "iterations": found.n_iter_,
                "images": len(pool),
            }
        )
    return pd.DataFrame(rows), _draw_centres(rows, groups)


def _draw_centres(
    rows: list[dict[str, object]], groups: list[tuple[np.ndarray, np.ndarray]]
) -> Figure:
    """Draw the centres, ten in a line, under the commonest class of each cluster."""
    lines = [len(labels) // 10 for _, labels in groups]
    figure = Figure(figsize=(8, 0.95 * sum(lines) + 0.5 * len(lines)), layout="constrained")
    parts = figure.subfigures(len(groups), 1, squeeze=False, height_ratios=lines)[:, 0]
    for part, row, (centres, labels), height in zip(parts, rows, groups, lines, strict=True):
        part.suptitle(
            f"{row['clusters']} clusters: purity {row['purity']:.2f}, adjusted Rand index "
            f"{row['adjusted_rand_index']:.2f}",
            fontsize=10,
        )
        for axes, centre, label in zip(
            part.subplots(height, 10).flat, centres, labels, strict=True
        ):
            axes.imshow(centre.reshape(28, 28), cmap="gray_r")
            axes.set_title(f"{label}", fontsize=8, pad=2)
            axes.axis("off")
    return figure


def segmented(picture: np.ndarray, colours: int) -> np.ndarray:
    """Return a picture in so many colours, the centres of k-means, in 0…1.

    Args:
        picture: `(height, width, 3)` in 0…1.
        colours: how many.
    """
    pixels = picture.reshape(-1, 3)
    some = np.random.default_rng(_SEED).choice(
        len(pixels), min(_PIXELS, len(pixels)), replace=False
    )
    found = KMeans(colours, n_init=_STARTS, random_state=_SEED).fit(pixels[some])
    return found.cluster_centers_[found.predict(pixels)].reshape(picture.shape)


def segmentation() -> tuple[pd.DataFrame, Figure]:
    """Return how far a photograph in few colours is from the original, and a figure of it."""
    picture = load_sample_image("china.jpg") / 255
    made = {colours: segmented(picture, colours) for colours in COLOURS}
    table = pd.DataFrame(
        {"colours": colours, "error": round(float(np.square(few - picture).mean()), 6)}
        for colours, few in made.items()
    )
    shown = {"original": picture} | {f"{colours} colours": few for colours, few in made.items()}
    figure = Figure(figsize=(10, 1.75), layout="constrained")
    for axes, (title, image) in zip(figure.subplots(1, len(shown)), shown.items(), strict=True):
        axes.imshow(image)
        axes.set_title(title, fontsize=9)
        axes.axis("off")
    return table, figure


def _penalties() -> tuple[pd.DataFrame, Figure]:
    table = penalties()
    return table, draw_penalties(table)


PARTS: dict[str, Callable[[], tuple[pd.DataFrame, Figure]]] = {
    "penalties": _penalties,
    "clusters": clusters,
    "segmentation": segmentation,
}


def main() -> None:
    """Write the tables and figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    for name in parser.parse_args().parts:
        table, figure = PARTS[name]()
        with whole_file(RESULTS / f"{name}.csv") as temporary:
            table.to_csv(temporary, index=False)
        with whole_file(RESULTS / f"{name}.png") as temporary:
            figure.savefig(temporary, dpi=110)
        print(name, "done", flush=True)


if __name__ == "__main__":
    main()
