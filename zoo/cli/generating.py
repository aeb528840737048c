"""`zoo generate`: texts of language models, pictures of generators and autoencoders."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo import cards
from zoo.cli import output, texts
from zoo.errors import InputError

if TYPE_CHECKING:
    import keras

    from zoo.cards import Card

_STEPS = 10  # pictures from one code to another
# Options that are for texts alone, and for pictures alone.
_OF_TEXTS = {"prompt": "", "length": 300, "temperature": 0.8, "top_k": 0, "top_p": 1.0}
_OF_PICTURES = {"out": None, "class": None, "interpolate": None}


def generate(
    model: Annotated[str, typer.Argument(help="A pretrained model, or the path of a run.")],
    prompt: Annotated[str, typer.Option(help="How the text begins.")] = "",
    length: Annotated[int, typer.Option(min=1, help="Tokens that are written.")] = 300,
    count: Annotated[
        int | None, typer.Option("--count", "--n", min=1, help="Number of texts or pictures.")
    ] = None,
    temperature: Annotated[
        float, typer.Option(help="Of the draws; 0 takes the likeliest token.")
    ] = 0.8,
    top_k: Annotated[int, typer.Option(help="Draw from the so many likeliest; 0: all.")] = 0,
    top_p: Annotated[
        float, typer.Option(help="Draw from the fewest that have this probability together.")
    ] = 1.0,
    class_: Annotated[
        str | None, typer.Option("--class", help="Of the pictures: name or number of a class.")
    ] = None,
    interpolate: Annotated[
        tuple[int, int] | None, typer.Option(help="Pictures between the codes of two seeds.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="PNG of the pictures.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the draws.")] = 0,
    json: output.Json = False,
) -> None:
    """Write on from a prompt, by a language model; or make pictures, by a generator."""
    card = cards.card(model)
    of_texts: dict[str, Any] = {
        "prompt": prompt,
        "length": length,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
    }
    of_pictures = {"out": out, "class": class_, "interpolate": interpolate}
    if card.task == "language_modeling":
        _refuse(of_pictures, _OF_PICTURES, f"{model!r} writes texts")
        texts.write_on(model, json=json, count=count or 1, seed=seed, **of_texts)
        return
    if card.task not in ("generation", "reconstruction"):
        raise InputError(f"{model!r} neither writes nor makes pictures: it is for {card.task}.")
    _refuse(of_texts, _OF_TEXTS, f"{model!r} makes pictures")
    if out is None:
        raise InputError("name the file that the pictures go to (--out grid.png).")
    if out.suffix.lower() != ".png":
        raise InputError(f"pictures are written as PNG: name a file that ends so, not {out}.")
    output.start_tensorflow()
    made = _pictures(model, card, count, seed, class_, interpolate)
    from recipes.adversarial.pictures import save_grid

    columns = _STEPS if interpolate else None
    save_grid(made, out, columns)
    facts = {"model": model, "pictures": len(made), "seed": seed, "out": str(out)}
    if json:
        output.emit(facts)
    else:
        output.plain(f"{out}: {len(made)} pictures of {made.shape[2]}×{made.shape[1]}")


def _pictures(
    model: str,
    card: "Card",
    count: int | None,
    seed: int,
    class_: str | None,
    interpolate: tuple[int, int] | None,
) -> Any:
    from recipes.adversarial import pictures

    generator = _generator(model, card)
    label = None if class_ is None else _number(class_, card)
    if interpolate is None:
        return pictures.generate(generator, count or 64, seed, label)
    if count or seed:
        raise InputError("the ten pictures between two seeds need neither --n nor --seed.")
    ways = pictures.interpolate(generator, interpolate, _STEPS, label)
    return ways.reshape(-1, *ways.shape[2:])


def _generator(model: str, card: "Card") -> "keras.Model":
    from zoo.dense.autoencoder import decoder
    from zoo.generative.vae import is_variational
    from zoo.models import load

    loaded = load(model)
    if card.task == "generation":
        return loaded
    if not is_variational(loaded):
        raise InputError(f"{model!r} has learned no distribution of codes that could be drawn.")
    return decoder(loaded)


def _number(name: str, card: "Card") -> int:
    """Return the number of a class that is given by its name or its number."""
    if name in card.labels:
        return card.labels.index(name)
    if name.isdecimal() and int(name) < len(card.labels):
        return int(name)
    known = f": its classes are {', '.join(card.labels)}" if card.labels else ": it has none"
    raise InputError(f"{card.name!r} knows no class {name!r}{known}.")


def _refuse(given: dict[str, Any], usual: dict[str, Any], why: str) -> None:
    """Refuse an option that has no meaning here."""
    for name, value in given.items():
        if value != usual[name]:
            raise InputError(f"{why}: --{name.replace('_', '-')} is not for it.")
