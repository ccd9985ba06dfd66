"""Giving photos to the front page."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import PATIENCE_MS
from tests.browser.photos import CAT, COFFEE, choose, file, give, wait_for_answers
from tests.system.pictures import photo, small_picture

pytestmark = [pytest.mark.browser, pytest.mark.service]
Visit = Callable[..., Page]
COUNT_OPEN_UPLOADS = """() => {
  let open = 0;
  window.mostOpen = 0;
  const send = XMLHttpRequest.prototype.send;
  XMLHttpRequest.prototype.send = function (body) {
    open += 1;
    window.mostOpen = Math.max(window.mostOpen, open);
    this.addEventListener("readystatechange", () => { if (this.readyState === 4) open -= 1; });
    send.call(this, body);
  };
}"""

HURRY = "() => { const wait = window.setTimeout; window.setTimeout = (call, ms) => wait(call, ms / 50); }"


def state(page: Page, number: int = 0):
    return page.locator(".card .state").nth(number)


def count_stored(page: Page) -> int:
    page.goto("/history/")
    return page.locator(".tile").count()


def test_chosen_photos_are_named_each_on_its_card(visit: Visit):
    page = visit()

    choose(page, "chelsea.png", "coffee.png")
    wait_for_answers(page, 2)

    expect(state(page, 0)).to_have_text(re.compile(CAT))
    expect(state(page, 1)).to_have_text(re.compile(COFFEE))
    expect(page.locator(".card").first.locator(".bar")).to_have_count(5)
    expect(page.locator(".card-time").first).to_have_text(re.compile(r"Answered in \d+ ms"))
    assert page.locator(".card img").first.evaluate("image => image.naturalWidth") == 451


def test_photo_that_was_chosen_before_the_scripts_came_is_taken(visit: Visit):
    page, scripts = visit("/history/"), []
    page.route("**/sources*.js", lambda route: scripts.append(route))  # noqa: PLW0108 - Playwright asks for its parameters
    page.goto("/", wait_until="commit")
    choose(page, "coffee.png")
    page.wait_for_timeout(500)
    [script] = scripts

    script.continue_()

    wait_for_answers(page, 1)
    expect(state(page)).to_have_text(re.compile(COFFEE))


def test_card_leads_to_the_stored_recognition(visit: Visit):
    page = visit()
    choose(page, "coffee.png")
    wait_for_answers(page, 1)

    page.get_by_role("link", name="Details").click()

    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile(COFFEE))
    expect(page.get_by_text("coffee.png")).to_be_visible()


@pytest.mark.parametrize("kind", ["paste", "drop"])
def test_pasted_or_dropped_photo_is_named(visit: Visit, kind: str):
    page = visit()

    give(page, "coffee.png", kind=kind)
    wait_for_answers(page, 1)

    expect(state(page)).to_have_text(re.compile(COFFEE))


def test_chosen_model_answers(visit: Visit):
    page = visit()

    page.get_by_role("radio", name=re.compile("^fruit")).check()
    choose(page, "coffee.png")
    wait_for_answers(page, 1)
    page.get_by_role("link", name="Details").click()

    expect(page.locator(".facts")).to_contain_text("fruit v1")


def test_at_most_three_uploads_at_a_time(visit: Visit):
    page = visit()
    page.evaluate(COUNT_OPEN_UPLOADS)

    page.set_input_files("#drop input", [file(f"{number}.png", small_picture(number)) for number in range(9)])
    wait_for_answers(page, 9)

    assert 1 < page.evaluate("window.mostOpen") <= 3


def test_refused_file_says_why_beside_good_ones(visit: Visit):
    page = visit()

    page.set_input_files("#drop input", [file("notes.png", b"text"), file("coffee.png")])
    wait_for_answers(page, 1)

    expect(state(page)).to_contain_text("This is not an image we can read.")
    expect(page.get_by_role("button", name="Try again")).to_have_count(0)


def test_upload_lost_on_the_way_back_is_stored_once(visit: Visit):
    page = visit()

    def lose(route: Route) -> None:
        route.fetch()  # the service has stored it and answers,
        route.abort()  # but the answer never arrives

    page.route("**/api/predict/", lose, times=1)
    choose(page, "coffee.png")
    expect(state(page)).to_have_text("The service cannot be reached. Trying again in 1 s…", timeout=PATIENCE_MS)
    wait_for_answers(page, 1)

    expect(state(page)).to_have_text(re.compile(COFFEE))
    assert count_stored(page) == 1


@pytest.mark.parametrize("lose", [lambda route: route.abort(), lambda route: route.fulfill(status=502, body="<h1>")])
def test_service_that_comes_back_is_found_again(visit: Visit, lose: Callable[[Route], None]):
    page = visit()

    page.route("**/api/predict/", lose, times=6)  # three uploads at a time, so each is lost twice
    choose(page, "chelsea.png", "coffee.png")

    wait_for_answers(page, 2)


def test_service_that_stays_away_is_said_and_all_tried_again(visit: Visit):
    page = visit()
    page.evaluate(HURRY)

    page.context.set_offline(True)
    choose(page, "coffee.png", "chelsea.png")
    try_all = page.get_by_role("button", name="Try all again")
    expect(state(page, 0)).to_contain_text("The service cannot be reached. Check your network", timeout=PATIENCE_MS)
    expect(try_all).to_be_visible(timeout=PATIENCE_MS)
    page.context.set_offline(False)
    try_all.click()

    expect(try_all).to_be_hidden()
    wait_for_answers(page, 2)


@pytest.mark.parametrize(
    ("body", "reason"), [({"detail": "The disk is away."}, "The disk is away."), ({}, "The queue is full.")]
)
def test_busy_service_is_said_while_waiting(visit: Visit, body: dict[str, str], reason: str):
    page = visit()
    busy = {"status": 503, "headers": {"Retry-After": "2"}, "json": body}

    page.route("**/api/predict/", lambda route: route.fulfill(**busy), times=1)
    choose(page, "coffee.png")

    expect(state(page)).to_have_text(f"{reason} Trying again in 2 s…")
    wait_for_answers(page, 1)


def test_answer_that_comes_later_is_looked_for(visit: Visit):
    page = visit()

    def ask_without_waiting(route: Route) -> None:
        route.continue_(headers={**route.request.headers, "prefer": "respond-async"})

    page.route("**/api/predict/", ask_without_waiting)
    with page.expect_response("**/api/predict/") as response:
        choose(page, "coffee.png")
    wait_for_answers(page, 1)

    assert response.value.status == 202
    expect(state(page)).to_have_text(re.compile(COFFEE))


def test_failed_recognition_can_be_tried_again(visit: Visit):
    page = visit()

    def fail(route: Route) -> None:
        answer = {**route.fetch().json(), "status": "failed", "error": {"code": "worker_died", "detail": "It died."}}
        route.fulfill(json=answer)

    page.route("**/api/predict/", fail)
    choose(page, "coffee.png")
    retry = page.get_by_role("button", name="Try again")
    expect(state(page)).to_have_text("It died.", timeout=PATIENCE_MS)
    with page.expect_response("**/retry/") as response:
        retry.click()
    wait_for_answers(page, 1)

    assert response.value.status == 409  # it has not really failed: what there is, is shown
    assert count_stored(page) == 1


def test_file_that_is_cut_off_is_not_offered_again(visit: Visit):
    page = visit()
    whole = photo("coffee.png")

    page.set_input_files("#drop input", [file("half.png", whole[: len(whole) // 2])])

    expect(page.locator(".card.is-failed")).to_have_count(1, timeout=PATIENCE_MS)
    expect(page.get_by_role("link", name="Details")).to_be_visible()
    expect(page.get_by_role("button", name="Try again")).to_be_hidden()


def test_phone_offers_its_camera(visit: Visit):
    page = visit(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)

    camera = page.locator("label", has_text="Take a photo")
    expect(camera).to_be_visible()
    expect(camera.locator("input")).to_have_attribute("capture", "environment")
    expect(page.get_by_text("Drop photos here")).to_be_hidden()

    camera.locator("input").set_input_files(file("coffee.png"))
    wait_for_answers(page, 1)


def test_keyboard_alone_reaches_everything(visit: Visit):
    page = visit()

    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    reached = []
    for _ in range(3):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.name"))

    assert reached == ["model", "images", "train"]
    assert page.locator("#drop").evaluate("zone => getComputedStyle(zone).outlineStyle") == "none"
    page.keyboard.press("Shift+Tab")
    assert page.locator("#drop").evaluate("zone => getComputedStyle(zone).outlineStyle") == "solid"


def test_plain_form_works_without_scripts(visit: Visit):
    page = visit(java_script_enabled=False)

    page.set_input_files("#drop input", [file("coffee.png")])
    page.get_by_role("button", name="Recognise").click()

    # The page looks again by itself until the answer is there.
    expect(page.locator("h1")).to_have_text(re.compile(COFFEE), timeout=PATIENCE_MS)
    page.get_by_text("This is wrong, it is …").click()
    page.get_by_label("What is it?").fill("Cup")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_text("You said: it is Cup")).to_be_visible()


def test_many_photos_without_scripts_lead_to_the_history(visit: Visit):
    page = visit(java_script_enabled=False)

    page.set_input_files("#drop input", [file("coffee.png"), file("chelsea.png")])
    page.get_by_role("button", name="Recognise").click()

    expect(page.get_by_role("heading", level=1)).to_have_text("History")
    expect(page.locator(".tile")).to_have_count(2)
