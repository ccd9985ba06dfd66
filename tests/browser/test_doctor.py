"""The data doctor in a real browser, by keyboard alone, and how it looks."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Complaints, sign_in
from tests.browser.test_looks import SCREENSHOTS, barriers, overflow
from tests.service import RunningService
from tests.system.commands import manage
from tests.system.rows import query

pytestmark = [pytest.mark.browser, pytest.mark.service]
Visit = Callable[..., Page]
CHECKUPS = "/admin/training/checkup/"
MODELS = ("by-keys", "looks-390-dark", "looks-1280-light")


@pytest.fixture(scope="module", autouse=True)
def _checkups(service: RunningService) -> None:
    fills = "; ".join(f"fill({model!r})" for model in MODELS)
    manage(service, "shell", "-c", f"from tests.browser.doctor_rows import *; {fills}")


def open_checkup(visit: Visit, service: RunningService, model: str, **options: object) -> Page:
    sql = """SELECT checkup.id FROM training_checkup checkup
             JOIN registry_registeredmodel model ON model.id = checkup.model_id WHERE model.name = ?"""
    [(number,)] = query(service.data_dir, sql, model)
    address = f"{CHECKUPS}{number}/change/"
    return sign_in(visit, address, **options)


def decisions(service: RunningService) -> list[tuple[str, str, str]]:
    return query(service.data_dir, "SELECT what, previous_label, label FROM training_photodecision ORDER BY id")


def test_findings_are_decided_by_keyboard_alone(visit: Visit, service: RunningService):
    page = open_checkup(visit, service, "by-keys", viewport={"width": 1280, "height": 900})
    tiles = page.locator("[data-finding]")
    expect(tiles).to_have_count(12)
    expect(tiles.first).to_be_focused()
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("ArrowRight")
    expect(tiles.first).to_be_focused()

    page.keyboard.press("ArrowRight")
    expect(tiles.nth(1)).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    expect(tiles.nth(1)).to_be_focused()
    page.keyboard.press("f")
    expect(tiles).to_have_count(11)
    expect(page.locator("[data-said]")).to_have_text("Labelled apple, looks like banana: fixed.")
    expect(tiles.nth(1)).to_be_focused()
    page.keyboard.press("d")
    expect(tiles).to_have_count(10)

    assert decisions(service) == [("relabelled", "apple", "banana")]
    page.get_by_role("link", name="Decided").press("Enter")
    page.get_by_role("button", name="Undo").first.press("Enter")
    expect(tiles).to_have_count(1)


def test_what_somebody_else_decided_is_told(visit: Visit, service: RunningService):
    mine = open_checkup(visit, service, "by-keys", viewport={"width": 1280, "height": 900})
    yours = open_checkup(visit, service, "by-keys", viewport={"width": 1280, "height": 900})
    mine.locator("[data-finding]").last.press("d")
    expect(mine.locator("[data-said]")).to_contain_text("left as it is")

    yours.locator("[data-finding]").last.press("f")

    expect(yours.get_by_role("alert")).to_have_text("Somebody has decided about this photo already.")


@pytest.mark.slow
@pytest.mark.parametrize(("width", "theme"), [(390, "dark"), (1280, "light")])
def test_every_tab_looks_clean(visit: Visit, service: RunningService, width: int, theme: str):
    page = open_checkup(
        visit,
        service,
        f"looks-{width}-{theme}",
        viewport={"width": width, "height": 844},
        is_mobile=width < 1000,
        color_scheme=theme,
    )
    complaints = Complaints(page)
    found: dict[str, list[str]] = {}
    address = page.url

    for kind in ("label", "copy", "enough"):
        page.goto(f"{address}?kind={kind}")
        page.wait_for_load_state("networkidle")
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SCREENSHOTS / f"doctor-{kind}-{width}-{theme}.png", full_page=True)
        found[kind] = [*complaints, *overflow(page, width), *barriers(page)]
        complaints.clear()

    assert {kind: wrong for kind, wrong in found.items() if wrong} == {}
