"""From a finished run to a packaged model: weights, and a card with its exports' parity."""

import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from zoo import cards
from zoo.cli import output
from zoo.errors import InputError
from zoo.files import sha256_of, whole_folder
from zoo.models import built

if TYPE_CHECKING:
    import keras
    import numpy as np

    from export.parity import Samples
    from recipes import Run
    from recipes.adversarial import AdversarialRun
    from recipes.control import ControlRun
    from zoo.tokenizer import Tokenizer

WEIGHTS = "model.weights.h5"


def package(run: "Run", name: str, target: Path) -> cards.Card:
    """Write `target/NAME/card.json` and `target/NAME/model.weights.h5`.

    The weights are stored in half precision where validation stays the same to a thousandth. Every
    figure of the card is measured on the weights as they are stored. A model that learned from
    mirrored pictures is also measured with them, as test-time augmentation; one that learned from
    moved ones as well, with both.
    """
    from export.exporting import kept_samples
    from recipes.evaluation import MAIN_METRIC, measure
    from recipes.supervised import data_of
    from recipes.text_evaluation import signature_of
    from zoo.models import write_tokenizers
    from zoo.surgery import same_form

    card = run.card
    data = data_of(run.config.recipe, run)
    if data.limited(run.config.recipe.examples).fingerprint != run.config.dataset.fingerprint:
        raise InputError(
            f"{data.source!r} has changed since {run.path} learned from it: train it again."
        )
    model = run.load()
    stored = built(card) if card.architecture else None
    if stored is None or not same_form(stored, model):
        raise InputError(
            f"{name!r} cannot be packaged: no builder of the catalog makes its model. One that was "
            "fine-tuned must be of the catalog, and learn from pictures of its own size."
        )
    stored.set_weights(model.get_weights())
    model = stored
    with whole_folder(target / name, overwrite=True) as folder:
        path = folder / WEIGHTS
        main = MAIN_METRIC[card.task]
        half = _rounded(model)
        before, after = (
            measure(x, data.validation, card.task, tokenizers=data.tokenizers, decode=False)
            for x in (model, half)
        )
        # An accuracy would jump by whole examples.
        smooth = "cross_entropy" if "cross_entropy" in before else main
        if math.isclose(before[smooth], after[smooth], rel_tol=1e-3):
            half.save_weights(path)
            _store_halved(path)
        else:
            model.save_weights(path)
        stored.load_weights(path)
        splits = {"validation": data.validation, "test": data.test}
        views = _views(run.config.recipe.augment) if card.task == "classification" else []
        metrics = [
            cards.Metric(
                name=key,
                split=split,
                value=value,
                examples=len(examples),
                signature=signature_of(key),
            )
            for split, examples in splits.items()
            for augment in ("", *views)
            for key, value in sorted(
                measure(stored, examples, card.task, augment, data.tokenizers).items(),
                key=lambda item: item[0] != main,
            )
        ]
        samples = kept_samples(run.path, card.task)
        calibration = kept_samples(run.path, card.task, "calibration")
        inputs = calibration[0] if calibration else None
        exports = parity_of(stored, card, samples, inputs, data.tokenizers) if samples else []
        result = msgspec.structs.replace(
            card,
            name=name,
            weights=cards.Weights(file=WEIGHTS, bytes=path.stat().st_size, sha256=sha256_of(path)),
            metrics=metrics,
            exports=exports,
            tokenizers=write_tokenizers(data.tokenizers, folder),
        )
        cards.write(result, folder / cards.FILE)
    return result


def package_agent(run: "ControlRun", name: str, target: Path) -> cards.Card:
    """Write `target/NAME/card.json` and `target/NAME/model.weights.h5` of an agent.

    The weights are stored in half precision where all that was observed is answered with the same
    actions. Every figure of the card is measured on the weights as they are stored.
    """
    import numpy as np

    from export.exporting import kept_samples
    from recipes.control import play
    from recipes.control.policy import greedy

    card, model = run.card, run.load()
    stored = built(card)
    stored.set_weights(model.get_weights())
    samples = kept_samples(run.path, card.task)
    calibration = kept_samples(run.path, card.task, "calibration")
    if samples is None or calibration is None:
        raise InputError(f"{run.path} has lost its samples: train it again.")
    with whole_folder(target / name, overwrite=True) as folder:
        path = folder / WEIGHTS
        half = _rounded(stored)
        observations = np.asarray(samples[0])
        same = np.array_equal(greedy(stored)(observations), greedy(half)(observations))
        (half if same else stored).save_weights(path)
        if same:
            _store_halved(path)
        stored.load_weights(path)
        recipe = run.config.recipe
        found = play(
            stored,
            recipe.environment,
            recipe.test_episodes,
            options=recipe.environment_options,
        )
        result = msgspec.structs.replace(
            card,
            name=name,
            weights=cards.Weights(file=WEIGHTS, bytes=path.stat().st_size, sha256=sha256_of(path)),
            metrics=[
                cards.Metric(name=key, split="test", value=value, examples=recipe.test_episodes)
                for key, value in found.items()
            ],
            exports=parity_of(stored, card, samples, calibration[0]),
        )
        cards.write(result, folder / cards.FILE)
    return result


def package_generator(run: "AdversarialRun", name: str, target: Path) -> cards.Card:
    """Write `target/NAME/card.json` and `target/NAME/model.weights.h5` of a generator.

    The weights are stored in half precision: what is made is rounded to 256 levels. Every figure of
    the card is measured on the weights as they are stored.
    """
    from export.exporting import kept_samples
    from recipes.adversarial.finishing import figures_of
    from recipes.data.pictures import load_pictures

    card, recipe = run.card, run.config.recipe
    data = load_pictures(recipe.data, recipe.shape or None, **recipe.data_options)
    if data.fingerprint != run.config.dataset.fingerprint:
        raise InputError(
            f"{data.source!r} has changed since {run.path} learned from it: train it again."
        )
    stored = built(card)
    stored.set_weights(run.load().get_weights())
    samples = kept_samples(run.path, card.task)
    calibration = kept_samples(run.path, card.task, "calibration")
    if samples is None or calibration is None:
        raise InputError(f"{run.path} has lost its samples: train it again.")
    with whole_folder(target / name, overwrite=True) as folder:
        path = folder / WEIGHTS
        _rounded(stored).save_weights(path)
        _store_halved(path)
        stored.load_weights(path)
        _, metrics = figures_of(stored, data, recipe)
        result = msgspec.structs.replace(
            card,
            name=name,
            weights=cards.Weights(file=WEIGHTS, bytes=path.stat().st_size, sha256=sha256_of(path)),
            metrics=metrics,
            exports=parity_of(stored, card, samples, calibration[0]),
        )
        cards.write(result, folder / cards.FILE)
    return result


def _views(augment: dict[str, float]) -> list[str]:
    """Return the test-time augmentations whose views the model has learned from."""
    if "flip" not in augment:
        return []
    return ["flip", "flip+shift"] if "crop" in augment else ["flip"]


def parity_of(
    model: "keras.Model",
    card: cards.Card,
    samples: "Samples",
    calibration: "np.ndarray | dict[str, np.ndarray] | None",
    tokenizers: "Mapping[str, Tokenizer] | None" = None,
) -> list[cards.ParityReport]:
    """Export a model in every form, and compare each with it; nothing is judged.

    Args:
        model: the model.
        card: names its task and its labels.
        samples: inputs and targets (or `None`) to compare on.
        calibration: inputs for "int8".
        tokenizers: of a model that reads text.
    """
    import export
    from export.formats import ROWS
    from export.parts import PARTS

    reports = []
    forms = [
        (part, row.name, quantization)
        for part in ("", *(PARTS if card.task == "reconstruction" else ()))
        for row in ROWS
        if not row.extra  # `zoo benchmark` has the others
        for quantization in (row.of_texts if tokenizers else row.quantizations)
        if not (card.quantization and quantization == "int4")  # LiteRT refuses it, for int8
    ]
    with tempfile.TemporaryDirectory() as scratch:
        for part, format, quantization in forms:
            output.progress.print(f"exporting {card.name} {part} as {format} {quantization}")
            artifact = export.export(
                model,
                Path(scratch) / f"{part}-{format}-{quantization}",
                format,
                quantization,
                part=part,
                samples=samples,
                calibration=calibration,
                labels=list(card.labels),
                task=card.task,
                tolerance=math.inf,
                max_drop=math.inf,
                tokenizers=tokenizers,
            )
            reports += [artifact.parity] if artifact.parity else []
    return reports


def _rounded(model: "keras.Model") -> "keras.Model":
    """Return a copy whose weights are rounded to half precision."""
    from zoo.surgery import copy

    result = copy(model)
    result.set_weights([w.astype("float16").astype("float32") for w in model.get_weights()])
    return result


def _store_halved(path: Path) -> None:
    """Write a weight file again with every float32 array in half precision."""
    import h5py

    old = path.with_name("full.weights.h5")
    path.replace(old)
    with h5py.File(old) as source, h5py.File(path, "w") as target:

        def add(name: str, item: h5py.Group | h5py.Dataset) -> None:
            if isinstance(item, h5py.Dataset):
                value = item[()]
                single = getattr(value, "dtype", None) == "float32"
                target[name] = value.astype("float16") if single else value
            else:
                target.require_group(name)
            target[name].attrs.update(item.attrs)

        source.visititems(add)
        target.attrs.update(source.attrs)
    old.unlink()
