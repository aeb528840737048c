"""An export within a budget: of all quantizations of a format, the one that answers best in it."""

import math
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.artifact import refuse_place
from export.exporting import Artifact, export
from export.formats import format_of
from export.parity import check
from zoo.cards import ParityReport
from zoo.errors import CheckFailed, InputError
from zoo.files import whole_folder

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Budget:
    """What an artifact may cost.

    Attributes:
        max_bytes: of all its files; `None` for any number.
        max_milliseconds: for one example on this machine; `None` for any number.
        max_drop: points that it may lose, as in `export.check`: 0 or more; `None` for its usual
            ones.
    """

    max_bytes: int | None = None
    max_milliseconds: float | None = None
    max_drop: float | None = None

    def __post_init__(self) -> None:
        """Refuse what is no budget."""
        for name in ("max_bytes", "max_milliseconds"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InputError(f"{name} must be above 0, not {value}.")
        if self.max_drop is not None and not self.max_drop >= 0:
            raise InputError(f"max_drop must be 0 or more, not {self.max_drop}.")


@dataclass(frozen=True)
class Candidate:
    """A quantization that was tried.

    Attributes:
        quantization: its name.
        report: how it compares with the model; `None` if it could not be written.
        refusal: why it does not fit; "" if it does.
    """

    quantization: str
    report: ParityReport | None
    refusal: str = ""


@dataclass(frozen=True)
class Choice:
    """What came of a choice.

    Attributes:
        artifact: the chosen one.
        candidates: all that were tried, in the format's order.
    """

    artifact: Artifact
    candidates: tuple[Candidate, ...]


def export_within(
    model: "str | os.PathLike[str] | keras.Model",
    out: str | os.PathLike[str],
    budget: Budget,
    format: str = "litert",
    *,
    quantizations: Sequence[str] = (),
    overwrite: bool = False,
    tried: Callable[[Candidate], None] | None = None,
    **options: Any,
) -> Choice:
    """Export a model in every quantization of a format, and keep the best within a budget.

    Of those that fit, the one is kept whose metric is best; of equal ones, and where nothing says
    which answers are right, the one whose answers are nearest to the model's; then the smallest.

    Args:
        model: as in `export`.
        out: folder of the artifact.
        budget: what it may cost.
        format: as in `export`.
        quantizations: to choose among; default all that the format has.
        overwrite: replace an artifact that stands at `out`.
        tried: called with each candidate.
        **options: further arguments of `export`; samples are needed, or a model that keeps some.

    Returns:
        The `Choice`.

    Raises:
        InputError: as in `export`, or a budget that is none.
        CheckFailed: nothing fits; the message says what came nearest. Nothing is left at `out`.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from export import Budget, export_within
        >>> pictures = np.random.default_rng(0).integers(0, 256, (64, 28, 28, 1), "uint8")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     choice = export_within("lenet5-mnist", f"{folder}/small", Budget(max_bytes=150_000),
        ...                            quantizations=["float16", "dynamic"],
        ...                            samples=(pictures, None))
        ...     choice.artifact.parity.bytes <= 150_000
        True
    """
    for name in quantizations:
        format_of(format, name)
    for option, where in (("max_drop", "a Budget has it"), ("verify", "a choice compares")):
        if option in options:
            raise InputError(f"{option} is no option of a choice: {where}.")
    names = quantizations or format_of(format).quantizations
    out = Path(out)
    refuse_place(out, overwrite)
    candidates: list[Candidate] = []
    made: dict[str, Artifact] = {}
    with tempfile.TemporaryDirectory(dir=_above(out), prefix=".choosing-") as scratch:
        for name in names:
            candidate, artifact = _tried(model, Path(scratch) / name, budget, format, name, options)
            candidates.append(candidate)
            if artifact:
                made[name] = artifact
            if tried:
                tried(candidate)
        fitting = {c.quantization: c for c in candidates if not c.refusal}
        if not fitting:
            raise _none_fits(format, candidates)
        best = max(fitting, key=lambda name: _rank(made[name]))
        chosen = made[best]
        with whole_folder(out, overwrite) as temporary:
            for path in chosen.path.iterdir():
                path.rename(temporary / path.name)
    return Choice(Artifact(out, chosen.manifest), tuple(candidates))


def _tried(
    model: Any, folder: Path, budget: Budget, format: str, name: str, options: dict[str, Any]
) -> tuple[Candidate, Artifact | None]:
    """Export in one quantization, and hold it against the budget."""
    try:
        made = export(
            model, folder, format, name,
            **{**options, "verify": True, "tolerance": math.inf, "max_drop": math.inf},
        )  # fmt: skip
    except (InputError, CheckFailed) as error:  # such as an output that is not finite
        return Candidate(name, None, str(error)), None
    return Candidate(name, made.parity, _refusal(_report(made), budget, options)), made


def _none_fits(format: str, candidates: Sequence[Candidate]) -> Exception:
    """Return the error of a choice without a choice."""
    reasons = {candidate.refusal for candidate in candidates}
    if len(reasons) == 1 and not any(candidate.report for candidate in candidates):
        return InputError(reasons.pop())  # it is the call that is wrong
    lines = "; ".join(f"{c.quantization}: {c.refusal.rstrip('.')}" for c in candidates)
    return CheckFailed(f"no quantization of {format} is within the budget. {lines}.")


def _refusal(report: ParityReport, budget: Budget, options: dict[str, Any]) -> str:
    """Return why an artifact does not fit; "" if it does."""
    reasons = []
    if budget.max_bytes is not None and report.bytes > budget.max_bytes:
        reasons.append(f"{report.bytes:,} bytes are more than {budget.max_bytes:,}")
    most = budget.max_milliseconds
    if most is not None and report.milliseconds > most:
        reasons.append(f"{report.milliseconds:.3f} ms are more than {most:g}")
    try:
        check(report, max_drop=budget.max_drop, **_tolerance(options))
    except CheckFailed as error:
        reasons.append(str(error).rstrip("."))
    return ", and ".join(reasons)


def _tolerance(options: dict[str, Any]) -> dict[str, float]:
    return {"tolerance": options["tolerance"]} if "tolerance" in options else {}


def _rank(artifact: Artifact) -> tuple[float, float, int]:
    """Return what is larger of the better of two artifacts."""
    report = _report(artifact)
    value = report.agreement if report.value is None else report.value
    value = -value if report.metric == "cross_entropy" and report.value is not None else value
    return (value, report.agreement, -report.bytes)


def _report(artifact: Artifact) -> ParityReport:
    if artifact.parity is None:
        raise InputError(f"{artifact.path} was not compared with its model.")
    return artifact.parity


def _above(out: Path) -> Path:
    """Return the folder that `out` will be in, made if need be: a rename stays on one disk."""
    out.parent.mkdir(parents=True, exist_ok=True)
    return out.parent
