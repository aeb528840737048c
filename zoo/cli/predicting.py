"""`zoo predict`: answers for pictures of any size and mode, and for the rows of a table."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.cli import output
from zoo.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from zoo.cards import Card


def predict(
    model: Annotated[str, typer.Argument(help="A pretrained model, or the path of a run.")],
    files: Annotated[list[Path], typer.Argument(help="Pictures, folders of them, or .csv files.")],
    top: Annotated[int, typer.Option(min=1, help="How many classes to show.")] = 3,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the pictures of an autoencoder.")
    ] = None,
    json: output.Json = False,
) -> None:
    """Answer for pictures, or for the rows of a table."""
    from zoo import cards

    card = cards.card(model)
    if out and card.task != "reconstruction":
        raise InputError(f"--out is for pictures that a model makes; {model!r} does none.")
    missing = next((file for file in files if not file.exists()), None)
    if missing:
        raise InputError(f"there is no file {missing}.")
    output.start_tensorflow()
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
    if json:
        output.emit(rows)
    else:
        output.table("", ("input", "answer"), [(row["input"], _words(row)) for row in rows])


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
        from recipes.data.images import read_image

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
