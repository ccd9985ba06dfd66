"""The pages people see most, the admin's with them: no complaint, no overflow, no barrier, and a picture of each."""

from collections.abc import Callable, Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.browser.conftest import Complaints
from tests.browser.photos import choose, wait_for_answers
from tests.service import ADMIN, PASSWORD, PROJECT_DIR

pytestmark = [pytest.mark.browser, pytest.mark.service]
Visit = Callable[..., Page]
SCREENSHOTS = PROJECT_DIR / "build" / "screenshots"
RECOGNITIONS = "/admin/predictions/prediction/"


@pytest.mark.parametrize(
    ("width", "theme"),
    [
        (390, "light"),
        pytest.param(1280, "dark", marks=pytest.mark.slow),
        pytest.param(390, "dark", marks=pytest.mark.long),
        pytest.param(1280, "light", marks=pytest.mark.long),
    ],
)
def test_every_page_looks_clean(visit: Visit, width: int, theme: str):
    page = visit(
        "/accounts/login/",
        viewport={"width": width, "height": 844},
        is_mobile=width < 1000,
        color_scheme=theme,
        reduced_motion="reduce",
    )
    complaints = Complaints(page)
    found: dict[str, list[str]] = {}

    for name in walk(page):
        page.wait_for_load_state("networkidle")
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SCREENSHOTS / f"{name}-{width}-{theme}.png", full_page=True)
        found[name] = [*complaints, *overflow(page, width), *barriers(page)]
        complaints.clear()

    assert {name: wrong for name, wrong in found.items() if wrong} == {}


def walk(page: Page) -> Iterator[str]:
    """Each page with something on it, as an administrator sees it; gives its name."""
    page.get_by_label("Username").fill(ADMIN)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/")
    choose(page, "chelsea.png", "coffee.png")
    wait_for_answers(page, 2)
    yield "front"
    page.get_by_role("link", name="Details").first.click()
    page.wait_for_url("**/predictions/**")
    prediction = page.url.rstrip("/").rpartition("/")[2]
    yield "prediction"
    for name, address in {
        "history": "/history/",
        "admin-list": RECOGNITIONS,
        "admin-desk": f"{RECOGNITIONS}desk/",
        "admin-detail": f"{RECOGNITIONS}{prediction}/change/",
    }.items():
        assert page.goto(address).status == 200
        yield name


def overflow(page: Page, width: int) -> list[str]:
    taken = page.evaluate("document.documentElement.scrollWidth")
    return [f"{taken} pixels wide"] if taken > width else []


def barriers(page: Page) -> list[str]:
    """What axe calls serious or critical."""
    return [
        f"{one['id']}: {node['html']}"
        for one in Axe().run(page).response["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]
