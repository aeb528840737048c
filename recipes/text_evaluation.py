"""How well a model of text does: what it says of a text, what comes next, and its translations."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import sacrebleu
import tensorflow as tf

from recipes.data.splits import Examples
from recipes.data.text_batches import Rows, pair_rows, separate_windows, text_ids
from recipes.translation import Translator
from zoo.special_tokens import PADDING
from zoo.texts import framed
from zoo.tokenizer import Tokenizer

# The figures that stand for a task where two models are compared.
COMPARED = {
    "translation": ("bleu", "accuracy"),
    "language_modeling": ("cross_entropy", "accuracy"),
    "classification": ("accuracy", "cross_entropy"),
}
BEAM = 5  # of the figure "bleu"
_AT_ONCE = 32
_RECURRENT_WINDOW = 1 << 12  # tokens that a model without positions reads in one go
_BLEU, _CHRF = sacrebleu.BLEU(), sacrebleu.CHRF()


def text_answers(
    model: keras.Model,
    tokenizers: Mapping[str, Tokenizer],
    texts: np.ndarray,
    max_length: int | None = None,
) -> np.ndarray:
    """Return a classifier's float32 probabilities for texts `(texts, classes)`.

    Args:
        model: it reads "ids".
        tokenizers: of its input.
        texts: the texts.
        max_length: number of tokens that count; default: as many as the model has positions.
    """
    [tokenizer] = tokenizers.values()
    most = max_length or positions_of(model)
    rows = Rows.of(framed(tokenizer, texts.tolist(), "ids", most))
    answers: list[np.ndarray] = []
    order = np.argsort(rows.lengths, kind="stable")
    call = tf.function(
        lambda ids: model(ids, training=False),
        input_signature=[tf.TensorSpec((None, None), tf.int32)],
    )
    for start in range(0, len(order), _AT_ONCE):
        part = order[start : start + _AT_ONCE]
        answers.append(np.asarray(call(rows.padded(part)), "float32"))
    result = np.concatenate(answers)
    return result[np.argsort(order)]


def measure_text(
    model: keras.Model,
    tokenizers: Mapping[str, Tokenizer],
    examples: Examples,
    task: str,
    decode: bool = True,
) -> dict[str, float]:
    """Return the figures of a model that says what comes next.

    Args:
        model: of the task.
        tokenizers: of its inputs.
        examples: the examples.
        task: "translation" or "language_modeling".
        decode: whether translations are made and compared, too.

    Returns:
        "cross_entropy" in nats per token, given the true tokens before it; "perplexity", its
        exponential; "accuracy", the share of tokens that were the likeliest. Of translations,
        before these, "bleu" and "chrf" of a beam search with 5 beginnings, and "bleu (greedy)",
        by sacrebleu, in 0…100.
    """
    if task == "language_modeling":
        [tokenizer] = tokenizers.values()
        ids = text_ids(tokenizer, examples)
        count = -(-len(ids) // (positions_of(model) or _RECURRENT_WINDOW))
        length = len(ids) // count  # windows of one size, and fewer tokens left than there are
        inputs, labels = separate_windows(ids, length)
        return _of_tokens(model, [(x[None], y[None]) for x, y in zip(inputs, labels, strict=True)])
    source, target = pair_rows(examples, tokenizers)
    order = np.lexsort((target.lengths, source.lengths))
    batches = []
    for start in range(0, len(order), _AT_ONCE):
        part = order[start : start + _AT_ONCE]
        answers = target.padded(part)
        batches.append(({"source": source.padded(part), "target": answers[:, :-1]}, answers[:, 1:]))
    found = _of_tokens(model, batches)
    if not decode:
        return found
    sources, references = examples.inputs.tolist(), examples.targets.tolist()
    translator = Translator(model, tokenizers)
    best = [answers[0].text for answers in translator(sources, beam=BEAM)]
    greedy = [answers[0].text for answers in translator(sources)]
    return {
        "bleu": _BLEU.corpus_score(best, [references]).score,
        "chrf": _CHRF.corpus_score(best, [references]).score,
        "bleu (greedy)": _BLEU.corpus_score(greedy, [references]).score,
        **found,
    }


def signature_of(metric: str) -> str:
    """Return how sacrebleu computes a metric, in its own words; "" for one that it does not."""
    kinds = {"bleu": _BLEU, "chrf": _CHRF}
    kind = kinds.get(metric.split(" ")[0])
    return str(kind.get_signature()) if kind else ""


def positions_of(model: keras.Model) -> int | None:
    """Return how many places a model has learned positions for, or `None` for any."""
    lengths = (getattr(layer, "max_length", None) for layer in model.layers)
    return min((length for length in lengths if length), default=None)


def _of_tokens(model: keras.Model, batches: list[tuple[Any, np.ndarray]]) -> dict[str, float]:
    spec = tf.TensorSpec((None, None), tf.int32)
    names = [tensor.name for tensor in model.inputs]

    @tf.function(input_signature=[[spec] * len(names), spec])
    def sums(inputs: list[tf.Tensor], labels: tf.Tensor) -> tf.Tensor:
        arguments = keras.tree.pack_sequence_as(model.input, inputs)
        logits = tf.cast(model(arguments, training=False), tf.float32)
        kept = tf.cast(labels != PADDING, tf.float32)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        hits = tf.cast(tf.argmax(logits, -1, tf.int32) == labels, tf.float32)
        return tf.stack([tf.reduce_sum(x * kept) for x in (losses, hits, tf.ones_like(losses))])

    totals = np.zeros(3)
    for inputs, labels in batches:
        tensors = [inputs[name] for name in names] if isinstance(inputs, dict) else [inputs]
        totals += np.asarray(sums(tensors, labels), "float64")
    loss, hits, count = totals
    return {
        "cross_entropy": float(loss / count),
        "perplexity": float(np.exp(loss / count)),
        "accuracy": float(hits / count),
    }
