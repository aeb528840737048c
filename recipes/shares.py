"""An optimizer under which variables learn at different shares of one learning rate."""

from collections.abc import Sequence
from typing import Any

import keras


def with_shares(optimizer: keras.Optimizer, shares: Sequence[float]) -> keras.Optimizer:
    """Return an optimizer of the same kind under which variables learn at shares of the rate.

    A share of 0.5 is as half the learning rate for this variable alone, its decoupled weight decay
    included. The norm that gradients are clipped to is of all of them, as they are.

    Args:
        optimizer: not yet built.
        shares: one for each variable that it will be built with.
    """
    kind = type(optimizer)
    mixed: Any = type(kind.__name__, (_Shares, kind), {})
    made = mixed.from_config(optimizer.get_config())
    made.shares = tuple(shares)
    return made


class _Shares:
    """Mixin of a Keras optimizer: scales the learning rate, in which every update is linear.

    To scale the gradients would do nothing under Adam and its kin, nor under Lion or Muon.
    """

    shares: tuple[float, ...] = ()
    _share = 1.0

    def update_step(self: Any, gradient: Any, variable: Any, learning_rate: Any) -> None:
        share = self.shares[self._get_variable_index(variable)]
        super().update_step(gradient, variable, learning_rate * share)  # type: ignore[misc]

    def _apply_weight_decay(self: Any, variables: Sequence[Any]) -> None:
        for variable in variables:
            self._share = self.shares[self._get_variable_index(variable)]
            super()._apply_weight_decay([variable])  # type: ignore[misc]
        self._share = 1.0

    def _get_current_learning_rate(self: Any) -> Any:
        return super()._get_current_learning_rate() * self._share  # type: ignore[misc]
