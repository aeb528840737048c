"""An artifact that reads text held against its Keras model: by the texts that both write.

- A translation is decoded greedily and by beam search. A sentence agrees if both answers (of the
  beam, the best) are the same, token by token. The metric is "bleu", 0 … 100, of the greedy ones.
- A language model goes on from the first halves of parts of the text, taking the likeliest tokens.
  A part agrees if what was written is the same. The metric is "cross_entropy", in nats per token:
  less is better. Each part begins anew, so it is not that of one long text.
- A classifier is compared as any other.
- Where the format holds no way of writing, the metric is "cross_entropy" of the next tokens, and a
  text agrees if the likeliest of each of them is the same.

The largest difference is that of `serving_default`: the scores of each next token, given the Keras
model's own answers, or the text. What is read is brought to NFC, as an artifact wants it.
"""

import os
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from export import artifact
from export.artifact import SIGNATURE, Decoding, Manifest
from export.parity import Samples, compare, run
from export.runner import BATCH, median_seconds
from export.servable import Servable
from export.text_servable import lengths_of
from zoo.cards import ParityReport
from zoo.errors import InputError
from zoo.models import load_tokenizers, read_tokenizers
from zoo.sequence.decoding import beam, greedy, sample
from zoo.sequence.steps import steps_of
from zoo.special_tokens import PADDING, START
from zoo.texts import read
from zoo.tokenizer import Tokenizer, padded

if TYPE_CHECKING:
    import keras

MOST = 200  # texts that are decoded
_MOST_BYTES = 64 << 20  # of the logits that are compared
_WINDOW = 256  # tokens of a part, where the model takes any number


@dataclass
class _Pair:
    """An artifact and the Keras model that it came from."""

    folder: Path
    manifest: Manifest
    network: "keras.Model"
    tokenizers: dict[str, Tokenizer]
    timeout: float

    @property
    def decoding(self) -> Decoding:
        """How the artifact writes."""
        return self.manifest.decoding or Decoding()

    @property
    def longest(self) -> dict[str, int | None]:
        """Greatest number of tokens of each input."""
        return lengths_of(self.network, self.decoding, self.manifest.task)

    @property
    def fixed(self) -> dict[str, int | None]:
        """Length of each input of the artifact, where it is fixed."""
        return {tensor.name: tensor.shape[1] for tensor in self.manifest.inputs}

    def takes_strings(self, signature: str) -> bool:
        """Return whether what a signature reads are strings."""
        return self.manifest.signature(signature).inputs[0].dtype == "string"


def verify(
    folder: Path, manifest: Manifest, network: "keras.Model", samples: Samples, timeout: float
) -> ParityReport:
    """Compare an artifact that reads text; see `export.parity.verify`.

    Raises:
        InputError: it does not run, or there is no text in the samples.
    """
    pair = _Pair(folder, manifest, network, read_tokenizers(folder, manifest.tokenizers), timeout)
    inputs, targets = (None if part is None else np.asarray(part) for part in samples)
    if inputs is None or inputs.dtype.kind != "U":
        raise InputError(f"{manifest.name!r} reads text: give strings to compare it on.")
    texts = inputs.tolist()
    if manifest.task == "classification":
        return _classification(pair, [_composed(text) for text in texts], targets)
    if manifest.task == "translation":
        references = None if targets is None else targets[:MOST].tolist()
        return _translation(pair, [_composed(text) for text in texts[:MOST]], references)
    return _language_model(pair, _composed("".join(texts)))


def numbers_of(
    network: "keras.Model",
    tokenizers: Mapping[str, Tokenizer],
    texts: list[str],
    source_length: int | None = None,
) -> dict[str, np.ndarray]:
    """Return texts as the numbers that each input of a model takes, such as to time it on.

    A translation is told the texts themselves, by the tokenizer of its answers. No more than
    `source_length` tokens of each text are read.
    """
    if "target" in tokenizers:
        told = [[START, *row] for row in tokenizers["target"].encode(texts)]
        source = read(tokenizers["source"], texts, "source", source_length)
        return {"source": source, "target": padded(told)}
    longest = min(source_length or _WINDOW, *(t.shape[1] or _WINDOW for t in network.inputs))
    if any(len(text) > 1 for text in texts):
        return {"ids": read(tokenizers["ids"], texts, "ids", longest)}
    (row,) = tokenizers["ids"].encode(["".join(texts[: 64 * longest])])  # one long text's letters
    count = max(1, len(row) // longest)
    return {"ids": padded([row[n * longest : (n + 1) * longest] for n in range(count)], longest)}


def check_tokenizers(folder: Path, manifest: Manifest, name: str | os.PathLike[str]) -> None:
    """Refuse an artifact whose vocabulary is not that of the model that it came from.

    Raises:
        InputError: it is another one.
    """
    own, wanted = read_tokenizers(folder, manifest.tokenizers), load_tokenizers(name)
    if {k: v.inner.to_str() for k, v in own.items()} != {
        k: v.inner.to_str() for k, v in wanted.items()
    }:
        raise InputError(f"{folder} has another vocabulary than {str(name)!r}.")


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _classification(pair: _Pair, texts: list[str], targets: np.ndarray | None) -> ParityReport:
    ids = read(pair.tokenizers["ids"], texts, "ids", pair.longest["ids"], pair.fixed["ids"])
    asked = {"texts": {"texts": np.array(texts)}} if "texts" in pair.manifest.signatures else {}
    return compare(
        pair.folder, pair.manifest, pair.network, {"ids": ids}, targets, pair.timeout, asked
    )


def _translation(pair: _Pair, texts: list[str], references: list[str] | None) -> ParityReport:
    source, target = pair.tokenizers["source"], pair.tokenizers["target"]
    own = next(t.shape[1] for t in pair.network.inputs if t.name == "source")
    ids = read(source, texts, "source", pair.longest["source"], own)
    if "greedy" not in pair.manifest.signatures:
        return _scores_alone(pair, {"source": ids, "target": _told(pair, references or texts)})
    steps, settings = steps_of(pair.network), pair.decoding

    def best(sources: Any) -> Any:
        width, penalty = settings.beam_width, settings.length_penalty
        return beam(steps, sources, settings.max_length, width, penalty)[0][:, 0]

    likeliest, milliseconds = _answers(
        lambda sources: greedy(steps, sources, settings.max_length), ids
    )
    expected = np.stack([likeliest, _answers(best, ids, timed=False)[0]], axis=1)
    # The tokens that the model is told before each of its own.
    told = np.insert(likeliest[:, :-1], 0, START, axis=1)
    told = told[:, : max(1, int((told != PADDING).sum(axis=1).max()))]
    told = padded(told.tolist(), pair.fixed["target"])
    same_ids = padded(ids.tolist(), pair.fixed["source"] or ids.shape[1])
    count = _countable(told.shape[1], len(target), len(texts))
    scored = {"source": same_ids[:count], "target": told[:count]}
    asked = {"source": np.array(texts) if pair.takes_strings("greedy") else same_ids}
    inputs = {SIGNATURE: scored, "greedy": asked, "beam": asked}
    outputs, own_milliseconds = run(pair.folder, inputs, "greedy", pair.timeout)
    written = np.stack([outputs["greedy"]["answers"], outputs["beam"]["answers"][:, 0]], axis=1)
    equal = _same(pair, written, expected)
    if "text" in outputs["greedy"]:
        equal &= _texts(outputs["greedy"]["text"]) == np.array(target.decode(written[:, 0]))
    logits, real = _logits(pair, scored), told[:count] != PADDING
    return _report(
        pair,
        equal,
        logits[real],
        outputs[SIGNATURE]["logits"][real],
        metric="bleu",
        reference=_bleu(target.decode(likeliest), references),
        value=_bleu(target.decode(written[:, 0]), references),
        milliseconds=own_milliseconds,
        reference_milliseconds=milliseconds,
    )


def _language_model(pair: _Pair, text: str) -> ParityReport:
    tokenizer, most = pair.tokenizers["ids"], pair.decoding.max_length
    (tokens,) = tokenizer.encode([text])
    if not tokens:
        raise InputError("there are no samples to compare the artifact on.")
    window = min(pair.longest["ids"] or _WINDOW, len(tokens))
    count = _countable(window, len(tokenizer), min(MOST, len(tokens) // window))
    rows = np.array(tokens[: count * window], "int32").reshape(count, window)
    told = padded(np.insert(rows[:, :-1], 0, START, axis=1).tolist(), pair.fixed["ids"])
    if "generate" not in pair.manifest.signatures:
        return _scores_alone(pair, {"ids": told}, rows)
    beginnings = tokenizer.decode(rows[:, : max(1, min(window, most) // 2)])
    prompts = padded([row[: most - 1] or [PADDING] for row in tokenizer.encode(beginnings)])
    steps = steps_of(pair.network)
    expected, milliseconds = _answers(
        lambda given: sample(steps, given, most, temperature=0.0, prompt=given), prompts
    )
    chance = {
        "draws": np.zeros((count, most), "float32"),
        "seed": np.array(0, "int32"),
        "temperature": np.array(0, "float32"),
        "prompt": np.array(beginnings) if pair.takes_strings("generate") else prompts,
    }
    wanted = [tensor.name for tensor in pair.manifest.signature("generate").inputs]
    inputs = {SIGNATURE: {"ids": told}, "generate": {name: chance[name] for name in wanted}}
    outputs, own_milliseconds = run(pair.folder, inputs, "generate", pair.timeout)
    value = outputs[SIGNATURE]["logits"][:, :window]
    reference = _logits(pair, {"ids": told})[:, :window]
    return _report(
        pair,
        _same(pair, outputs["generate"]["answers"], expected),
        reference,
        value,
        metric="cross_entropy",
        reference=_cross_entropy(reference, rows),
        value=_cross_entropy(value, rows),
        milliseconds=own_milliseconds,
        reference_milliseconds=milliseconds,
    )


def _told(pair: _Pair, texts: list[str]) -> np.ndarray:
    """Return texts as a translation's model is told them: what stands before each token."""
    rows = [[START, *tokens] for tokens in pair.tokenizers["target"].encode(texts)]
    most = pair.longest["target"]
    return padded([row[:most] for row in rows], pair.fixed["target"])


def _scores_alone(
    pair: _Pair, inputs: dict[str, np.ndarray], targets: np.ndarray | None = None
) -> ParityReport:
    """Compare the scores of each next token of texts that both are told."""
    told = inputs[pair.manifest.inputs[-1].name]
    count = _countable(told.shape[1], len(list(pair.tokenizers.values())[-1]), len(told))
    inputs = {
        tensor.name: padded(inputs[tensor.name][:count].tolist(), pair.fixed[tensor.name])
        for tensor in pair.manifest.inputs
    }
    if targets is None:  # what is told next
        targets = np.pad(told[:count, 1:], ((0, 0), (0, 1)), constant_values=PADDING)
    reference = _logits(pair, inputs)
    outputs, milliseconds = run(pair.folder, {SIGNATURE: inputs}, SIGNATURE, pair.timeout)
    value = outputs[SIGNATURE]["logits"]
    real = targets[:count] != PADDING
    same = (value.argmax(axis=-1) == reference.argmax(axis=-1)) | ~real
    function = Servable(pair.network, pair.manifest.task).function
    one = [tf.constant(inputs[tensor.name][:1]) for tensor in pair.network.inputs]
    return _report(
        pair,
        same.all(axis=1),
        reference[real],
        value[real],
        metric="cross_entropy",
        reference=_cross_entropy(reference[real], targets[:count][real]),
        value=_cross_entropy(value[real], targets[:count][real]),
        milliseconds=milliseconds,
        reference_milliseconds=1e3 * median_seconds(lambda: function(one)["logits"].numpy()),
    )


def _report(
    pair: _Pair,
    equal: np.ndarray,
    logits: np.ndarray,
    own_logits: np.ndarray,
    **figures: Any,
) -> ParityReport:
    # Relative to the largest score where that is above 1, as in `export.parity`.
    scale = max(1.0, float(np.abs(logits).max()))
    difference = np.abs(own_logits.astype("float64") - logits) / scale
    return ParityReport(
        format=pair.manifest.format,
        quantization=pair.manifest.quantization,
        bytes=artifact.size(pair.folder),
        examples=len(equal),
        largest_difference=float(difference.max()),
        mean_difference=float(difference.mean()),
        agreement=float(equal.mean()),
        **figures,
    )


def _same(pair: _Pair, written: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Return of each text whether all its tokens are the same."""
    if written.shape != expected.shape:
        raise InputError(
            f"{pair.folder} answers with {written.shape[1:]} tokens, the model with "
            f"{expected.shape[1:]}: it did not come from this model."
        )
    return (written == expected).reshape(len(written), -1).all(axis=1)


def _answers(
    function: Callable[[Any], Any], ids: np.ndarray, timed: bool = True
) -> tuple[np.ndarray, float]:
    """Return what the Keras model writes, and, if `timed`, the milliseconds of the first text."""
    shape = tf.TensorSpec((None, ids.shape[1]), tf.int32)
    compiled = tf.function(function, input_signature=[shape], autograph=False)
    parts = [compiled(ids[start : start + BATCH]).numpy() for start in range(0, len(ids), BATCH)]
    seconds = median_seconds(lambda: compiled(ids[:1]).numpy()) if timed else 0.0
    return np.concatenate(parts), seconds * 1e3


def _logits(pair: _Pair, inputs: dict[str, np.ndarray]) -> np.ndarray:
    """Return the Keras model's scores of each next token, `(texts, length, tokens)`."""
    function = Servable(pair.network, pair.manifest.task).function
    arrays = [inputs[tensor.name] for tensor in pair.network.inputs]
    parts = [
        function([tf.constant(array[start : start + BATCH]) for array in arrays])["logits"].numpy()
        for start in range(0, len(arrays[0]), BATCH)
    ]
    return np.concatenate(parts)


def _countable(length: int, tokens: int, texts: int) -> int:
    """Return of how many texts the scores are compared: those of large vocabularies are large."""
    return max(1, min(texts, _MOST_BYTES // (4 * length * tokens)))


def _texts(written: np.ndarray) -> np.ndarray:
    return np.array([text.decode() for text in written.tolist()])


def _bleu(answers: list[str], references: list[str] | None) -> float | None:
    """Return the BLEU of answers, 0 … 100, or `None` without references."""
    import sacrebleu

    return None if references is None else sacrebleu.corpus_bleu(answers, [references]).score


def _cross_entropy(logits: np.ndarray, targets: np.ndarray) -> float:
    """Return the mean cross-entropy of the next tokens, in nats."""
    logits = logits - logits.max(axis=-1, keepdims=True)
    own = np.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
    return float((np.log(np.exp(logits).sum(axis=-1)) - own).mean(dtype="float64"))
