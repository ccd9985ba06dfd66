"""Trials and the time machine in a real browser, on the real service, by keyboard alone."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PATIENCE_MS, Complaints
from tests.browser.photos import file
from tests.browser.test_looks import SCREENSHOTS, barriers, overflow
from tests.service import ADMIN, PASSWORD, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.service]
Visit = Callable[..., Page]
FOCUSED = (
    "(document.activeElement.innerText || document.activeElement.ariaLabel || document.activeElement.id || '').trim()"
)


def tab_to(page: Page, name: str) -> None:
    """Press Tab until what has the focus is called so."""
    for _ in range(200):
        page.keyboard.press("Tab")
        if page.evaluate(FOCUSED).startswith(name):
            return
    raise AssertionError(f"Tab never reaches {name!r}")


def follow(page: Page, name: str) -> None:
    tab_to(page, name)
    with page.expect_navigation():
        page.keyboard.press("Enter")


def look(page: Page, name: str, width: int, theme: str) -> None:
    page.wait_for_load_state("networkidle")
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}-{width}-{theme}.png", full_page=True)
    assert overflow(page, width) == [], name
    assert barriers(page) == [], name


@pytest.mark.slow
@pytest.mark.parametrize(("width", "theme"), [(390, "light"), (1280, "dark")])
def test_replay_and_time_machine_by_keyboard(visit: Visit, width: int, theme: str):
    page = visit(
        "/accounts/login/",
        viewport={"width": width, "height": 844},
        color_scheme=theme,
        reduced_motion="reduce",
    )
    complaints = Complaints(page)
    for name in ("chelsea.png", "coffee.png"):
        answer = page.request.post("/api/predict/?model=garbage", multipart={"image": file(name)})
        assert answer.json()["status"] == "succeeded"
    page.get_by_label("Username").fill(ADMIN)
    page.get_by_label("Password").fill(PASSWORD)
    with page.expect_navigation():
        page.keyboard.press("Enter")

    page.goto("/admin/registry/modelversion/?q=ghostnet")
    follow(page, "garbage v1")
    follow(page, "Shadow, replay")
    look(page, "trial-new", width, theme)
    follow(page, "Ask about past recognitions")
    expect(page.get_by_text("says the same as the live answer")).to_be_visible(timeout=PATIENCE_MS)
    wait_until(lambda: page.reload() and not page.get_by_text("running").count(), seconds=60, what="the replay's end")
    look(page, "trial", width, theme)

    page.goto(f"/admin/predictions/prediction/{answer.json()['id']}/change/")
    expect(page.get_by_role("heading", name="Second opinions")).to_be_visible()
    look(page, "recognition-tried", width, theme)
    follow(page, "Where this answer comes from")
    look(page, "origin", width, theme)
    follow(page, "What served when")
    expect(page.get_by_text("should have served")).to_be_visible()
    look(page, "served", width, theme)
    assert complaints == []
