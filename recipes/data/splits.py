"""Examples in memory, and how they are divided."""

import hashlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from recipes.data.encoder import Encoder
from zoo.errors import InputError
from zoo.registry import unknown
from zoo.tokenizer import Tokenizer

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Examples:
    """Inputs and targets of one split.

    Attributes:
        inputs: `(examples, …)`: uint8 images, float32 rows of a table, or texts `(examples,)`; of
            one long text, its characters.
        targets: `(examples,)` int64 class numbers, `(examples, outputs)` float32 values,
            `(examples,)` translations, or of one long text the same characters.
    """

    inputs: np.ndarray
    targets: np.ndarray

    def __post_init__(self) -> None:
        """Refuse inputs and targets that do not belong together."""
        if len(self.inputs) != len(self.targets):
            raise InputError(
                f"there are {len(self.inputs)} inputs and {len(self.targets)} targets: the data is "
                "damaged."
            )

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, indices: np.ndarray) -> "Examples":
        """Return the examples at `indices`; what was mapped from a file stays in a file."""
        if not isinstance(self.inputs, np.memmap):
            return Examples(self.inputs[indices], self.targets[indices])
        inputs = mapped((len(indices), *self.inputs.shape[1:]))
        for start in range(0, len(indices), 1024):
            part = indices[start : start + 1024]
            inputs[start : start + len(part)] = self.inputs[part]
        return Examples(inputs, self.targets[indices])

    def joined(self, others: "Examples") -> "Examples":
        """Return these examples and then the others; in a file, if these are mapped from one."""
        size = (len(self) + len(others), *self.inputs.shape[1:])
        in_file = isinstance(self.inputs, np.memmap)
        dtype = np.result_type(self.inputs, others.inputs)  # the longer texts' of two
        inputs = mapped(size) if in_file else np.empty(size, dtype)
        inputs[: len(self)], inputs[len(self) :] = self.inputs, others.inputs
        return Examples(inputs, np.concatenate([self.targets, others.targets]))


@dataclass(frozen=True, eq=False)
class Splits:
    """A data set, divided, and what is known of it.

    Attributes:
        train: examples to learn from.
        validation: examples that choose among models.
        test: examples that are looked at once, at the end.
        task: "classification", "regression", "translation" or "language_modeling".
        labels: names of the classes in the order of their numbers; empty for other tasks.
        source: what `load_data` was given.
        preprocessing: in words, what happened to the user's files before the model sees them.
        encoder: how a table's columns became features; `None` for other data.
        tokenizers: of the model that reads the texts, by the names of its inputs: the texts stay
            texts here, and become numbers on their way to the model.
        version: version of a named set.
        license: licence of a named set, as far as it is stated.
        caveat: what a reader of a figure on this data should know.
        skipped: a line for each file or row that was left out, with the reason.
    """

    train: Examples
    validation: Examples
    test: Examples
    task: str
    labels: tuple[str, ...]
    source: str
    preprocessing: str
    encoder: Encoder | None = None
    tokenizers: Mapping[str, Tokenizer] = field(default_factory=dict)
    version: str = ""
    license: str = ""
    caveat: str = ""
    skipped: tuple[str, ...] = ()

    @classmethod
    def of(cls, examples: Examples, parts: Sequence[np.ndarray], **facts: Any) -> "Splits":
        """Return the splits with `parts` of the examples: training, validation, test."""
        train, validation, test = map(examples.take, parts)
        return cls(train, validation, test, **facts)

    def limited(self, examples: int) -> "Splits":
        """Return the data with exactly so many training examples, stratified; 0 for all."""
        if not examples or examples >= len(self.train):
            return self
        if self.task == "language_modeling":  # a text's beginning is a text
            return replace(self, train=self.train.take(np.arange(examples)))
        strata = strata_of(self.train.targets, self.task)
        values, sizes = np.unique(strata, return_counts=True)
        shares = sizes * (examples / len(strata))
        quotas = np.floor(shares).astype(int)
        for index in np.argsort(quotas - shares, kind="stable")[: examples - quotas.sum()]:
            quotas[index] += 1
        by_hash = np.argsort(content_hashes(self.train.inputs), kind="stable")
        chosen = [by_hash[strata[by_hash] == v][:n] for v, n in zip(values, quotas, strict=True)]
        return replace(self, train=self.train.take(np.sort(np.concatenate(chosen))))

    def validated_by(self, examples: int) -> "Splits":
        """Return the data with about so many validation examples; the rest joins training.

        They are stratified, and what has the same content stays together. 0 for all.
        """
        whole = self.validation
        if not examples or examples >= len(whole):
            return self
        if self.task == "language_modeling":
            raise InputError("a text's validation is its own part: leave validation at 0.")
        strata = strata_of(whole.targets, self.task)
        rest, kept = divide(content_hashes(whole.inputs), strata, [examples / len(whole)])
        if not len(kept):
            raise InputError(
                f"{self.source!r} has too few validation examples to give any of them away: "
                "leave validation at 0."
            )
        joined = self.train.joined(whole.take(rest))
        return replace(self, train=joined, validation=whole.take(kept))

    def relabelled(self, labels: Sequence[str]) -> "Splits":
        """Return the data with its classes numbered as in `labels`, which may name more.

        Raises:
            InputError: `labels` lacks a class of the data.
        """
        if tuple(labels) == self.labels:
            return self
        for label in self.labels:
            if label not in labels:
                raise InputError(f"{self.source!r} has the class {label!r}, which is not known.")
        numbers = np.array([list(labels).index(label) for label in self.labels])
        train, validation, test = (
            Examples(self[name].inputs, numbers[self[name].targets]) for name in SPLITS
        )
        return replace(self, train=train, validation=validation, test=test, labels=tuple(labels))

    @property
    def features(self) -> list[str]:
        """Names of a table's features, in order; empty for images."""
        return self.encoder.features if self.encoder else []

    @property
    def holds_text(self) -> bool:
        """Whether the inputs are texts."""
        return self.train.inputs.dtype.kind == "U"

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        return self.train.inputs.shape[1:]

    @property
    def sizes(self) -> dict[str, int]:
        """Number of examples in each split."""
        return {name: len(self[name]) for name in SPLITS}

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the inputs and targets of all splits, as hex."""
        digest = hashlib.sha256()
        for name in SPLITS:
            for array in (self[name].inputs, self[name].targets):
                digest.update(f"{name} {array.dtype} {array.shape}".encode())
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def __getitem__(self, split: str) -> Examples:
        """Return "train", "validation" or "test", or "all" of them in this order."""
        if split == "all":
            return self.train.joined(self.validation).joined(self.test)
        if split not in SPLITS:
            raise unknown(split, [*SPLITS, "all"], "split")
        return getattr(self, split)


def mapped(shape: tuple[int, ...]) -> np.ndarray:
    """Return a uint8 array in a temporary file, for what is too large for memory."""
    with tempfile.TemporaryFile() as file:  # the mapping keeps what it needs of it
        if hasattr(os, "posix_fallocate"):  # a full disk is an error now, and a crash later
            os.posix_fallocate(file.fileno(), 0, max(1, int(np.prod(shape, dtype="int64"))))
        return np.memmap(file, "uint8", mode="w+", shape=shape)


def content_hashes(*arrays: np.ndarray) -> np.ndarray:
    """Return a 16-byte hash of each row over all `arrays`, shape `(rows,)`."""
    rows = [np.ascontiguousarray(a).reshape(len(a), -1).view("uint8") for a in arrays]
    return np.array(
        [
            hashlib.blake2b(b"".join(r.tobytes() for r in row), digest_size=16).hexdigest()
            for row in zip(*rows, strict=True)
        ],
        dtype="S32",
    )


def divide(hashes: np.ndarray, strata: np.ndarray, fractions: Sequence[float]) -> list[np.ndarray]:
    """Divide examples by the hash of their content: stratified, deterministic, disjoint.

    The order and the names of the examples do not matter. Examples with the same content always
    come to the same part, also when they stand in different strata.

    Args:
        hashes: `(examples,)` hash of each one's content.
        strata: `(examples,)` int, such as class numbers; each part gets its share of every stratum.
        fractions: share of each part but the first, which takes the rest.

    Returns:
        For each part, the first included, the sorted indices of its examples. Every part gets at
        least one content of a stratum as long as there are enough.
    """
    contents, group = np.unique(hashes, return_inverse=True)
    stratum = np.full(len(contents), np.iinfo(np.int64).max)
    np.minimum.at(stratum, group, strata)  # does not depend on the order of the examples
    part = np.zeros(len(contents), int)
    for value in np.unique(stratum):
        # np.unique sorted the contents by their hashes: an order that knows nothing of the data.
        members = np.flatnonzero(stratum == value)
        start = 0
        for number, fraction in enumerate(fractions, start=1):
            size = max(1, round(len(members) * fraction)) if fraction else 0
            size = min(size, max(0, len(members) - start - 1))
            part[members[start : start + size]] = number
            start += size
    return [np.flatnonzero(part[group] == number) for number in range(len(fractions) + 1)]


def strata_of(targets: np.ndarray, task: str) -> np.ndarray:
    """Return class numbers, for regression the number of each target's quantile, else zeros."""
    if task == "classification":
        return targets
    if task != "regression":
        return np.zeros(len(targets), "int64")
    values = targets.reshape(len(targets), -1)[:, 0]
    bins = max(1, min(10, len(values) // 10))
    return np.digitize(values, np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1]))
