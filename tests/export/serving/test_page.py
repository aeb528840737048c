"""The server's page in a browser: draw a digit, choose a picture, type a sentence."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from served import Served, serving

webdriver = pytest.importorskip("selenium.webdriver")
pytest.importorskip("uvicorn")
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.support.select import Select  # noqa: E402
from selenium.webdriver.support.wait import WebDriverWait  # noqa: E402

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (BROWSER and DRIVER), reason="Chromium and its driver are not here"),
]
SECONDS = 30


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    models = ["lenet5-mnist", "resnet20-cifar10", "lstm-polarity", "dqn-cartpole"]
    with serving(*models) as served:
        yield served


@pytest.fixture(scope="module")
def browser(server: Served) -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture
def page(browser: Any, server: Served) -> Any:
    """The page, freshly loaded."""
    browser.get(f"http://127.0.0.1:{server.port}/")
    WebDriverWait(browser, SECONDS).until(
        lambda b: len(Select(b.find_element(By.ID, "model")).options) == 4
    )
    return browser


def choose(page: Any, name: str) -> None:
    Select(page.find_element(By.ID, "model")).select_by_value(name)


def visible(page: Any) -> set[str]:
    sections = ("draw", "picture", "text", "numbers")
    return {name for name in sections if page.find_element(By.ID, name).is_displayed()}


def first_row(page: Any) -> tuple[str, float]:
    """Return the best class of the answer, and its percentage."""
    WebDriverWait(page, SECONDS).until(lambda b: b.find_elements(By.CSS_SELECTOR, "#answer tr"))
    cells = page.find_elements(By.CSS_SELECTOR, "#answer tr:first-child td")
    return cells[0].text, float(cells[1].text.removesuffix(" %"))


def test_a_digit_that_is_drawn_is_known(page: Any) -> None:
    choose(page, "lenet5-mnist")
    assert visible(page) == {"draw", "picture"}
    canvas = page.find_element(By.ID, "canvas")
    moves = ActionChains(page).move_to_element_with_offset(canvas, 0, -90).click_and_hold()
    for _ in range(6):
        moves.move_by_offset(0, 30)
    moves.release().perform()
    assert first_row(page)[0] == "1"
    page.find_element(By.ID, "clear").click()
    assert not page.find_element(By.ID, "answer").text


def test_a_picture_that_is_chosen_is_classified(page: Any, tmp_path: Path) -> None:
    from PIL import Image

    choose(page, "resnet20-cifar10")
    assert visible(page) == {"picture"}
    file = tmp_path / "noise.png"
    noise = np.random.default_rng(0).integers(0, 256, (40, 50, 3), "uint8")
    Image.fromarray(noise).save(file)
    page.find_element(By.ID, "file").send_keys(str(file))
    label, percent = first_row(page)
    assert label.isalpha()
    assert 10 <= percent <= 100
    assert len(page.find_elements(By.CSS_SELECTOR, "#answer tr")) == 10


def test_what_is_no_picture_is_refused_in_words(page: Any, tmp_path: Path) -> None:
    choose(page, "resnet20-cifar10")
    file = tmp_path / "broken.png"
    file.write_bytes(b"no picture")
    page.find_element(By.ID, "file").send_keys(str(file))
    WebDriverWait(page, SECONDS).until(lambda b: b.find_element(By.ID, "message").text)
    assert "as a picture" in page.find_element(By.ID, "message").text


def test_a_sentence_that_is_typed_is_judged(page: Any) -> None:
    choose(page, "lstm-polarity")
    assert visible(page) == {"text"}
    found = {}
    for sentence in ("a wonderful and touching film", "a dull and boring mess"):
        box = page.find_element(By.ID, "sentence")
        box.clear()
        box.send_keys(sentence)
        page.find_element(By.ID, "send").click()
        found[sentence] = first_row(page)[0]
    assert list(found.values()) == ["positive", "negative"]


def test_numbers_are_sent_as_they_are(page: Any) -> None:
    choose(page, "dqn-cartpole")
    assert visible(page) == {"numbers"}
    page.find_element(By.ID, "post").click()
    WebDriverWait(page, SECONDS).until(lambda b: b.find_element(By.ID, "answer").text)
    assert "ms, there and back" in page.find_element(By.ID, "answer").text


def test_the_page_asks_nobody_else_and_complains_of_nothing(page: Any, server: Served) -> None:
    asked = page.execute_script("return performance.getEntriesByType('resource').map(e => e.name)")
    assert asked
    assert all(address.startswith(f"http://127.0.0.1:{server.port}/") for address in asked)
    severe = [line for line in page.get_log("browser") if line["level"] == "SEVERE"]
    assert [
        x for x in severe if "favicon" not in x["message"] and ":predict" not in x["message"]
    ] == []
