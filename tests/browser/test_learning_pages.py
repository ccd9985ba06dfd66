"""The pages of a snapshot, a run and its judgement, as real work fills them: by keyboard alone, and how they look."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import Complaints, sign_in
from tests.browser.test_looks import SCREENSHOTS, barriers, overflow
from tests.photo_folders import write_folder
from tests.service import RunningService, wait_until
from tests.system.commands import manage
from tests.system.rows import query

pytestmark = [pytest.mark.browser, pytest.mark.service, pytest.mark.slow]
Visit = Callable[..., Page]
PAGES = {
    "snapshot": ("training/datasetsnapshot", "training_datasetsnapshot"),
    "run": ("training/trainingrun", "training_trainingrun"),
    "judgement": ("registry/judgement", "registry_judgement"),
}
SECONDS = 240.0


@pytest.fixture(scope="module")
def learned(service: RunningService, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The address of each page, after a run of the train worker that was judged."""
    photos = write_folder(tmp_path_factory.mktemp("photos") / "fruit", dict.fromkeys(("apple", "banana"), 24))
    manage(service, "dataset", "import", str(photos), "--model", "fruit")
    manage(service, "snapshot", "create", "fruit", "--no-features")
    manage(service, "retrain", "fruit", "--preset", "quick")
    judgings = "SELECT error FROM training_judging WHERE status IN ('ready', 'failed')"
    wait_until(lambda: query(service.data_dir, judgings), seconds=SECONDS, what="A judgement")
    return {name: _address(service, *place) for name, place in PAGES.items()}


def _address(service: RunningService, path: str, table: str) -> str:
    [(number,)] = query(service.data_dir, f"SELECT MAX(id) FROM {table}")
    return f"/admin/{path}/{number}/change/"


def shoot(page: Page, name: str) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


@pytest.mark.parametrize(("width", "theme"), [(390, "dark"), (1280, "light")])
def test_pages_look_clean(visit: Visit, learned: dict[str, str], width: int, theme: str):
    screen = {"viewport": {"width": width, "height": 844}, "is_mobile": width < 1000, "color_scheme": theme}
    page = sign_in(visit, learned["snapshot"], **screen)
    complaints = Complaints(page)
    found: dict[str, list[str]] = {}

    for name, address in learned.items():
        page.goto(address)
        page.wait_for_load_state("networkidle")
        shoot(page, f"{name}-{width}-{theme}")
        found[name] = [*complaints, *overflow(page, width), *barriers(page)]
        complaints.clear()

    assert {name: wrong for name, wrong in found.items() if wrong} == {}


def test_every_button_is_reached_by_keyboard(visit: Visit, learned: dict[str, str]):
    page = sign_in(visit, learned["judgement"])
    for address in learned.values():
        page.goto(address)
        page.wait_for_load_state("networkidle")

        unreached = page.evaluate(
            """() => [...document.querySelectorAll('#main button, #main .rz-button, #main summary, #main a')]
                .filter((one) => one.checkVisibility() && !one.disabled)
                .filter((one) => { one.focus(); return document.activeElement !== one || one.tabIndex < 0; })
                .map((one) => one.outerHTML)"""
        )

        assert unreached == []
        assert page.locator("#main button:visible, #main .rz-button:visible, #main a:visible").count() > 0
