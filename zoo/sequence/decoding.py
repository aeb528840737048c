"""From scores of the next token to whole sentences: greedy, beam search, sampling.

One loop over places in `keras.ops`, which compiles, converts, and ends as soon as every sentence
has. What a model keeps from place to place is `zoo.sequence.steps`' business.
"""

from typing import Any

import keras
from keras import ops

from zoo.errors import InputError
from zoo.sequence.steps import State, Steps
from zoo.special_tokens import END, PADDING, START

_IMPOSSIBLE = -1e9


def greedy(steps: Steps, source: Any, max_length: int = 64) -> Any:
    """Answer with the likeliest token at every place.

    Args:
        steps: of the model: `zoo.sequence.steps.steps_of`.
        source: int32 `(batch, places)`.
        max_length: greatest number of tokens of an answer.

    Returns:
        int32 `(batch, max_length)`: the answers, without start token; behind the end token stands
        padding.
    """
    return _one_by_one(steps, source, max_length, lambda logits, place: _likeliest(logits))


def sample(
    steps: Steps,
    source: Any,
    max_length: int = 64,
    temperature: Any = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    seed: "keras.random.SeedGenerator | int" = 0,
    prompt: Any = None,
    end: int | None = END,
    draws: Any = None,
) -> Any:
    """Answer with tokens drawn by chance.

    *The Curious Case of Neural Text Degeneration*, Holtzman et al. 2019,
    https://arxiv.org/abs/1904.09751 (`top_p`)

    Args:
        steps: of the model.
        source: int32 `(batch, places)`.
        max_length: number of tokens of an answer, the prompt's included.
        temperature: what the logits are divided by; 0 is greedy. A number, or a tensor of one,
            which nobody checks.
        top_k: draw only from the so many likeliest, and what is as likely as the last; 0: from all.
        top_p: draw only from the fewest that have this probability together, above 0.
        seed: of the draws: a number, or what gives another one at each call.
        prompt: int32 `(batch, length)`: how the answers begin, padded behind.
        end: token that ends an answer, or `None`; the prompt's own do not.
        draws: float32 `(batch, max_length)`, from 0 to below 1: the chance of each place, in place
            of `seed`. For where nothing can be drawn, as in a LiteRT file.

    Returns:
        int32 `(batch, max_length)`.

    Raises:
        InputError: a setting out of its range, or a prompt that leaves no room for an answer.
    """
    known = isinstance(temperature, int | float)
    if (known and not temperature >= 0) or top_k < 0 or not 0 < top_p <= 1:
        raise InputError(
            "temperature and top_k are at least 0, top_p lies above 0 and is at most 1: not "
            f"{temperature}, {top_k} and {top_p}."
        )
    if draws is None:
        draws = keras.random.uniform((ops.shape(source)[0], max_length), seed=seed)

    def choose(logits: Any, place: Any) -> Any:
        likeliest = _likeliest(logits)
        if known and temperature == 0:
            return likeliest
        heat = temperature if known else ops.where(temperature > 0, temperature, 1.0)
        shares = ops.softmax(restricted(logits / heat, top_k, top_p), axis=-1)
        reached = ops.cumsum(shares, axis=-1)
        # The first token at which the sum of the shares exceeds what was drawn of their total.
        drawn = ops.take(draws, place, axis=1) * (1 - 1e-6) * reached[:, -1]
        drawn = ops.sum(ops.cast(reached <= ops.expand_dims(drawn, 1), "int32"), axis=-1)
        return drawn if known else ops.where(temperature > 0, drawn, ops.cast(likeliest, "int32"))

    return _one_by_one(steps, source, max_length, choose, prompt, end)


def _likeliest(logits: Any) -> Any:
    """Return the token with the highest score; `ops.argmax` has no built-in form in LiteRT."""
    return ops.top_k(logits, 1)[1][:, 0]


def restricted(logits: Any, top_k: int = 0, top_p: float = 1.0) -> Any:
    """Return logits that leave only the likeliest tokens; the arguments are those of `sample`."""
    if top_k:
        least = ops.min(ops.top_k(logits, min(top_k, logits.shape[-1]))[0], axis=-1, keepdims=True)
        logits = ops.where(logits < least, _IMPOSSIBLE, logits)
    if top_p < 1:
        ordered = ops.flip(ops.sort(logits, axis=-1), axis=-1)
        shares = ops.softmax(ordered, axis=-1)
        # The share of those before it: the first one that reaches top_p is still among them.
        before = ops.cumsum(shares, axis=-1) - shares
        least = ops.min(ops.where(before < top_p, ordered, 1e9), axis=-1, keepdims=True)
        logits = ops.where(logits < least, _IMPOSSIBLE, logits)
    return logits


def _one_by_one(
    steps: Steps,
    source: Any,
    max_length: int,
    choose: Any,
    prompt: Any = None,
    end: int | None = END,
) -> Any:
    """Answer with the token that `choose` takes from each place's logits."""
    if prompt is not None and prompt.shape[1] is not None:
        if prompt.shape[1] >= max_length:
            raise InputError(
                f"a prompt of {prompt.shape[1]} tokens leaves no room in {max_length}: raise "
                "max_length."
            )
        prompt = prompt if prompt.shape[1] else None
    state, constants = steps.start(source, max_length)
    batch = ops.shape(source)[0]
    ids = ops.full((batch,), START, dtype="int32")
    answers = ops.zeros((batch, max_length), dtype="int32")
    done = ops.zeros((batch,), dtype="bool")

    def body(place: Any, ids: Any, state: State, answers: Any, done: Any) -> tuple[Any, ...]:
        logits, state = steps.step(ids, place, state, constants)
        chosen = ops.cast(choose(logits, place), "int32")
        ids = ops.where(done, PADDING, chosen)
        ends = ops.equal(ids, -1 if end is None else end)
        if prompt is not None:
            length = ops.shape(prompt)[1]
            given = ops.take(prompt, ops.minimum(place, length - 1), axis=1)
            inside = ops.logical_and(place < length, given != PADDING)
            ids = ops.where(inside, given, ids)
            ends = ops.logical_and(ends, ops.logical_not(inside))
        answers = ops.slice_update(answers, (0, place), ops.expand_dims(ids, 1))
        done = ops.logical_or(done, ends)
        return place + 1, ids, state, answers, done

    def more(place: Any, ids: Any, state: State, answers: Any, done: Any) -> Any:
        return ops.logical_and(place < max_length, ops.logical_not(ops.all(done)))

    return ops.while_loop(more, body, (ops.zeros((), "int32"), ids, state, answers, done))[3]


def beam(
    steps: Steps,
    source: Any,
    max_length: int = 64,
    width: int = 5,
    length_penalty: float = 0.6,
) -> tuple[Any, Any]:
    """Answer with the best sentences of a search that goes on with several beginnings at once.

    *Google's Neural Machine Translation System*, Wu et al. 2016, https://arxiv.org/abs/1609.08144,
    section 7: the log-probability of a sentence is divided by `((5 + tokens) / 6) **
    length_penalty`, and nothing is added for coverage. The search ends when no beginning can become
    better than the worst sentence.

    Args:
        steps: of the model.
        source: int32 `(batch, places)`.
        max_length: greatest number of tokens of an answer, the end token included.
        width: number of beginnings, and of answers.
        length_penalty: 0 prefers short sentences, 1 long ones.

    Returns:
        int32 answers `(batch, width, max_length)`, the best first, without start token, padded
        behind the end token; and their float32 scores `(batch, width)`. Where fewer sentences came
        to an end within `max_length`, unfinished ones stand behind them.

    Raises:
        InputError: a penalty below 0, for which the search could not know when to end.
    """
    if not length_penalty >= 0:
        raise InputError(f"length_penalty is at least 0, not {length_penalty}.")
    batch, vocabulary = ops.shape(source)[0], steps.vocabulary_size
    state, constants = steps.start(source, max_length)
    state, constants = (_repeated(x, width) for x in (state, constants))
    first = ops.cast(ops.arange(width) > 0, "float32") * _IMPOSSIBLE  # one beginning, not `width`
    alive = ops.zeros((batch, width, max_length), "int32")
    alive_scores = ops.zeros((batch, 1)) + first
    done, done_scores = alive, ops.full((batch, width), _IMPOSSIBLE)
    ids = ops.full((batch * width,), START, dtype="int32")

    def penalty(tokens: Any) -> Any:
        return ops.power((5.0 + ops.cast(tokens, "float32")) / 6.0, length_penalty)

    def body(place: Any, ids: Any, state: State, *found: Any) -> tuple[Any, ...]:
        alive, alive_scores, done, done_scores = found
        logits, state = steps.step(ids, place, state, constants)
        scores = ops.reshape(ops.log_softmax(logits, axis=-1), (batch, width, vocabulary))
        scores = scores + ops.expand_dims(alive_scores, 2)
        # Twice as many: if all the best end, enough that go on are left.
        scores, chosen = ops.top_k(ops.reshape(scores, (batch, width * vocabulary)), 2 * width)
        chosen = ops.cast(chosen, "int32")
        parents, tokens = chosen // vocabulary, chosen % vocabulary  # (batch, 2 * width)
        texts = _taken(alive, parents)
        texts = _with_token(texts, tokens, place)
        ends = ops.equal(tokens, END)

        ended = ops.where(ends, scores / penalty(place + 1), _IMPOSSIBLE)
        done_scores, best = ops.top_k(ops.concatenate([done_scores, ended], axis=1), width)
        done = _taken(ops.concatenate([done, texts], axis=1), best)

        going = ops.where(ends, _IMPOSSIBLE, scores)
        alive_scores, best = ops.top_k(going, width)
        alive = _taken(texts, best)
        rows = ops.take_along_axis(parents, ops.cast(best, "int32"), axis=1)
        rows = ops.reshape(rows + ops.expand_dims(ops.arange(batch) * width, 1), (-1,))
        state = _mapped(lambda x: ops.take(x, rows, axis=0), state)
        ids = ops.reshape(ops.take_along_axis(tokens, ops.cast(best, "int32"), axis=1), (-1,))
        return place + 1, ids, state, alive, alive_scores, done, done_scores

    def more(place: Any, ids: Any, state: State, *found: Any) -> Any:
        _, alive_scores, _, done_scores = found
        # The best that the best beginning can still reach, were all its next tokens certain.
        hope = alive_scores[:, 0] / penalty(max_length)
        worst = ops.min(done_scores, axis=1)
        return ops.logical_and(place < max_length, ops.any(hope > worst))

    loop = (ops.zeros((), "int32"), ids, state, alive, alive_scores, done, done_scores)
    place, _, _, alive, alive_scores, done, done_scores = ops.while_loop(more, body, loop)
    # Sentences that ended come first, whatever an unfinished one's score.
    ended = ops.cast(done_scores > _IMPOSSIBLE / 2, "float32") * -_IMPOSSIBLE
    unfinished = alive_scores / penalty(place)
    rank = ops.concatenate([done_scores + ended, unfinished], axis=1)
    _, best = ops.top_k(rank, width)
    scores = ops.concatenate([done_scores, unfinished], axis=1)
    answers = _taken(ops.concatenate([done, alive], axis=1), best)
    return answers, ops.take_along_axis(scores, ops.cast(best, "int32"), axis=1)


def _mapped(function: Any, nested: Any) -> Any:
    return keras.tree.map_structure(function, nested)


def _repeated(nested: Any, width: int) -> Any:
    """Return every row `width` times, one after the other."""
    return _mapped(lambda x: ops.repeat(x, width, axis=0), nested)


def _taken(texts: Any, indices: Any) -> Any:
    """Return the texts `(batch, some, length)` at the indices `(batch, others)`."""
    return ops.take_along_axis(texts, ops.expand_dims(ops.cast(indices, "int32"), 2), axis=1)


def _with_token(texts: Any, tokens: Any, place: Any) -> Any:
    here = ops.equal(ops.arange(texts.shape[2]), place)
    return ops.where(here, ops.expand_dims(tokens, 2), texts)
