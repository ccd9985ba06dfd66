"""Every page: complaints of the browser, of axe, and of narrow screens."""

from collections.abc import Callable, Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import Complaints
from tests.browser.photos import choose, file, wait_for_answers
from tests.service import ADMIN, PASSWORD

pytestmark = [pytest.mark.browser, pytest.mark.service]
Visit = Callable[..., Page]
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
SMALL_TARGETS = """[...document.querySelectorAll("main a, main button, header a, footer a, summary, .choice, .check")]
  .filter((one) => one.checkVisibility() && one.getBoundingClientRect().height < 43.5 && !one.closest(".tile, .skip"))
  .map((one) => one.outerHTML)"""  # pixels; a tile is one target as a whole


def walk(page: Page) -> Iterator[str]:
    """See every page a visitor can see, with something on it; gives the name of each."""
    choose(page, "chelsea.png", "coffee.png")
    wait_for_answers(page, 2)
    yield "upload"
    page.get_by_role("link", name="Details").first.click()
    page.get_by_text("This is wrong, it is …").click()
    page.get_by_text("Erase this recognition").click()
    yield "prediction"
    page.goto("/history/?label=a")  # with the filter open
    yield "filtered history"
    for address in ("/history/", "/accounts/login/", "/accounts/password/reset/"):
        page.goto(address)
        yield address


@pytest.mark.parametrize(("theme", "width"), [("light", 390), ("dark", 1280)])
def test_no_page_has_a_serious_barrier(visit: Visit, theme: str, width: int):
    page = visit(color_scheme=theme, viewport={"width": width, "height": 844}, reduced_motion="reduce")

    for name in walk(page):
        found = Axe().run(page).response["violations"]
        serious = [
            (one["id"], [node["html"] for node in one["nodes"]])
            for one in found
            if one["impact"] in ("serious", "critical")
        ]
        assert not serious, name


def test_every_page_fits_a_phone_and_a_finger(visit: Visit):
    page = visit(**PHONE)

    for name in walk(page):
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, name
        assert not page.evaluate(SMALL_TARGETS), name


def test_no_page_makes_the_browser_complain(visit: Visit):
    page = visit()
    complaints = Complaints(page)
    page.reload()

    for name in walk(page):
        page.wait_for_load_state("networkidle")
        assert not complaints, name


def test_erasing_takes_a_second_step_and_is_final(visit: Visit):
    page = visit()
    choose(page, "coffee.png")
    wait_for_answers(page, 1)
    page.get_by_role("link", name="Details").click()
    address = page.url

    expect(page.get_by_role("button", name="Yes, erase it")).to_be_hidden()
    page.get_by_text("Erase this recognition").click()
    page.get_by_role("button", name="Yes, erase it").click()

    expect(page.get_by_text("The recognition is erased")).to_be_visible()
    assert page.goto(address).status == 404


@pytest.mark.parametrize("width", [390, 1280])
def test_list_of_recognitions_shows_its_last_column(visit: Visit, width: int):
    page = visit("/accounts/login/", viewport={"width": width, "height": 844})
    page.get_by_label("Username").fill(ADMIN)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/")  # loaded: else the file may be chosen before the page's script listens
    long_name = {**file("coffee.png"), "name": f"a{' very long' * 20} name.png"}
    page.set_input_files("#drop input", [long_name])
    wait_for_answers(page, 1)

    page.goto("/admin/predictions/prediction/")

    when = page.locator(".field-when").first.bounding_box()
    assert when is not None
    assert when["x"] + when["width"] <= width
    assert page.locator(".field-answer").first.evaluate("cell => cell.scrollHeight <= cell.clientHeight + 1")


def test_signed_in_user_uploads_and_signs_out(visit: Visit):
    page = visit("/accounts/login/")
    page.get_by_label("Username").fill(ADMIN)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()

    choose(page, "coffee.png")
    wait_for_answers(page, 1)
    page.get_by_role("button", name="Sign out").click()

    page.goto("/history/")
    expect(page.get_by_text("Nothing here yet")).to_be_visible()
