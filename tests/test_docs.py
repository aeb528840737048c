"""The documentation is true: examples run, tables are those of the cards."""

import doctest
import importlib
import importlib.util
import pkgutil
import re
import sys
from pathlib import Path

import msgspec
import pytest

import export
import recipes
import zoo
from zoo.cli import run as zoo_command

ROOT = Path(__file__).parents[1]
MODULES = sorted(
    module.name
    for package in (zoo, recipes, export)
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    if not module.name.endswith("__main__")
)


@pytest.mark.parametrize("name", [*MODULES, "zoo", "recipes", "export"])
def test_examples_run(name: str) -> None:
    module = importlib.import_module(name)
    assert doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE).failed == 0


def test_every_public_function_has_an_example() -> None:
    for package in (zoo, recipes, export):
        for name in package.__all__:
            thing = getattr(package, name)
            if callable(thing) and not isinstance(thing, type) and name != "check":
                assert ">>>" in thing.__doc__, f"{package.__name__}.{name}"


PAGES = sorted(
    path.name for path in (ROOT / "docs").glob("*.md") if "```python" in path.read_text()
)


@pytest.mark.parametrize("page", PAGES)
def test_the_code_of_a_page_runs(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "docs")  # a page uses the scripts that lie beside it
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / page).read_text(), re.M | re.S)
    test = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, page, None, None)
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0


def generator():
    sys.path.insert(0, str(ROOT / "docs"))  # its tables lie beside it
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_readme_and_docs_are_what_was_measured() -> None:
    module = generator()
    for file in module.FILES:
        text = file.read_text()
        assert module.generated(text) == text, file.name


def test_no_file_is_named_where_all_lose_more_than_a_point(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module, card = generator(), zoo.card("lenet5-mnist")
    poor = [msgspec.structs.replace(r, reference=1.0, value=0.98) for r in card.exports]
    poorer = msgspec.structs.replace(card, exports=poor)
    monkeypatch.setattr(zoo, "list_models", lambda **_: ["lenet5-mnist"])
    for shown, end in ((card, "by `tf.function`) |"), (poorer, "|  |")):
        monkeypatch.setattr(zoo, "card", lambda name, shown=shown: shown)
        assert module.TABLES["pretrained"]().splitlines()[2].endswith(end)


def test_readme_quotes_no_accuracy_of_its_own() -> None:
    text = (ROOT / "README.md").read_text()
    prose = re.sub(r"<!-- generated: \w+ -->.*?<!-- end -->", "", text, flags=re.DOTALL)
    assert not re.search(r"\d\s?%|\d+\.\d+\s?ms", prose)


def test_the_catalog_names_papers_and_sections() -> None:
    from zoo.catalog import ROWS

    for row in ROWS:
        assert row.link.startswith("https://")
        assert re.fullmatch(r"\d\.\d", row.section)
        assert 1800 < row.year < 2027


def test_the_tour_shows_the_list_as_it_is_now(capsys: pytest.CaptureFixture[str]) -> None:
    assert zoo_command(["list", "*mnist*", "--pretrained"]) == 0
    printed = [line.rstrip() for line in capsys.readouterr().out.rstrip().splitlines()]
    kept = (ROOT / "docs" / "tour" / "list.txt").read_text().rstrip().splitlines()
    assert printed == [line.rstrip() for line in kept]
