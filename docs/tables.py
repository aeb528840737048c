"""The tables of README.md, each from what was measured or from what the code says."""

from pathlib import Path
from urllib.parse import urlsplit

import pandas as pd

import zoo
from zoo.catalog import ROWS
from zoo.cli.output import figure, size

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"


def pretrained() -> str:
    """Return the table of the packaged models."""
    caveats: dict[str, list[str]] = {}
    rows = [
        "| model | parameters | test metric | published | smallest LiteRT file within one point |",
        "|---|---|---|---|---|",
    ]
    for name in zoo.list_models(pretrained=True):
        card = zoo.card(name)
        metric, reference = card.metric(), card.reference
        if metric is None or card.tokenizers or card.task in ("control", "generation"):
            continue  # measured by nobody here; or in another table
        published = ""
        if reference:
            published = f"{figure(reference.metric, reference.value)} ({reference.source})"
        measured = [
            m for m in card.metrics if m.split == "test" and m.name.split(" (")[0] == metric.name
        ]  # once plainly, and once for each test-time augmentation
        if card.dataset.caveat:
            caveats.setdefault(f"{card.dataset.source}: {card.dataset.caveat}", []).append(name)
        values = ", ".join(
            figure(metric.name, m.value) + m.name.removeprefix(metric.name) for m in measured
        )
        small = [
            r
            for r in card.exports
            if r.quantization in ("int8", "dynamic")
            and not r.part
            and 100 * ((r.reference or 0) - (r.value or 0)) <= 1
        ]
        file = ""
        if small:
            best = min(small, key=lambda r: r.bytes)
            file = (
                f"{best.quantization}: {size(best.bytes)} bytes, "
                f"{best.metric} {figure(best.metric, best.value)}, "
                f"{best.milliseconds:.3f} ms ({best.reference_milliseconds:.2f} by `tf.function`)"
            )
        rows.append(
            f"| `{name}` | {size(card.parameters.trainable + card.parameters.non_trainable)} | "
            f"{metric.name} {values} of {size(metric.examples)} | {published} | {file} |"
        )
    notes = [
        f"- {caveat} ({', '.join(f'`{n}`' for n in names)})" for caveat, names in caveats.items()
    ]
    return "\n".join([*rows, "", "What to know of the data behind these figures:", "", *notes])


def texts() -> str:
    """Return the table of the packaged models that read text."""
    rows = [
        "| model | parameters, bytes | learned from | test figures | published | "
        "LiteRT, int8 weights |",
        "|---|---|---|---|---|---|",
    ]
    signatures: dict[str, str] = {}
    for name in zoo.list_models(pretrained=True):
        card = zoo.card(name)
        if not card.tokenizers:
            continue
        shown = [m for m in card.metrics if m.split == "test"][:4]
        values = ", ".join(f"{m.name} {figure(m.name, m.value)}" for m in shown)
        own = card.metric("cross_entropy", "validation")
        if card.task == "language_modeling" and own:
            values += f"; of validation {figure(own.name, own.value)}"
        signatures |= {m.name: m.signature for m in card.metrics if m.signature}
        [small] = [r for r in card.exports if r.quantization == "dynamic"]
        reference = card.reference
        published = ""
        if reference:
            published = f"{figure(reference.metric, reference.value)} ({reference.source})"
        rows.append(
            f"| `{name}` | {size(card.parameters.trainable)}, {size(card.weights.bytes)} | "
            f"{card.dataset.source} | {values} | {published} | {size(small.bytes)} bytes, "
            f"{small.metric} {figure(small.metric, small.value)} "
            f"({figure(small.metric, small.reference)} in Keras; of {size(small.examples)}), "
            f"{small.milliseconds:.1f} ms |"
        )
    notes = [f"- {metric}: `{signature}`" for metric, signature in signatures.items()]
    return "\n".join([*rows, "", *notes])


def agents() -> str:
    """Return the table of the packaged agents."""
    rows = [
        "| model | parameters, bytes | learned in | steps, seconds | return of test episodes | "
        "LiteRT, int8 |",
        "|---|---|---|---|---|---|",
    ]
    for name in zoo.list_models(task="control", pretrained=True):
        card = zoo.card(name)
        mean, deviation = (card.metric(m) for m in ("return", "return_deviation"))
        [file] = [r for r in card.exports if (r.format, r.quantization) == ("litert", "int8")]
        rows.append(
            f"| `{name}` | {size(card.parameters.trainable)}, {size(card.weights.bytes)} | "
            f"{card.dataset.source} | {size(card.dataset.examples['train'])}, "
            f"{card.training.seconds:.0f} | {mean.value:.1f} ± {deviation.value:.1f} of "
            f"{mean.examples} | {size(file.bytes)} bytes, {file.agreement:.2%} of "
            f"{size(file.examples)} actions, {file.milliseconds:.3f} ms "
            f"({file.reference_milliseconds:.2f} by `tf.function`) |"
        )
    return "\n".join(rows)


def generators() -> str:
    """Return the table of the packaged generators."""
    table = pd.read_csv(RESULTS / "adversaries.csv")
    dense = table[table["contender"].str.startswith("dense")]
    plain = dense.groupby("data")["distance"].mean()
    rows = [
        "| model | parameters, bytes | learned from | epochs, seconds | feature distance (floor; "
        "dense GAN) | precision, recall | least and most of a class | LiteRT, int8 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    signatures = []
    for name in zoo.list_models(task="generation", pretrained=True):
        card = zoo.card(name)
        values = {m.name: m.value for m in card.metrics}
        signatures += [m.signature for m in card.metrics[:1]]
        [file] = [r for r in card.exports if (r.format, r.quantization) == ("litert", "int8")]
        told = f", {values['recognised']:.2%} recognised" if "recognised" in values else ""
        rows.append(
            f"| `{name}` | {size(card.parameters.trainable)}, {size(card.weights.bytes)} | "
            f"{card.dataset.source} | {card.training.epochs}, {card.training.seconds:.0f} | "
            f"{values['feature_distance']:.2f} ({values['feature_distance_floor']:.2f}; "
            f"{plain[card.dataset.source]:.2f}) | {values['precision']:.2f}, "
            f"{values['recall']:.2f} | {values['least_class_share']:.1%}, "
            f"{values['most_class_share']:.1%}{told} | {size(file.bytes)} bytes, "
            f"R² {file.agreement:.4f}, {file.milliseconds:.3f} ms "
            f"({file.reference_milliseconds:.2f} by `tf.function`) |"
        )
    return "\n".join([*rows, "", *(f"- {line}" for line in dict.fromkeys(signatures))])


def adversaries() -> str:
    """Return the table of the losses of adversaries, from benchmarks/results/adversaries.csv."""
    table = pd.read_csv(RESULTS / "adversaries.csv")
    rows = [
        "| loss | data, epochs | updates of the generator | feature distance of each seed | "
        "floor | classes covered | least and most of a class | seconds, median |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for contender, found in table.groupby("contender", sort=False):
        one = found.iloc[0]
        distances = ", ".join(f"{value:.2f}" for value in found["distance"])
        rows.append(
            f"| {contender} | {one['data']}, {one['epochs']} | {size(int(one['updates']))} | "
            f"{distances} | {found['floor'].mean():.2f} | "
            f"{', '.join(map(str, found['covered_classes']))} | {found['least_share'].min():.1%}, "
            f"{found['most_share'].max():.1%} | {found['seconds'].median():.0f} |"
        )
    return "\n".join(rows)


def gan_speed() -> str:
    """Return the table of adversaries' training speeds, from benchmarks/results/gan.csv."""
    table = pd.read_csv(RESULTS / "gan.csv").set_index(["method", "precision", "contender"])
    names = {"dcgan": "DCGAN", "wgan_gp": "WGAN-GP"}
    ways = {"zoo": "ours", "torch": "PyTorch", "torch-compile": "`torch.compile`"}
    rates = table["pictures_per_second"]
    rows = [
        f"| pictures a second | {' | '.join(ways.values())} | times the faster of PyTorch's |",
        "|---|" + "---|" * (len(ways) + 1),
    ]
    for (method, precision), part in rates.groupby(level=[0, 1], sort=False):
        found = part.droplevel([0, 1])
        figures = [f"{found[way]:.0f}" if way in found else "" for way in ways]
        times = table.loc[(method, precision, "zoo"), "times_torch"]
        rows.append(f"| {names[method]}, {precision} | {' | '.join(figures)} | {times:.2f} |")
    return "\n".join(rows)


def control() -> str:
    """Return the table of what recipes of control earn, from benchmarks/results/control.csv."""
    table = pd.read_csv(RESULTS / "control.csv")
    rows = [
        "| recipe, trainer | seeds | steps | return, mean of each seed's | seconds |",
        "|---|---|---|---|---|",
    ]
    for (recipe, trainer), found in table.groupby(["recipe", "trainer"], sort=False):
        means = ", ".join(f"{value:.1f}" for value in found["return"])
        seconds = f"{found['seconds'].min():.0f} to {found['seconds'].max():.0f}"
        episodes = int(found["episodes"].max())
        rows.append(
            f"| `{recipe}`, {trainer} | {len(found)} | {size(int(found['steps'].max()))} | "
            f"{found['return'].mean():.1f} ({means}), of {episodes} episodes each | "
            f"{seconds} |"
        )
    return "\n".join(rows)


def control_speed() -> str:
    """Return the table of DQN's speed beside its peers, from benchmarks/results/dqn.csv."""
    table = pd.read_csv(RESULTS / "dqn.csv")
    names = {
        "compiled": "compiled blocks",
        "tf_agents": "tf-agents",
        "sb3": "Stable-Baselines3",
        "sb3-8": "Stable-Baselines3",
        "cleanrl": "a loop as CleanRL's",
    }
    rates = table.groupby("contender", sort=False)["steps_per_second"].mean()
    rows = ["| CartPole-v1 | environments | steps a second | seconds |", "|---|---|---|---|"]
    for contender, found in table.groupby("contender", sort=False):
        rows.append(
            f"| {names[contender]} | {int(found['environments'].max())} | {rates[contender]:.0f} | "
            f"{found['seconds'].mean():.1f} |"
        )
    return "\n".join(rows)


def architectures() -> str:
    """Return the table of the architectures, a row for each builder."""
    rows = ["| architectures, with their trainable parameters | paper |", "|---|---|"]
    for row in ROWS:
        variants = ", ".join(f"`{n}` {size(v.trainable)}" for n, v in row.variants.items())
        rows.append(f"| {variants} | [{row.paper}]({row.link}), {row.year} |")
    return "\n".join(rows)


def published() -> str:
    """Return the table of the models whose weights others trained."""
    rows = [
        "| model | parameters | ImageNet top-1, as published | weights from |",
        "|---|---|---|---|",
    ]
    for name in zoo.list_models(pretrained=True):
        card = zoo.card(name)
        if card.metric() is not None or card.reference is None:
            continue
        url = card.weights.url or ""
        source = f"the extra `{card.weights.extra}`" if card.weights.extra else urlsplit(url).netloc
        rows.append(
            f"| `{name}` | {size(card.parameters.trainable + card.parameters.non_trainable)} | "
            f"{figure(card.reference.metric, card.reference.value)} | {source} |"
        )
    return "\n".join(rows)


def speed() -> str:
    """Return the table of training speeds, from benchmarks/results/train_vision.csv."""
    table = pd.read_csv(RESULTS / "train_vision.csv")
    measured = table.set_index(["model", "precision", "contender"])
    ways = {
        "recipe": "our recipe",
        "keras": "Keras `fit`",
        "torch": "PyTorch",
        "torch-compile": "`torch.compile`",
    }
    rows = [
        f"| images a second | {' | '.join(ways.values())} | our share of the peak |",
        "|---|" + "---|" * (len(ways) + 1),
    ]
    for (model, precision), found in measured.groupby(["model", "precision"], sort=False):
        found = found.droplevel(["model", "precision"])
        figures = [f"{found.loc[way, 'images_per_second']:.1f}" for way in ways]
        share = found.loc["recipe", "share_of_peak"]
        rows.append(f"| {model}, {precision} | {' | '.join(figures)} | {share:.0%} |")
    return "\n".join(rows)


def sequence_speed() -> str:
    """Return the table of training speeds on text, from benchmarks/results/train_sequence.csv."""
    table = pd.read_csv(RESULTS / "train_sequence.csv")
    ways = {
        "zoo": "our recipe",
        "keras": "Keras `fit`",
        "torch": "PyTorch",
        "torch-compile": "`torch.compile`",
    }
    measured = table.set_index(["model", "precision", "dropout", "contender"])
    rows = [f"| sequences a second | {' | '.join(ways.values())} |", "|---|" + "---|" * len(ways)]
    for key, found in measured.groupby(["model", "precision", "dropout"], sort=False):
        model, precision, dropout = key
        rates = found.droplevel(["model", "precision", "dropout"])["sequences_per_second"]
        figures = [f"{rates[way]:.0f}" if way in rates else "" for way in ways]
        rows.append(f"| {model}, {precision}, dropout {dropout:g} | {' | '.join(figures)} |")
    return "\n".join(rows)


def decoding_speed() -> str:
    """Return the table of decoding speeds, shortest and longest, from results/decode.csv."""
    table = pd.read_csv(RESULTS / "decode.csv")
    table = table[table["length"].isin([table["length"].min(), table["length"].max()])]
    ways = {
        "cache": "ours",
        "cache-xla": "ours, by XLA",
        "prefix": "the prefix again",
        "transformers": "Hugging Face",
    }
    measured = table.set_index(["search", "batch", "length", "contender"])["tokens_per_second"]
    rows = [f"| tokens a second | {' | '.join(ways.values())} |", "|---|" + "---|" * len(ways)]
    for key, found in measured.groupby(["search", "batch", "length"], sort=False):
        search, batch, length = key
        rates = found.droplevel(["search", "batch", "length"])
        figures = [f"{rates[way]:.0f}" if way in rates else "" for way in ways]
        sources = "1 source" if batch == 1 else f"{batch} sources"
        rows.append(f"| {search}, {sources}, {length} tokens | {' | '.join(figures)} |")
    return "\n".join(rows)


def imbalance() -> str:
    """Return the table of ways to learn from unbalanced classes, each against "none"."""
    table = pd.read_csv(RESULTS / "imbalance.csv")
    recalls = [name for name in table if name.startswith("recall ")]  # the rarest class comes last
    rows = [
        f"| method | balanced accuracy, {table['seed'].nunique()} seeds | against none | "
        f"recall of the commonest class ({recalls[0][7:]}) | of the rarest ({recalls[-1][7:]}) |",
        "|---|---|---|---|---|",
    ]
    by_seed = table.pivot_table("balanced_accuracy", "seed", "method")
    for method, found in table.groupby("method", sort=False):
        gains = 100 * (by_seed[method] - by_seed["none"])
        gain = "" if method == "none" else f"{gains.mean():+.1f} ± {gains.std():.1f} points"
        balanced = 100 * found["balanced_accuracy"]
        common, rare = (f"{100 * found[recalls[end]].mean():.1f} %" for end in (0, -1))
        rows.append(
            f"| {method} | {balanced.mean():.1f} ± {balanced.std():.1f} % | {gain} | {common} | "
            f"{rare} |"
        )
    return "\n".join(rows)


def learning_curve() -> str:
    """Return the table of fine-tuning with few and many pictures: a row for each start."""
    table = pd.read_csv(RESULTS / "learning_curve.csv")
    found = table.pivot_table("accuracy", "start", "per_class", sort=False)
    rows = [
        f"| start | {' | '.join(f'{n} a class' for n in found.columns)} |",
        "|---|" + "---|" * len(found.columns),
    ]
    for start, values in found.iterrows():
        rows.append(f"| {start} | {' | '.join(f'{100 * v:.1f} %' for v in values)} |")
    return "\n".join(rows)


def five_ways() -> str:
    """Return the table of MNIST by linear ways beside the book's, from results/five_ways.csv."""
    table = pd.read_csv(RESULTS / "five_ways.csv")
    rows = [
        "| way | classifiers | test accuracy | book, Table 3.1 | difference in points |",
        "|---|---|---|---|---|",
    ]
    rows += [
        f"| {row.way} | {row.classifiers} | {100 * row.accuracy:.2f} % | {100 * row.book:.2f} % | "
        f"{100 * row.difference:+.2f} |"
        for row in table.itertuples()
    ]
    return "\n".join(rows)


def searches() -> str:
    """Return how soon each search finds what is good, from benchmarks/results/tuning.csv."""
    table = pd.read_csv(RESULTS / "tuning.csv")
    counts = [name for name in table if name.startswith("best_")]
    means = table.groupby("contender")[counts].mean().sort_values("best_20")
    rows = [
        "| search | " + " | ".join(f"after {name[5:]}" for name in counts) + " |",
        "|---" * (len(counts) + 1) + "|",
    ]
    for contender, row in means.iterrows():
        cells = ("" if pd.isna(value) else f"{value:.4f}" for value in row)
        rows.append(f"| {contender} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def clusters() -> str:
    """Return the table of MNIST by k-means, from benchmarks/results/clusters.csv."""
    table = pd.read_csv(RESULTS / "clusters.csv")
    rows = ["| clusters | purity | adjusted Rand index |", "|---|---|---|"]
    rows += [
        f"| {row.clusters} | {row.purity:.3f} | {row.adjusted_rand_index:.3f} |"
        for row in table.itertuples()
    ]
    return "\n".join(rows)


TABLES = {
    "pretrained": pretrained,
    "published": published,
    "texts": texts,
    "agents": agents,
    "generators": generators,
    "adversaries": adversaries,
    "gan_speed": gan_speed,
    "control": control,
    "control_speed": control_speed,
    "architectures": architectures,
    "speed": speed,
    "sequence_speed": sequence_speed,
    "decoding_speed": decoding_speed,
    "imbalance": imbalance,
    "learning_curve": learning_curve,
    "five_ways": five_ways,
    "searches": searches,
    "clusters": clusters,
}
