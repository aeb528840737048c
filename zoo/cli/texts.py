"""`zoo translate` and `zoo generate`: text in, text out."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.cli import output
from zoo.errors import InputError
from zoo.files import refuse_taken

if TYPE_CHECKING:
    from recipes.translation import Translation, Translator


def translate(
    model: Annotated[str, typer.Argument(help="A pretrained model, or the path of a run.")],
    sentences: Annotated[
        list[str] | None, typer.Argument(help="Sentences; without any, what a pipe brings.")
    ] = None,
    file: Annotated[Path | None, typer.Option(help="A text file, a sentence in each line.")] = None,
    beam: Annotated[
        int, typer.Option(min=1, help="Beginnings that the search keeps; 1 is greedy.")
    ] = 5,
    nbest: Annotated[int, typer.Option(min=1, help="Answers to each sentence.")] = 1,
    length_penalty: Annotated[
        float, typer.Option(help="Of the search: 0 prefers short sentences, 1 long ones.")
    ] = 0.6,
    attention: Annotated[
        Path | None, typer.Option(help="A PNG file: where the model looked, of one sentence.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace that file.")] = False,
    json: output.Json = False,
) -> None:
    """Translate sentences: from the command line, a file, or a pipe.

    A line of output for each line of input: an empty one stays empty, and so does one of more than
    1,000 characters, which is named. Parts that the vocabulary lacks are named, too.
    """
    from zoo import cards

    card = cards.card(model)
    if card.task != "translation":
        raise InputError(f"{model!r} does not translate: it is for {card.task}.")
    if not 1 <= nbest <= beam:
        raise InputError(f"--nbest lies between 1 and --beam, {beam}: not {nbest}.")
    if not length_penalty >= 0:
        raise InputError(f"--length-penalty is at least 0, not {length_penalty:g}.")
    if sentences and file:
        raise InputError("give sentences or a file (--file), not both.")
    if not sentences and not file and sys.stdin.isatty():
        raise InputError("give a sentence, a file (--file), or a pipe.")
    if attention:
        if attention.suffix.lower() != ".png" or attention.is_dir():
            raise InputError(f"the picture is a PNG file: name it so, not {attention}.")
        refuse_taken(attention, overwrite)
    output.start_tensorflow()
    from recipes.data.texts import MOST_CHARACTERS
    from recipes.translation import Translator
    from zoo.models import load, load_tokenizers

    lines = list(sentences) if sentences else _lines(file)
    if attention and (len(lines) != 1 or not lines[0].strip()):
        raise InputError("--attention draws one sentence: give one.")
    for number, line in enumerate(lines, start=1):
        if len(line) > MOST_CHARACTERS:
            if len(lines) == 1:
                raise InputError(f"a sentence has at most {MOST_CHARACTERS:,} characters.")
            output.progress.print(
                f"line {number} has more than {MOST_CHARACTERS:,} characters: left empty"
            )
            lines[number - 1] = ""
    translator = Translator(load(model), load_tokenizers(model))
    _report_unknown(translator, lines)
    answers = translator(lines, beam, nbest, length_penalty)
    if attention:
        _draw(model, translator, lines[0], answers[0][0], attention)
    if json:
        output.emit(
            [{"source": line, "answers": found} for line, found in zip(lines, answers, strict=True)]
        )
        return
    for found in answers:
        for answer in found:
            score = f"{answer.score:.4f}\t" if nbest > 1 else ""
            output.plain(f"{score}{answer.text}")


def write_on(model: str, prompt: str, json: bool, **options: Any) -> None:
    """Write on from a prompt; `options` are those of `recipes.generation.Generator`."""
    output.start_tensorflow()
    from recipes.generation import Generator
    from zoo.models import load, load_tokenizers

    generator = Generator(load(model), load_tokenizers(model))
    strange = generator.tokenizer.unknown(prompt)
    if strange:
        output.progress.print(f"not in the vocabulary: {' '.join(map(repr, strange))}")
    texts = generator(prompt, **options)
    if json:
        output.emit([{"prompt": prompt, "text": text} for text in texts])
        return
    for text in texts:
        output.plain(f"{prompt}{text}")


def _lines(file: Path | None) -> list[str]:
    """Return the lines of a file, or of what a pipe brings."""
    from recipes.data.texts import decoded, read_text

    text = read_text(file) if file else decoded(sys.stdin.buffer.read(), "standard input")
    return text.removesuffix("\n").split("\n")


def _report_unknown(translator: "Translator", lines: list[str]) -> None:
    tokenizer = translator.tokenizers["source"]
    for number, line in enumerate(lines, start=1):
        strange = tokenizer.unknown(line)
        if strange:
            place = f"line {number}: " if len(lines) > 1 else ""
            output.progress.print(f"{place}not in the vocabulary: {' '.join(map(repr, strange))}")


def _draw(
    model: str, translator: "Translator", line: str, answer: "Translation", path: Path
) -> None:
    """Draw where the model looked while it wrote an answer."""
    from recipes.plots import plot_attention
    from recipes.translation import attention_of
    from zoo.models import load

    try:
        network: Any = load(model, return_attention=True)
    except InputError:
        raise InputError(f"{model!r} has no attention that could be drawn.") from None
    weights, source, target = attention_of(network, translator.tokenizers, line, answer)
    plot_attention(weights, source, target, path)
    output.progress.print(f"{path}: where the model looked")
