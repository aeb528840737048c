"""Writes every generated part of README.md and docs/: tables, and the tour's real output.

    python docs/generate.py           tables from the cards
    python docs/generate.py --tour    run the commands of the tour first, and keep what they print

A part stands between `<!-- generated: NAME -->` and `<!-- end -->`.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import shipping
import tables

TABLES = tables.TABLES | shipping.TABLES
ROOT = Path(__file__).parents[1]
FILES = (ROOT / "README.md", ROOT / "docs" / "deploy.md")
TOUR = ROOT / "docs" / "tour"

COMMANDS = {
    "list": ["list", "*mnist*", "--pretrained"],
    "predict": ["predict", "lenet5-mnist", "docs/seven.png"],
    "quickstart": ["quickstart"],
    "translate": [
        "translate", "transformer-multi30k-de-en", "Ein Hund läuft im Schnee.", "--nbest", "3"
    ],
    "generate": ["generate", "gpt-shakespeare", "--prompt", "ROMEO:", "--length", "200"],
}  # fmt: skip


def tour(name: str) -> str:
    """Return a command of the tour with what it printed when it was last run."""
    words = " ".join(f'"{w}"' if "*" in w or " " in w else w for w in COMMANDS[name])
    output = (TOUR / f"{name}.txt").read_text().rstrip()
    return f"```console\n$ zoo {words}\n{output}\n```"


def take_the_tour() -> None:
    """Run the commands and keep their output."""
    for name, arguments in COMMANDS.items():
        with tempfile.TemporaryDirectory() as scratch:
            extra = ["--out", f"{scratch}/quickstart"] if name == "quickstart" else []
            result = subprocess.run(
                [sys.executable, "-m", "zoo", *arguments, *extra],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=True,
            )
            text = re.sub(r"^epoch (?!1/|15/).*\n", "", result.stdout, flags=re.MULTILINE)
            text = text.replace(f"{scratch}/", "runs/")
        TOUR.mkdir(exist_ok=True)
        (TOUR / f"{name}.txt").write_text("\n".join(li.rstrip() for li in text.splitlines()) + "\n")


def generated(text: str) -> str:
    """Return a file's text with every generated part made anew."""

    def part(match: re.Match[str]) -> str:
        name = match.group(1)
        content = TABLES[name]() if name in TABLES else tour(name)
        return f"<!-- generated: {name} -->\n{content}\n<!-- end -->"

    return re.sub(r"<!-- generated: (\w+) -->.*?<!-- end -->", part, text, flags=re.DOTALL)


if __name__ == "__main__":
    if "--tour" in sys.argv[1:]:
        take_the_tour()
    for file in FILES:
        file.write_text(generated(file.read_text()))
