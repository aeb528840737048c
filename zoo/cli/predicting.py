"""`zoo predict`: answers for pictures of any size and mode, for rows of a table, and for texts."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.cli import options, output
from zoo.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from zoo.cards import Card


def predict(
    model: Annotated[str, typer.Argument(help="A pretrained model, or the path of a run.")],
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Pictures, folders of them, or .csv files; for a model that reads text, "
            "sentences, .txt files with one in each line, or tables."
        ),
    ],
    top: Annotated[int, typer.Option(min=1, help="How many classes to show.")] = 3,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the pictures of an autoencoder.")
    ] = None,
    text: options.Text = None,
    json: output.Json = False,
) -> None:
    """Answer for pictures, for the rows of a table, or for texts."""
    from zoo import cards

    card = cards.card(model)
    if out and card.task != "reconstruction":
        raise InputError(f"--out is for pictures that a model makes; {model!r} does none.")
    if card.tokenizers and card.task != "classification":
        verb = "translate" if card.task == "translation" else "generate"
        raise InputError(f"{model!r} is for `zoo {verb}`: it gives texts no class.")
    if card.task == "control":
        raise InputError(f"{model!r} is an agent: `zoo play` lets it act.")
    if card.task == "generation":
        raise InputError(f"{model!r} makes pictures: `zoo generate` asks it for some.")
    missing = next((file for file in files if not card.tokenizers and not file.exists()), None)
    if missing:
        raise InputError(f"there is no file {missing}.")
    output.start_tensorflow()
    if card.tokenizers:
        names, outputs = _of_texts(model, card, list(map(str, files)), text)
        _show([{"input": n, **_answer(card, v, top)} for n, v in zip(names, outputs, strict=True)],
              json)  # fmt: skip
        return
    files = [found for file in files for found in _files(file, len(card.input.shape) == 3)]
    from recipes.evaluation import answers
    from zoo.models import load

    names, inputs = _inputs(model, card, files)
    outputs = answers(load(model), inputs)
    if card.task == "reconstruction":
        rows = _reconstructions(names, inputs, outputs, out)
    else:
        rows = [
            {"input": name, **_answer(card, values, top)}
            for name, values in zip(names, outputs, strict=True)
        ]
    _show(rows, json)


def _show(rows: list[dict[str, Any]], json: bool) -> None:
    if json:
        output.emit(rows)
    else:
        output.table("", ("input", "answer"), [(row["input"], _words(row)) for row in rows])


def _of_texts(
    model: str, card: "Card", arguments: list[str], column: str | None
) -> tuple[list[str], "np.ndarray"]:
    """Return the names of texts and a classifier's answers to them.

    An argument that is no file is a text itself; in a `.txt` file each line is one; of a table, the
    column that is named, the one that the model learned from, or the only one.
    """
    import numpy as np

    from recipes.data.texts import read_text
    from recipes.text_evaluation import text_answers
    from zoo.models import load, load_tokenizers

    names, texts = [], []
    learned = card.recipe.get("data_options", {}).get("text", "")
    for argument in arguments:
        path = Path(argument)
        kind = Path(path.name.lower().removesuffix(".gz")).suffix
        if _is_file(path) or (kind in {".csv", ".tsv", ".txt"} and " " not in argument):
            lines = _column(path, column, learned) if kind in {".csv", ".tsv"} else read_text(path)
            rows = lines.rstrip("\n").split("\n") if isinstance(lines, str) else lines
            first = 1 if isinstance(lines, str) else 2  # a table's first line names its columns
            names += [f"{path}, line {number}" for number, _ in enumerate(rows, start=first)]
            texts += rows
        else:
            names.append(argument)
            texts.append(argument)
    tokenizers = load_tokenizers(model)
    [tokenizer] = tokenizers.values()
    for name, text in zip(names, texts, strict=True):
        if strange := tokenizer.unknown(text):
            words = " ".join(map(repr, strange[:10]))
            output.progress.print(f"{name}: not in the vocabulary: {words}")
    return names, text_answers(load(model), tokenizers, np.array(texts))


def _is_file(path: Path) -> bool:
    """Return whether there is such a file; a long sentence is no name that one could have."""
    try:
        return path.is_file()
    except OSError:
        return False


def _column(path: Path, column: str | None, learned: str) -> list[str]:
    """Return the texts of a table."""
    from recipes.data.texts import only_text, read_text_rows
    from zoo.registry import unknown

    rows = read_text_rows(path)
    if column and column not in rows:
        raise unknown(column, rows.columns, f"column of {path}")
    name = column or (learned if learned in rows else only_text(rows, path, None))
    return [str(text) for text in rows[name]]


def _files(place: Path, pictures: bool) -> list[Path]:
    """Return a file, or the pictures or tables in a folder."""
    from recipes.data.images import may_be_picture

    if not place.is_dir():
        return [place]
    found = sorted(
        file
        for file in place.rglob("*")
        if file.is_file()
        and not file.name.startswith(".")
        and (may_be_picture(file) if pictures else file.suffix.lower() in {".csv", ".tsv"})
    )
    if not found:
        raise InputError(f"there are no {'pictures' if pictures else 'tables'} in {place}.")
    return found


def _inputs(model: str, card: "Card", files: list[Path]) -> tuple[list[str], "np.ndarray"]:
    import numpy as np

    if len(card.input.shape) == 3:
        from zoo.pictures import read_image

        shape = [n or 0 for n in card.input.shape]
        return [str(file) for file in files], np.stack([read_image(f, shape) for f in files])
    from recipes.data.tables import read_rows
    from recipes.inputs import encoder_of

    encoder = encoder_of(model)
    if encoder is None:
        raise InputError(f"{model!r} takes neither pictures nor the rows of a table.")
    names, arrays = [], []
    for file in files:
        rows = read_rows(file)
        for column, category in encoder.unknown_categories(rows):
            output.progress.print(f"{file}: {column!r} has the unknown category {category!r}")
        arrays.append(encoder.encode(rows))
        names += [f"{file}, line {line + 2}" for line in rows.index]
    return names, np.concatenate(arrays)


def _answer(card: "Card", values: "np.ndarray", top: int) -> dict[str, Any]:
    if card.task == "regression":
        return {"prediction": float(values[0])}
    labels = card.labels or [str(i) for i in range(len(values))]
    order = values.argsort()[::-1][:top]
    return {"classes": [{"label": labels[i], "probability": float(values[i])} for i in order]}


def _reconstructions(
    names: list[str], inputs: "np.ndarray", outputs: "np.ndarray", out: Path | None
) -> list[dict[str, Any]]:
    import numpy as np
    from PIL import Image

    from zoo.files import whole_file

    rows = []
    for number, (name, image, answer) in enumerate(zip(names, inputs, outputs, strict=True)):
        rows.append({"input": name, "mse": float(np.square(image / 255 - answer).mean())})
        if out:
            path = out / f"{Path(name).stem}-{number}.png"
            pixels = np.clip(answer * 255, 0, 255).round().astype("uint8").squeeze()
            with whole_file(path) as temporary:
                Image.fromarray(pixels).save(temporary)
            rows[-1]["reconstruction"] = str(path)
    return rows


def _words(row: dict[str, Any]) -> str:
    if "classes" in row:
        return ", ".join(f"{c['label']} {100 * c['probability']:.1f} %" for c in row["classes"])
    return ", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}"
                     for k, v in row.items() if k != "input")  # fmt: skip
