"""Models by name: load a pretrained one, look inside it."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo import cards, foreign, weights
from zoo.errors import InputError
from zoo.files import sha256_of
from zoo.registry import build, import_builders
from zoo.stages import is_feature

if TYPE_CHECKING:
    import keras

    from zoo.tokenizer import Tokenizer


def load(
    name: str | os.PathLike[str], *, classes: int | None = None, **arguments: Any
) -> "keras.Model":
    """Load a pretrained model, or the model of a run.

    The weights' hash is checked before a byte of them is read. Weights that do not come with this
    package are fetched once, and kept in a cache: see `zoo.weights.fetch`.

    Args:
        name: `str`, a name of `zoo.list_models(pretrained=True)`, or the path of a run.
        classes: `int`, gives the pretrained features a new, random head for so many classes.
            Default `None`: the model as it was trained.
        **arguments: for the builder, in place of those that the model was trained with: another
            `input_shape`, `include_top=False`, `classifier_activation=None`, another dropout.

    Returns:
        A functional `keras.Model` that takes raw inputs (uint8 images, physical units).

    Raises:
        InputError: an unknown name, a damaged card or weight file, weights that cannot be fetched
            or that do not fit a model with these arguments, or `classes` on a model whose head
            cannot be exchanged.

    Example:
        >>> import zoo
        >>> model = zoo.load("lenet5-mnist")
        >>> model.output_shape
        (None, 10)
        >>> zoo.load("lenet5-mnist", classes=5).output_shape
        (None, 5)
        >>> zoo.load("resnet20-fashion", input_shape=(64, 64, 1), include_top=False).output_shape
        (None, 64)
    """
    folder = weights.model_folder(name)
    card = cards.read(folder / cards.FILE)
    path = weights.fetch(card.weights, folder)
    if path.suffix == ".keras":
        model = load_file(path)
    else:
        model = built(card)
        if card.weights.form:
            foreign.load_weights(model, path, card.weights.form)
        else:
            model.load_weights(path)
    if arguments:
        model = _built_with(arguments, model, card)
    if classes is None:
        return model
    from zoo.surgery import with_head

    return with_head(model, classes, arguments.get("classifier_activation", "softmax"))


def built(card: cards.Card, **arguments: Any) -> "keras.Model":
    """Build the network that a card tells of, with random weights.

    Args:
        card: names an architecture.
        **arguments: for the builder, in place of the card's.
    """
    model = build(card.architecture, **{**card.arguments, **arguments})
    if not card.quantization:
        return model
    from zoo.quantization import quantization_aware, rounding

    return quantization_aware(model) if card.task == "control" else rounding(model)


def _built_with(arguments: dict[str, Any], model: "keras.Model", card: cards.Card) -> "keras.Model":
    """Return a model that the card's builder makes with other arguments, with the same weights."""
    words = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    if not card.architecture:
        raise InputError(f"{card.name!r} cannot be built with {words}: no builder makes its model.")
    try:
        result = built(card, **arguments)
    except (TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{card.name!r} cannot be built with {words}: {reason}") from error
    values = model.get_weights()
    if arguments.get("include_top") is False:  # the head's weights are the last
        values = values[: len(result.weights)]
    if [w.shape for w in result.weights] != [v.shape for v in values]:
        raise InputError(f"the weights of {card.name!r} do not fit a model with {words}.")
    result.set_weights(values)
    shape = model.inputs[0].shape[1:]
    resized = len(shape) == 3 and result.inputs[0].shape[1:] != shape
    if "input_shape" not in arguments and resized:
        from zoo.surgery import with_input_shape

        return with_input_shape(result, shape)  # a run's model resizes its pictures
    return result


def load_file(path: Path) -> "keras.Model":
    """Load a `.keras` file whose hash was checked.

    Raises:
        InputError: it holds a layer that nobody registered.
    """
    import keras

    import_builders()  # they register the layers that the file may name
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except (ValueError, TypeError) as error:
        raise InputError(f"{path} holds a layer that this zoo does not know: {error}") from None


def load_tokenizers(name: str | os.PathLike[str]) -> "dict[str, Tokenizer]":
    """Load how texts become the numbers that a model reads, and back.

    Args:
        name: `str`, a pretrained model's name, or the path of a run.

    Returns:
        The name of each of the model's inputs -> its `Tokenizer`; empty for a model that reads no
        text. Where several inputs have one vocabulary, it is one object.

    Raises:
        InputError: an unknown name, or a file that is missing or was changed.

    Example:
        >>> import zoo
        >>> tokenizer = zoo.load_tokenizers("lstm-shakespeare")["ids"]
        >>> tokenizer.decode(tokenizer.encode(["To be"]))
        ['To be']
    """
    folder = weights.model_folder(name)
    return read_tokenizers(folder, cards.read(folder / cards.FILE).tokenizers)


def read_tokenizers(
    folder: Path, files: "dict[str, cards.TokenizerFile]"
) -> "dict[str, Tokenizer]":
    """Read tokenizers whose names and hashes are known; see `load_tokenizers`."""
    if not files:
        return {}
    from zoo.tokenizer import Tokenizer

    loaded: dict[str, Tokenizer] = {}
    for entry in files.values():
        path = folder / entry.file
        if entry.file in loaded:
            continue
        if not path.is_file() or sha256_of(path) != entry.sha256:
            raise InputError(f"the vocabulary {path} is missing or damaged.")
        loaded[entry.file] = Tokenizer.load(path)
    return {name: loaded[entry.file] for name, entry in files.items()}


def write_tokenizers(
    tokenizers: "Mapping[str, Tokenizer]", folder: Path
) -> "dict[str, cards.TokenizerFile]":
    """Write the tokenizers of a model into a folder; one that all its inputs share, once.

    Args:
        tokenizers: name of each input -> its `Tokenizer`.
        folder: gets "tokenizer.json", or "INPUT-tokenizer.json" for each input.

    Returns:
        What `read_tokenizers` takes.
    """
    shared = len(set(map(id, tokenizers.values()))) == 1
    files = {}
    for name, tokenizer in tokenizers.items():
        file = "tokenizer.json" if shared else f"{name}-tokenizer.json"
        tokenizer.save(folder / file)
        files[name] = cards.TokenizerFile(file=file, sha256=sha256_of(folder / file))
    return files


def features(model: "keras.Model") -> "keras.Model":
    """Return a model of the named stage outputs, which shares the layers of `model`.

    Args:
        model: a model of the zoo; its stages are layers named "stage1" … "stageN", "pooled",
            "code".

    Returns:
        `keras.Model` from the same inputs to a `dict` of stage name -> tensor.

    Raises:
        InputError: the model names no stages.

    Example:
        >>> import zoo
        >>> stages = zoo.features(zoo.build("lenet5")).output
        >>> {name: tensor.shape for name, tensor in stages.items()}
        {'stage1': (None, 14, 14, 6), 'stage2': (None, 5, 5, 16)}
    """
    import keras

    stages = {layer.name: layer.output for layer in model.layers if is_feature(layer.name)}
    if not stages:
        raise InputError(f"the model {model.name!r} names no stages.")
    return keras.Model(model.input, stages, name=f"{model.name}_features")


def takes(model: "keras.Model", shape: Sequence[int]) -> bool:
    """Return whether a model takes inputs of a shape as it is; a side left open takes any."""
    own = model.inputs[0].shape[1:]
    return len(own) == len(shape) and all(
        side in (None, given) for side, given in zip(own, shape, strict=True)
    )
