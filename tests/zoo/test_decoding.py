"""Decoding token by token says what a plain loop over the whole model says."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from architectures import VOCABULARY, build

import zoo
from zoo.catalog import NAMES
from zoo.sequence.decoding import beam, greedy, restricted, sample
from zoo.sequence.steps import steps_of
from zoo.special_tokens import END, START

WRITERS = [
    "simple_rnn_language_model", "lstm_language_model", "gru_language_model", "lstm_seq2seq",
    "gru_seq2seq", "gru_attention", "lstm_attention_dot", "lstm_attention_general",
    "lstm_attention_concat", "transformer", "gpt",
]  # fmt: skip
FURTHER: dict[str, tuple[str, dict[str, Any]]] = {
    "transformer, normalized after": ("transformer", {"pre_norm": False}),
    "transformer, two tables": ("transformer", {"shared_embeddings": False}),
    "two layers": ("lstm_attention_general", {"depth": 2, "bidirectional": True}),
    "two layers below attention": ("gru_attention", {"depth": 2}),
}
CASES = {name: (name, {}) for name in WRITERS} | FURTHER
SOURCE = np.array([[4, 5, 9, 2, 0], [6, 7, 8, 11, 12], [4, 4, 0, 0, 0]], "int32")
LONGEST, WIDTH, PENALTY = 7, 3, 0.6


def decided(name: str, **arguments: Any) -> keras.Model:
    """Build a model with weights so large that its answers differ."""
    keras.utils.set_random_seed(1)
    model, random = build(name, **arguments), np.random.default_rng(0)
    for weight in model.trainable_weights:
        weight.assign(np.asarray(weight) + random.normal(0, 0.3, weight.shape))
    return model


def log_probabilities(model: keras.Model, source: np.ndarray, *said: list[int]) -> np.ndarray:
    """Return those of each next token, by the whole model on all that was said, alike in length."""
    target = np.array([[START, *ids] for ids in said])
    inputs: Any = target
    if isinstance(model.input, dict):
        inputs = {"source": np.tile(source, (len(said), 1)), "target": target}
    logits = np.asarray(model(inputs), "float64")[:, -1]
    logits -= logits.max(axis=1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def padded(ids: list[int]) -> list[int]:
    return [*ids, *[0] * (LONGEST - len(ids))]


def plain_greedy(model: keras.Model, source: np.ndarray) -> list[int]:
    said: list[int] = []
    while len(said) < LONGEST and END not in said:
        said.append(int(log_probabilities(model, source, said)[0].argmax()))
    return padded(said)


def plain_beam(model: keras.Model, source: np.ndarray) -> list[tuple[list[int], float]]:
    def penalty(length: int) -> float:
        return ((5 + length) / 6) ** PENALTY

    going: list[tuple[list[int], float]] = [([], 0.0)]
    done: list[tuple[list[int], float]] = []
    length = 0
    while length < LONGEST:
        length += 1
        steps = log_probabilities(model, source, *(said for said, _ in going))
        found = [
            ([*said, token], score + step)
            for (said, score), row in zip(going, steps, strict=True)
            for token, step in enumerate(row)
        ]
        found = sorted(found, key=lambda pair: -pair[1])[: 2 * WIDTH]
        ended = [(said, score / penalty(length)) for said, score in found if said[-1] == END]
        done = sorted(done + ended, key=lambda pair: -pair[1])[:WIDTH]
        going = [pair for pair in found if pair[0][-1] != END][:WIDTH]
    return (done + [(said, score / penalty(length)) for said, score in going])[:WIDTH]


@pytest.mark.parametrize("case", CASES)
def test_greedy_and_beam_search_are_those_of_a_plain_loop(case: str) -> None:
    name, arguments = CASES[case]
    model = decided(name, **arguments)
    steps = steps_of(model)
    assert steps.vocabulary_size == VOCABULARY

    @tf.function(autograph=False)
    def decode(source: tf.Tensor) -> Any:
        return greedy(steps, source, LONGEST), *beam(steps, source, LONGEST, WIDTH, PENALTY)

    likeliest, answers, scores = (x.numpy() for x in decode(tf.constant(SOURCE)))
    assert likeliest.tolist() == [plain_greedy(model, source) for source in SOURCE]
    for row, source in enumerate(SOURCE):
        expected = plain_beam(model, source)
        assert answers[row].tolist() == [padded(said) for said, _ in expected]
        np.testing.assert_allclose(scores[row], [score for _, score in expected], atol=1e-3)


@pytest.mark.parametrize("shape", [(None, None), SOURCE.shape])
def test_a_single_block_says_the_same_in_a_graph(shape: tuple[int | None, ...]) -> None:
    steps = steps_of(decided("transformer", depth=1))

    def decode(source: Any) -> Any:
        return greedy(steps, source, LONGEST), beam(steps, source, LONGEST, WIDTH)[0]

    signature = [tf.TensorSpec(shape, "int32")]
    compiled = tf.function(decode, input_signature=signature, autograph=False)
    for graph, eager in zip(compiled(SOURCE), decode(SOURCE), strict=True):
        np.testing.assert_array_equal(graph, eager)


@pytest.mark.parametrize("name", ["transformer", "gru_attention", "gpt"])
def test_a_beam_of_one_is_greedy(name: str) -> None:
    steps = steps_of(decided(name))
    answers, _ = beam(steps, SOURCE, LONGEST, 1, 0.0)
    np.testing.assert_array_equal(answers[:, 0], greedy(steps, SOURCE, LONGEST))


def test_a_wider_beam_finds_likelier_sentences() -> None:
    steps = steps_of(decided("transformer"))
    narrow, wide = (
        np.asarray(beam(steps, SOURCE, LONGEST, width, 0.0)[1])[:, 0] for width in (1, 12)
    )
    assert wide.mean() > narrow.mean() + 0.1  # not each of them: a search prunes


def test_a_sentence_is_answered_alike_in_any_company() -> None:
    steps = steps_of(decided("transformer"))
    together = np.asarray(greedy(steps, SOURCE, LONGEST))
    alone = [np.asarray(greedy(steps, source[None], LONGEST))[0] for source in SOURCE]
    np.testing.assert_array_equal(together, alone)


def test_decoding_ends_when_every_sentence_has() -> None:
    model = decided("gru_language_model")
    bias = np.zeros(VOCABULARY)
    bias[END] = 1e3
    model.get_layer("logits").bias.assign(bias)
    steps, places = steps_of(model), []
    once = steps.step

    def counted(ids: Any, place: Any, state: Any, constants: Any) -> Any:
        places.append(int(place))
        return once(ids, place, state, constants)

    steps.step = counted
    answers = np.asarray(greedy(steps, SOURCE, 50))
    assert places == [0]
    assert answers[:, 0].tolist() == [END] * 3
    assert not answers[:, 1:].any()


def test_draws_follow_the_model_s_probabilities() -> None:
    model = decided("gru_language_model")
    many = np.zeros((4000, 1), "int32")
    drawn = np.asarray(sample(steps_of(model), many, 1, seed=3))[:, 0]
    shares = np.bincount(drawn, minlength=VOCABULARY) / len(drawn)
    expected = np.exp(log_probabilities(model, SOURCE[0], []))[0]
    np.testing.assert_allclose(shares, expected, atol=0.03)


def test_draws_repeat_with_their_seed_and_change_with_it() -> None:
    steps = steps_of(decided("gpt"))
    one, same, other = (np.asarray(sample(steps, SOURCE, 9, seed=seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


@pytest.mark.parametrize("settings", [{"temperature": 0.0}, {"top_k": 1}, {"top_p": 1e-6}])
def test_the_strictest_draws_are_greedy(settings: dict[str, float]) -> None:
    steps = steps_of(decided("gpt"))
    np.testing.assert_array_equal(
        sample(steps, SOURCE, LONGEST, **settings), greedy(steps, SOURCE, LONGEST)
    )


def test_only_the_likeliest_are_left_to_draw_from() -> None:
    logits = np.log(np.array([[0.05, 0.4, 0.15, 0.3, 0.1]], "float32"))

    def left(**settings: float) -> list[int]:
        return np.flatnonzero(np.asarray(restricted(logits, **settings))[0] > -1e8).tolist()

    assert left() == [0, 1, 2, 3, 4]
    assert left(top_k=2) == [1, 3]
    assert left(top_k=99) == [0, 1, 2, 3, 4]
    assert left(top_p=0.39) == [1]
    assert left(top_p=0.69) == [1, 3]
    assert left(top_p=0.71) == [1, 2, 3]
    assert left(top_k=3, top_p=0.5) == [1, 3]


@pytest.mark.parametrize(
    "settings", [{"temperature": -1.0}, {"top_k": -1}, {"top_p": 0.0}, {"top_p": 1.1}]
)
def test_draws_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(zoo.InputError, match="temperature and top_k are at least 0"):
        sample(steps_of(build("gpt")), SOURCE, LONGEST, **settings)


def test_a_negative_length_penalty_is_refused() -> None:
    with pytest.raises(zoo.InputError, match="length_penalty is at least 0, not -1"):
        beam(steps_of(build("gpt")), SOURCE, length_penalty=-1)


def test_drawing_compiles_and_draws_the_same() -> None:
    steps = steps_of(decided("gpt"))
    signature = [tf.TensorSpec((None, None), "int32")]

    @tf.function(autograph=False, input_signature=signature)
    def compiled(prompt: tf.Tensor) -> tf.Tensor:
        return sample(steps, prompt, LONGEST, top_p=0.9, seed=5, prompt=prompt)

    prompt = np.array([[5, 6], [8, 0]], "int32")
    eager = sample(steps, prompt, LONGEST, top_p=0.9, seed=5, prompt=prompt)
    np.testing.assert_array_equal(compiled(prompt), eager)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["transformer", "gru_attention"])
def test_greedy_decoding_runs_on_a_phone(name: str) -> None:
    steps = steps_of(decided(name))

    @tf.function(autograph=False, input_signature=[tf.TensorSpec((1, 5), "int32")])
    def decode(source: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"answers": greedy(steps, source, LONGEST)}

    converter = tf.lite.TFLiteConverter.from_concrete_functions([decode.get_concrete_function()])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    interpreter = Interpreter(model_content=converter.convert())
    interpreter.allocate_tensors()
    (source,), (answers,) = interpreter.get_input_details(), interpreter.get_output_details()
    for row in SOURCE:
        interpreter.set_tensor(source["index"], row[None])
        interpreter.invoke()
        expected = greedy(steps, row[None], LONGEST)
        np.testing.assert_array_equal(interpreter.get_tensor(answers["index"]), expected)


@pytest.mark.parametrize("name", ["transformer", "gru_attention", "lstm_attention_general"])
def test_attention_is_the_whole_model_s_place_by_place(name: str) -> None:
    model = decided(name, return_attention=True)
    target = np.array([[START, 5, 6], [START, 9, 4], [START, 3, 3]])
    whole = np.asarray(model({"source": SOURCE, "target": target})["attention"])
    steps = steps_of(model)
    state, constants = steps.start(SOURCE, 3)
    for place in range(3):
        _, state, weights = steps.look(target[:, place], place, state, constants)
        np.testing.assert_allclose(whole[..., place, :], weights, atol=1e-5)
    np.testing.assert_allclose(whole.sum(axis=-1), 1, atol=1e-5)
    assert whole[0, ..., 4:].max() == 0  # padding


def test_a_prompt_stands_at_the_beginning_and_is_gone_on_from() -> None:
    model = decided("gpt")
    prompt = np.array([[5, 6, 7], [8, 0, 0]], "int32")
    answers = np.asarray(
        sample(steps_of(model), prompt, LONGEST, temperature=0.0, prompt=prompt, end=None)
    )
    assert answers[0, :3].tolist() == [5, 6, 7]
    assert answers[1, 0] == 8
    for row, start in ((0, [5, 6, 7]), (1, [8])):
        said = list(start)
        while len(said) < LONGEST:
            said.append(int(log_probabilities(model, SOURCE[0], said)[0].argmax()))
        assert answers[row].tolist() == said


def test_an_end_in_the_prompt_ends_nothing_and_an_empty_one_is_none() -> None:
    steps = steps_of(decided("gpt"))
    prompt = np.array([[5, END, 7]], "int32")
    assert np.asarray(sample(steps, prompt, LONGEST, prompt=prompt))[0, :3].tolist() == [5, END, 7]
    empty = np.zeros((1, 0), "int32")
    np.testing.assert_array_equal(
        sample(steps, prompt, LONGEST, prompt=empty), sample(steps, prompt, LONGEST)
    )
    with pytest.raises(zoo.InputError, match="prompt of 3 tokens leaves no room in 3"):
        sample(steps, prompt, 3, prompt=prompt)


def test_more_tokens_than_positions_are_refused() -> None:
    with pytest.raises(zoo.InputError, match="has 256 positions: it cannot write 300 tokens"):
        greedy(steps_of(build("gpt")), SOURCE, 300)


@pytest.mark.parametrize("name", ["bert", "lstm_classifier", "mlp", "vit"])
def test_a_model_that_says_nothing_is_refused(name: str) -> None:
    with pytest.raises(zoo.InputError, match="no model that says what comes next"):
        steps_of(build(name))


def test_the_writers_here_are_all_there_are() -> None:
    tasks = {"translation", "language_modeling"}
    small = {"transformer_base", "transformer_big", "gpt2"}
    assert {n for n, row in NAMES.items() if row.task in tasks} - small == set(WRITERS)
