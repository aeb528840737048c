"""A finished search, and what others start from."""

from collections.abc import Callable
from typing import Any

import pytest

from recipes import Recipe, Search, Splits, load_data, tune
from recipes.tuning import Outcome

Make = Callable[..., Recipe]


@pytest.fixture(scope="session")
def iris() -> Splits:
    """Iris, in its splits."""
    return load_data("iris")


@pytest.fixture(scope="session")
def brief() -> Make:
    """A recipe of a small network on iris, with other fields where given."""

    def recipe(**fields: Any) -> Recipe:
        usual = {
            "model": "mlp",
            "arguments": {"hidden": [8]},
            "data": "iris",
            "epochs": 3,
            "batch_size": 16,
            "learning_rate": 0.03,
        }
        return Recipe(**(usual | fields))

    return recipe


@pytest.fixture
def narrow() -> dict[str, Any]:
    """A space of one number, and what is fixed: `tune(..., **narrow)`."""
    return {
        "space": {"learning_rate": (1e-3, 1e-1, "log")},
        "fixed": {
            "batch_size": 16,
            "schedule": "constant",
            "weight_decay": 0.0,
            "arguments": {"hidden": [8], "activation": "relu", "batch_norm": False},
        },
    }


@pytest.fixture(scope="session")
def told() -> list[tuple[int, Outcome]]:
    """What `found` told of its trials, in the order in which they ended."""
    return []


@pytest.fixture(scope="session")
def found(
    brief: Make,
    iris: Splits,
    told: list[tuple[int, Outcome]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Search:
    """A finished search, whose trials with the highest rates came to no number."""
    return tune(
        brief(),
        iris,
        out=tmp_path_factory.mktemp("searches") / "one",
        max_trials=9,
        executions=2,
        space={"learning_rate": (1e-4, 1e12, "log"), "hidden": "4:16*1:2"},
        progress=lambda number, outcome: told.append((number, outcome)),
    )
