"""What two adversaries want: the losses of generative adversarial networks, as one table."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keras import ops


@dataclass(frozen=True)
class Loss:
    """A pair of losses, each of logits `(batch,)`, the higher the likelier real.

    Attributes:
        critic: of the logits of real pictures, those of made ones, and the share by which the
            targets of the real ones fall short of 1.
        generator: of the logits of made pictures.
        bounded: whether it takes logits for probabilities, whose targets can be smoothed.
        paper: where it stands.
    """

    critic: Callable[[Any, Any, float], Any]
    generator: Callable[[Any], Any]
    bounded: bool
    paper: str


def _told_apart(real: Any, made: Any, smoothing: float) -> Any:
    """Return the cross-entropy (nats) of telling real from made; one side may be smoothed."""
    of_real = (1 - smoothing) * ops.softplus(-real) + smoothing * ops.softplus(real)
    return ops.mean(of_real) + ops.mean(ops.softplus(made))


def _squares(real: Any, made: Any, smoothing: float) -> Any:
    return (ops.mean(ops.square(real - (1 - smoothing))) + ops.mean(ops.square(made))) / 2


def _hinge(real: Any, made: Any, smoothing: float) -> Any:
    del smoothing  # there is no target
    return ops.mean(ops.relu(1 - real)) + ops.mean(ops.relu(1 + made))


def _distance(real: Any, made: Any, smoothing: float) -> Any:
    del smoothing  # there is no target
    return ops.mean(made) - ops.mean(real)


def _raised(made: Any) -> Any:
    return -ops.mean(made)


LOSSES = {
    "minimax": Loss(
        _told_apart,
        lambda made: -ops.mean(ops.softplus(made)),
        bounded=True,
        paper="Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661, equation 1",
    ),
    "non_saturating": Loss(
        _told_apart,
        lambda made: ops.mean(ops.softplus(-made)),
        bounded=True,
        paper="Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661, section 3",
    ),
    "least_squares": Loss(
        _squares,
        lambda made: ops.mean(ops.square(made - 1)) / 2,
        bounded=True,
        paper="Mao et al. 2017, https://arxiv.org/abs/1611.04076",
    ),
    "hinge": Loss(
        _hinge,
        _raised,
        bounded=False,
        paper="Lim & Ye 2017, https://arxiv.org/abs/1705.02894",
    ),
    "wasserstein": Loss(
        _distance,
        _raised,
        bounded=False,
        paper="Arjovsky et al. 2017, https://arxiv.org/abs/1701.07875",
    ),
}
