"""Text at the command line: translated, written, classified; and what is refused in one line."""

import io
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

import zoo
from recipes import Run
from recipes.generation import Generator
from zoo.cli import run

Answer = Callable[..., Any]
Complaint = Callable[..., str]

SENTENCE, TRANSLATION = "hier läuft der rote hund.", "the red dog runs here."


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """Return bytes -> they come through standard input."""

    def give(content: bytes) -> None:
        stream = SimpleNamespace(buffer=io.BytesIO(content), isatty=lambda: False)
        monkeypatch.setattr(sys, "stdin", stream)

    return give


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[list[str], str]:
    """Return the lines that a command prints, and what it says beside."""
    capsys.readouterr()
    assert run(list(arguments)) == 0
    out, err = capsys.readouterr()
    return out.removesuffix("\n").split("\n"), err


def test_a_sentence_is_translated(
    translation_run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    picture = tmp_path / "attention.png"
    model = str(translation_run.path)
    lines, _ = printed(capsys, "translate", model, SENTENCE, "--attention", str(picture))
    assert lines == [TRANSLATION]
    with Image.open(picture) as image:
        assert image.format == "PNG"
    lines, _ = printed(capsys, "translate", model, SENTENCE, "--beam", "4", "--nbest", "3")
    scores, texts = zip(*(line.split("\t") for line in lines), strict=True)
    assert texts[0] == TRANSLATION
    assert list(scores) == sorted(scores, key=float, reverse=True)


def test_a_pipe_and_a_file_keep_their_lines(
    translation_run: Run,
    pipe: Callable[[bytes], None],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    content = f"{SENTENCE}\n\n{'x' * 1001}\n{SENTENCE} 🐶 Ünbekannt\n".encode()
    pipe(content)
    lines, said = printed(capsys, "translate", str(translation_run.path), "--beam", "1")
    assert lines[:3] == [TRANSLATION, "", ""]
    assert len(lines) == 4
    assert "line 3 has more than 1,000 characters: left empty" in said
    assert "line 4: not in the vocabulary: '🐶' 'Ünbekannt'" in said
    path = tmp_path / "lines.txt"
    path.write_bytes(content)
    arguments = ("translate", str(translation_run.path), "--file", str(path), "--beam", "1")
    assert printed(capsys, *arguments)[0] == lines


def test_answers_for_programs_have_scores_and_tokens(translation_run: Run, answer: Answer) -> None:
    [row] = answer("translate", str(translation_run.path), SENTENCE, "--nbest", "2")
    assert row["source"] == SENTENCE
    assert [set(found) for found in row["answers"]] == [{"text", "score", "tokens"}] * 2


def test_what_cannot_be_translated_is_told_in_a_line(
    translation_run: Run,
    complaint: Complaint,
    pipe: Callable[[bytes], None],
    tmp_path: Path,
) -> None:
    model = str(translation_run.path)
    latin = tmp_path / "latin.txt"
    latin.write_bytes("größe\n".encode("latin-1"))
    assert "does not translate" in complaint("translate", "lenet5-mnist", "x")
    assert "--nbest lies between" in complaint("translate", model, "x", "--nbest", "9")
    assert "at least 0" in complaint("translate", model, "x", "--length-penalty", "-1")
    assert "not both" in complaint("translate", model, "x", "--file", str(latin))
    assert "not in UTF-8" in complaint("translate", model, "--file", str(latin))
    assert "there is no text" in complaint("translate", model, "--file", str(tmp_path / "no.txt"))
    assert "at most 1,000 characters" in complaint("translate", model, "x" * 10_000)
    assert "PNG" in complaint("translate", model, "x", "--attention", "a.jpg")
    assert "draws one sentence" in complaint("translate", model, "x", "y", "--attention", "a.png")
    assert "neither writes nor makes" in complaint("generate", model)
    assert "is for `zoo translate`" in complaint("predict", model, "x")
    pipe(b"\xff\xfe\xff")
    assert "standard input" in complaint("translate", model)


def test_a_language_model_writes_on(answer: Answer, complaint: Complaint) -> None:
    def write(*more: str) -> list[str]:
        rows = answer("generate", "lstm-shakespeare", "--prompt", "ROMEO:\n", *more)
        return [row["text"] for row in rows]

    [one] = write("--length", "40")
    assert len(one) == 40
    assert write("--length", "40") == [one]
    assert write("--length", "40", "--seed", "1") != [one]
    two = write("--length", "30", "--count", "2")
    assert len(two) == len(set(two)) == 2
    greedy = write("--length", "30", "--temperature", "0", "--count", "2")
    assert greedy[0] == greedy[1]
    assert write("--length", "30", "--top-k", "1") == greedy[:1]
    refused = complaint("generate", "lstm-shakespeare", "--top-p", "0", "--prompt", "x")
    assert "top_p lies above 0" in refused


def test_a_text_longer_than_the_positions_is_written_in_stretches() -> None:
    from zoo.tokenizer import Tokenizer

    tokenizer = Tokenizer.train(["abcdefgh "], "characters", min_frequency=1)
    model = zoo.build(
        "gpt", vocabulary_size=len(tokenizer), width=16, depth=2, num_heads=2, max_length=32
    )
    generator = Generator(model, {"ids": tokenizer})
    [text] = generator("abc", length=100, temperature=1.0)
    assert len(text) == 100
    assert set(text) <= set("abcdefgh ")
    assert len(generator("abcdefgh " * 10, length=5)[0]) == 5
    assert len(generator("", length=40)[0]) == 40
    words = Tokenizer.train(["the king said hello"], "words", min_frequency=1)
    model = zoo.build("lstm_language_model", vocabulary_size=len(words), units=[8])
    [text] = Generator(model, {"ids": words})("the king", length=2)
    assert text.startswith(" ")
    with pytest.raises(zoo.InputError, match="half a character"):
        generator("caf\udce9", length=2)


def test_texts_are_classified_from_the_command_line_files_and_tables(
    answer: Answer, tmp_path: Path, complaint: Complaint
) -> None:
    good, bad = "a moving , wonderful film", "dull , stupid and a waste of time"
    (tmp_path / "t.txt").write_text(f"{good}\n{bad}\n")
    (tmp_path / "t.csv").write_text(f'id,words\n1,"{good}"\n2,"{bad}"\n')
    model = "lstm-polarity"
    rows = answer("predict", model, good, bad, str(tmp_path / "t.txt"))
    assert [row["classes"][0]["label"] for row in rows] == ["positive", "negative"] * 2
    long = f"{good} {'very ' * 100}🐶"
    assert answer("predict", model, long)[0]["input"] == long
    table = answer("predict", model, str(tmp_path / "t.csv"), "--text", "words")
    for found, wanted in zip(table, rows[2:], strict=True):
        for one, other in zip(found["classes"], wanted["classes"], strict=True):
            assert one["label"] == other["label"]
            # Other batches are other products of matrices, which round otherwise.
            assert one["probability"] == pytest.approx(other["probability"], abs=1e-5)
    assert [row["input"].split(", ")[1] for row in table] == ["line 2", "line 3"]
    assert "holds the texts" in complaint("predict", model, str(tmp_path / "t.csv"))
    assert "there is no text" in complaint("predict", model, str(tmp_path / "none.txt"))


def test_sentences_of_the_users_own_table_are_learned(
    tmp_path: Path, answer: Answer, complaint: Complaint
) -> None:
    rows = (("zorgon is great fun", "yes"), ("zorgon bores me", "no"), ("zorgon is there", "so"))
    table = tmp_path / "own.csv"
    lines = [f'{n},"{rows[n % 3][0]} {n}",{rows[n % 3][1]}' for n in range(90)]
    table.write_text("\n".join(["id,words,verdict", *lines]) + "\n")
    out = str(tmp_path / "run")
    options = ("--target", "verdict", "--text", "words", "--set", "head_learning_rate=0.01")
    result = answer(
        "finetune", "lstm-polarity", "--data", str(table), "--out", out, *options,
        "--epochs", "3", "--head-epochs", "2", "--learning-rate", "0.003", "--batch-size", "8",
    )  # fmt: skip
    assert result["metrics"]["test"]["accuracy"] > 0.9
    [row] = answer("predict", out, "zorgon bores me")
    assert row["classes"][0]["label"] == "no"
    assert "▁zorgon" in zoo.load_tokenizers(out)["ids"].vocabulary
    # What its run says of the table is enough to measure it on another.
    again = answer("evaluate", out, "--data", str(table))
    assert again["metrics"]["accuracy"] > 0.9
    refused = complaint("finetune", "lstm-polarity", "--data", str(table), "--target", "verdict")
    assert "name the column" in refused
