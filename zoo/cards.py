"""Model cards: what a model is, how it was trained, how well it does, and how its exports compare.

A card is one JSON file, written by a program from a finished run. Every field carries a seal (a
hash), so that a card edited by hand or cut short is refused with the name of the field.
"""

import hashlib
import re
from pathlib import Path
from typing import Any

import msgspec

from zoo.errors import InputError
from zoo.files import whole_file

FILE = "card.json"
VERSION = 1


class Frozen(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of the records that are kept as JSON."""


class Input(Frozen, frozen=True):
    """What goes into a model: its name, shape (the batch left out), dtype, and the rest in words.

    `features` names the columns of a table, in order; it is empty for images.
    """

    name: str
    shape: list[int | None]
    dtype: str
    preprocessing: str
    features: list[str] = []


class Parameters(Frozen, frozen=True):
    """Numbers of parameters."""

    trainable: int
    non_trainable: int


class Weights(Frozen, frozen=True):
    """The file with the weights, and where it is to be had.

    Attributes:
        file: its name, beside the card or in the cache.
        bytes: its size; 0 where only an MD5 was published, and no size.
        sha256: its hash.
        md5: its hash, of a file whose publisher names no other. MD5 shows damage, and holds up
            badly against forgery: `zoo.weights` takes such a file from https alone, and every
            `form` is read as bare arrays, so that nothing in it is ever run.
        url: asked if the file is in neither place. "package:NAME/PATH" is a file of an installed
            Python package.
        form: "" for what Keras wrote from this zoo; otherwise see `zoo.foreign`.
        extra: the extra of this package that installs the file's package, or "".
    """

    file: str
    bytes: int
    sha256: str = ""
    md5: str = ""
    url: str | None = None
    form: str = ""
    extra: str = ""

    def __post_init__(self) -> None:
        """Refuse what would lead out of the folders of the card and the cache."""
        if Path(self.file).name != self.file or self.file in {"", ".", ".."}:
            raise ValueError(f"`file` must be a plain file name, not {self.file!r}")
        if bool(self.sha256) == bool(self.md5):
            raise ValueError("exactly one of `sha256` and `md5` must be given")
        for name, digest, length in (("sha256", self.sha256, 64), ("md5", self.md5, 32)):
            if digest and not re.fullmatch(f"[0-9a-f]{{{length}}}", digest):
                raise ValueError(f"`{name}` must be {length} hexadecimal digits, not {digest!r}")

    @property
    def algorithm(self) -> str:
        """Which hash the card names: "sha256" or "md5"."""
        return "sha256" if self.sha256 else "md5"

    @property
    def digest(self) -> str:
        """That hash, in hexadecimal digits."""
        return self.sha256 or self.md5

    @property
    def size(self) -> int | None:
        """The file's number of bytes, or `None` where nobody published it."""
        return self.bytes if self.sha256 or self.bytes else None


class TokenizerFile(Frozen, frozen=True):
    """The file of a tokenizer, beside the card, and its hash."""

    file: str
    sha256: str

    def __post_init__(self) -> None:
        """Refuse what would lead out of the card's folder."""
        if Path(self.file).name != self.file or self.file in {"", ".", ".."}:
            raise ValueError(f"`file` must be a plain file name, not {self.file!r}")


class Dataset(Frozen, frozen=True):
    """What the model learned from.

    `source` is what `recipes.load_data` takes; `examples` holds the size of each split, and
    `fingerprint` the hash of all of them.
    """

    source: str
    version: str
    license: str
    caveat: str
    examples: dict[str, int]
    fingerprint: str


class Metric(Frozen, frozen=True):
    """A figure with the split that it was measured on and its number of examples.

    `signature` says how it was computed: of translations, in sacrebleu's words; of what a generator
    makes, with what else it depends on.
    """

    name: str
    split: str
    value: float
    examples: int
    signature: str = ""


class Reference(Frozen, frozen=True):
    """A published figure to hold a metric against."""

    metric: str
    value: float
    source: str


class Training(Frozen, frozen=True):
    """How the training went: enough to run it again and to know what it cost.

    `devices` is the number of those that shared the batches or the weights.
    """

    command: str
    seed: int
    epochs: int
    best_epoch: int
    seconds: float
    finished: str
    commit: str
    hardware: str
    versions: dict[str, str]
    devices: int = 1


class ParityReport(Frozen, frozen=True):
    """An exported artifact held against the Keras model that it came from.

    Attributes:
        format: name of the format, such as "litert".
        quantization: "float32", "float16", "dynamic", "int8" or "int4".
        bytes: size of the artifact's files.
        examples: number of samples that both were run on.
        largest_difference: largest absolute difference of the outputs; where the largest output is
            above 1 (a regression), as a share of it.
        mean_difference: mean of the same.
        agreement: share of samples with the same decision (class, action), between 0 and 1; of
            texts that are written, share of those all of whose tokens are the same; for outputs
            that are no classes, the coefficient of determination of one against the other.
        metric: name of the task's metric: "accuracy", "r2", "bleu" (0 … 100, of greedy answers),
            "cross_entropy" (nats per token, less is better) or "action" (of an agent, whose actions
            have no targets).
        reference: that metric of the Keras model, or `None` without targets.
        value: that metric of the artifact, or `None` without targets.
        milliseconds: median time of one sample alone, in the artifact; of a model that writes, of
            a whole answer.
        reference_milliseconds: the same through `tf.function` of the Keras model, in the same run.
        rounds: whether the Keras model itself rounds its activations to int8: sums in another order
            may then come to the next integer, and differ by as much.
        part: "encoder" or "decoder", where half of an autoencoder was exported; "" for all of it.
    """

    format: str
    quantization: str
    bytes: int
    examples: int
    largest_difference: float
    mean_difference: float
    agreement: float
    metric: str
    reference: float | None
    value: float | None
    milliseconds: float
    reference_milliseconds: float
    rounds: bool = False
    part: str = ""


class Card(Frozen, frozen=True):
    """Everything known of one pretrained or fine-tuned model.

    Attributes:
        name: name of the model.
        architecture: name in the catalog, or "" for a model that came from elsewhere.
        arguments: what the builder was called with.
        task: "classification", "regression", "reconstruction", "translation",
            "language_modeling", "control" or "generation".
        input: what goes in.
        labels: names of the classes in the order of the outputs; empty if there are none.
        parameters: their numbers.
        weights: the file, its size and its hash.
        dataset: what it learned from.
        recipe: the recipe's fields.
        metrics: figures, each with its split.
        training: provenance; `None` for weights that others published.
        reference: a published figure, if there is one.
        exports: parity of the exported forms.
        tokenizers: of a model that reads text: the name of each of its inputs -> how texts become
            its numbers.
        quantization: "int8" where the model rounds its activations as LiteRT's int8 does; see
            `zoo.quantization`.
    """

    name: str
    architecture: str
    arguments: dict[str, Any]
    task: str
    input: Input
    labels: list[str]
    parameters: Parameters
    weights: Weights
    dataset: Dataset
    recipe: dict[str, Any]
    metrics: list[Metric]
    training: Training | None
    reference: Reference | None = None
    exports: list[ParityReport] = []
    tokenizers: dict[str, TokenizerFile] = {}
    quantization: str = ""

    def metric(self, name: str | None = None, split: str = "test") -> Metric | None:
        """Return the first metric of that split (and name), or `None`."""
        return next((m for m in self.metrics if m.split == split and name in (None, m.name)), None)


def card(name: str) -> Card:
    """Return the card of a pretrained model or of a run.

    Args:
        name: `str`, a pretrained model's name, or the path of a run.

    Raises:
        InputError: there is no such model, or its card is damaged.

    Example:
        >>> import zoo
        >>> zoo.card("lenet5-mnist").parameters.trainable
        61706
    """
    from zoo.weights import model_folder

    return read(model_folder(name) / FILE)


def read(path: Path) -> Card:
    """Read and check a card.

    Raises:
        InputError: the file is missing, cut short, of another version, or edited; the message
            names the field.
    """
    try:
        content = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except FileNotFoundError:
        raise InputError(f"there is no card at {path}.") from None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"the card {path} is damaged: {error}.") from None
    version, seals = content.pop("version", None), content.pop("seals", None)
    if version != VERSION:
        raise InputError(f"the card {path} has version {version!r}; this zoo reads {VERSION}.")
    if not isinstance(seals, dict):
        raise InputError(f"the card {path} is damaged: the field `seals` is missing.")
    try:
        result = msgspec.convert(content, Card)
    except msgspec.ValidationError as error:
        raise InputError(f"the card {path} is damaged: {error}.") from None
    expected = _seals(content)
    for name in sorted(expected.keys() | seals.keys()):
        if seals.get(name) != expected.get(name):
            raise InputError(
                f"the card {path} was changed after it was written: the field `{name}` does not "
                "match its seal. Cards are written by programs; restore the file, or run "
                "`zoo reproduce` to make a new one."
            )
    return result


def write(content: Card, path: Path) -> None:
    """Write a card, whole or not at all."""
    # As it will be read: an integer becomes a float where one is meant, and NaN is refused.
    fields = msgspec.to_builtins(msgspec.json.decode(msgspec.json.encode(content), type=Card))
    text = msgspec.json.format(
        msgspec.json.encode({"version": VERSION, **fields, "seals": _seals(fields)}), indent=2
    )
    with whole_file(path) as temporary:
        temporary.write_bytes(text + b"\n")


def _seals(fields: dict[str, Any]) -> dict[str, str]:
    return {
        name: hashlib.sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()[:16]
        for name, value in fields.items()
    }
