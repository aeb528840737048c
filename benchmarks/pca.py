"""The reference of `autoencoder-mnist`: principal components, as many as the code has units.

    python benchmarks/pca.py

Writes `benchmarks/results/pca.csv`: mean squared error of the reconstructed pixels, in 0…1.
"""

from pathlib import Path

import pandas as pd
from sklearn.decomposition import PCA

from recipes import load_data
from recipes.evaluation import figures

CODES = (10, 30)


def main() -> None:
    """Fit on the training split, measure on the test split."""
    data = load_data("mnist")
    flat = {
        name: data[name].inputs.reshape(len(data[name]), -1) / 255 for name in ("train", "test")
    }
    rows = []
    for code in CODES:
        pca = PCA(code, svd_solver="covariance_eigh").fit(flat["train"])
        again = pca.inverse_transform(pca.transform(flat["test"]))
        outputs = again.reshape(data.test.inputs.shape)
        rows.append(
            {"components": code, "examples": len(data.test)}
            | figures(outputs, data.test, "reconstruction")
        )
    pd.DataFrame(rows).to_csv(Path(__file__).parent / "results" / "pca.csv", index=False)


if __name__ == "__main__":
    main()
