"""`zoo explain`: what in a picture a model answers to, as one sheet."""

from pathlib import Path
from typing import Annotated

import typer

from zoo.cli import output
from zoo.errors import InputError
from zoo.files import refuse_taken


def explain(
    model: Annotated[str, typer.Argument(help="A pretrained model, or the path of a run.")],
    picture: Annotated[Path, typer.Argument(help="A picture of any size and mode.")],
    target: Annotated[
        str | None, typer.Option(help="The class to explain; default: the model's answer.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The PNG file; default PICTURE-MODEL.png, here.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
    seed: Annotated[int, typer.Option(help="Of the picture made for the class.")] = 0,
    json: output.Json = False,
) -> None:
    """Show what in a picture a model answers to, and what its layers make of it."""
    from zoo import cards
    from zoo.registry import unknown

    card = cards.card(model)
    if card.task != "classification" or len(card.input.shape) != 3:
        raise InputError(f"{model!r} does not answer with classes to pictures: nothing to explain.")
    shape = [n or 0 for n in card.input.shape]
    if 0 in shape:
        raise InputError(f"{model!r} takes pictures of any size: give it one size first.")
    labels = card.labels
    if target is not None and target not in labels:
        raise unknown(target, labels, "class")
    place = out or Path(f"{picture.stem}-{Path(model).name or 'model'}.png")
    if place.suffix.lower() != ".png":
        raise InputError(f"the sheet is a PNG file: name it so, not {place} (--out).")
    if place.is_dir():
        raise InputError(f"{place} is a folder: name a file (--out).")
    if place.exists() and place.samefile(picture):
        raise InputError(f"{place} is the picture itself: name another place (--out).")
    refuse_taken(place, overwrite)
    if not picture.is_file():
        raise InputError(f"there is no picture at {picture}.")
    output.start_tensorflow()
    from recipes.explanation import explain as look
    from zoo.models import load
    from zoo.pictures import read_image

    image = read_image(picture, shape)
    with output.progress.status(f"looking into {model}"):
        number = None if target is None else labels.index(target)
        found = look(load(model), image, number, seed)
        found.draw(place, labels)
    order = found.probabilities.argsort()[::-1][:3]
    classes = [{"label": labels[i], "probability": float(found.probabilities[i])} for i in order]
    if json:
        output.emit(
            {
                "model": model,
                "picture": str(picture),
                "classes": classes,
                "target": labels[found.target],
                "layer": found.layer or None,
                "out": str(place),
            }
        )
        return
    answer = ", ".join(f"{c['label']} {100 * c['probability']:.1f} %" for c in classes)
    output.out.print(f"{picture}: {answer}")
    output.out.print(f"{place}: why {labels[found.target]}")
