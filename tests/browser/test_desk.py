"""The review desk in a real browser, by keyboard alone: what is seen, what is stored, and two reviewers at once."""

from collections import Counter
from collections.abc import Callable
from uuid import UUID

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Complaints, sign_in
from tests.browser.test_looks import SCREENSHOTS, barriers, overflow
from tests.service import ADMIN, PASSWORD, RunningService
from tests.system.commands import manage
from tests.system.rows import query

pytestmark = [pytest.mark.browser, pytest.mark.service]
Visit = Callable[..., Page]
DESK = "/admin/predictions/prediction/desk/"
SECOND = "second"
LOOKS = [(390, "light"), (390, "dark"), (1280, "light"), (1280, "dark")]
# Answers of each model, and how many of them are alike. A test spoils its own.
DESKS = {
    "hundreds": (300, 1),
    "shared": (3, 1),
    "groups": (8, 4),
    "many": (6, 1),
    "new": (2, 1),
    "claimed": (3, 1),
    "refused": (3, 1),
    "lost": (2, 1),
    "touched": (4, 1),
    **{f"look-{width}-{theme}": (24, 2) for width, theme in LOOKS},
}
CLAIMED = [model for model in DESKS if model in ("claimed", "refused") or model.startswith("look")]
CURRENT = "document.activeElement.id.replace('tile-', '')"
MOVED = f"before => document.activeElement.matches('.desk-tile') && {CURRENT} !== before && {CURRENT}"


def rows_of(service: RunningService, model: str) -> dict[UUID, tuple[str, str]]:
    """Best and second label of each answer of the model."""
    sql = """SELECT id, json_extract(scores, '$[0][0]'), json_extract(scores, '$[1][0]') FROM predictions_prediction
             WHERE model_id = (SELECT id FROM registry_registeredmodel WHERE name = ?)"""
    return {UUID(pk): (best, second) for pk, best, second in query(service.data_dir, sql, model)}


def reviews_of(service: RunningService, model: str) -> list[tuple[UUID, str, str | None, str, str]]:
    """Prediction, verdict, label, how and who of each review, the oldest first."""
    sql = """SELECT review.prediction_id, review.verdict, label.key, via, username FROM predictions_review review
             JOIN predictions_prediction row ON row.id = review.prediction_id
             JOIN registry_registeredmodel model ON model.id = row.model_id
             JOIN auth_user user ON user.id = reviewer_id
             LEFT JOIN registry_label label ON label.id = review.label_id WHERE model.name = ? ORDER BY review.id"""
    return [(UUID(pk), *rest) for pk, *rest in query(service.data_dir, sql, model)]


@pytest.fixture(scope="module", autouse=True)
def _desks(service: RunningService) -> None:
    """Each model's answers, all in one go: a command takes seconds to start."""
    fills = "; ".join(f"fill({model!r}, {number}, num_alike={alike})" for model, (number, alike) in DESKS.items())
    claims = "; ".join(f"claim({model!r})" for model in CLAIMED)
    lines = f"from tests.browser.desk_rows import *; {fills}; {claims}; add_reviewer({SECOND!r}, {PASSWORD!r})"
    manage(service, "shell", "-c", lines)


def open_desk(visit: Visit, model: str, *, who: str = ADMIN, question: str = "order=newest", **options: object) -> Page:
    page = sign_in(visit, DESK, user=who, **options)
    page.goto(f"{DESK}?model={model}&{question}")
    page.locator(".desk-tile:focus").wait_for()
    return page


def left(page: Page, words: str) -> None:
    expect(page.locator("#desk-left")).to_have_text(words)


def wait_saved(page: Page, service: RunningService, model: str, number: int) -> None:
    """Until so many reviews are stored."""
    for _ in range(200):
        if len(reviews_of(service, model)) >= number:
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"{len(reviews_of(service, model))} of {number} reviews are stored")


def judge(page: Page, position: int) -> str:
    """One of ten verdicts, by keys; gives what it was."""
    kind = {7: "rejected", 8: "second", 9: "cherry"}.get(position % 10, "confirmed")
    if kind == "cherry":
        page.keyboard.type("ch" if position % 20 == 9 else "/樱")
    page.keyboard.press({"rejected": "x", "second": "2"}.get(kind, "Enter"))
    return kind


@pytest.mark.slow
def test_three_hundred_are_reviewed_by_keyboard_alone(visit: Visit, service: RunningService):
    model = "hundreds"
    page = open_desk(visit, model)
    left(page, "300 of 300 left")
    expected: dict[UUID, tuple[str, str | None]] = {}
    rows = rows_of(service, model)

    before = page.evaluate(CURRENT)
    for position in range(300):
        kind, (best, second) = judge(page, position), rows[UUID(before)]
        verdict = kind if kind in ("confirmed", "rejected") else "corrected"
        label = {"confirmed": best, "second": second, "cherry": "cherry"}.get(kind)
        assert UUID(before) not in expected, f"{before} came twice"
        expected[UUID(before)] = (verdict, label)
        if position < 299:
            before = page.wait_for_function(MOVED, arg=before, polling=5).json_value()

    left(page, "0 of 300 left")
    wait_saved(page, service, model, 300)
    stored = reviews_of(service, model)
    assert {pk: (verdict, label) for pk, verdict, label, *_ in stored} == expected
    assert Counter((via, who) for *_, via, who in stored) == {("desk", ADMIN): 300}

    for _ in range(5):
        page.keyboard.press("u")
    left(page, "5 of 300 left")
    wait_saved(page, service, model, 305)
    last = [pk for pk, *_ in stored[-5:]]
    undone = [(pk, verdict) for pk, verdict, *_ in reviews_of(service, model)[300:]]
    assert undone == [(pk, "withdrawn") for pk in reversed(last)]

    page.reload()
    left(page, "5 of 300 left")
    expect(page.locator(".desk-tile")).to_have_count(5)


@pytest.mark.slow
def test_two_reviewers_never_overwrite_each_other_unseen(visit: Visit, service: RunningService):
    model = "shared"
    ada, ben = open_desk(visit, model), open_desk(visit, model, who=SECOND)

    ada.keyboard.press("Enter")
    wait_saved(ada, service, model, 1)
    ben.keyboard.press("x")

    overtaken = ben.locator(".desk-tile.is-overtaken")
    expect(overtaken).to_contain_text(f"{ADMIN}, meanwhile: Confirmed")
    left(ben, "2 of 3 left")
    assert [(verdict, who) for _, verdict, _, _, who in reviews_of(service, model)] == [("confirmed", ADMIN)]

    ben.keyboard.press("Home")
    ben.keyboard.press("x")  # knowing what ada said
    wait_saved(ben, service, model, 2)
    ada.keyboard.press("u")
    expect(ada.locator(".desk-tile.is-overtaken")).to_contain_text(f"{SECOND}, meanwhile: Not one of ours")
    assert [verdict for _, verdict, *_ in reviews_of(service, model)] == ["confirmed", "rejected"]


def test_one_key_settles_a_group_and_undo_opens_it(visit: Visit, service: RunningService):
    model = "groups"
    page = open_desk(visit, model)
    expect(page.locator(".desk-tile")).to_have_count(2)
    expect(page.get_by_text("4 alike")).to_have_count(2)

    page.keyboard.press("Enter")
    left(page, "4 of 8 left")
    wait_saved(page, service, model, 4)
    page.keyboard.press("u")
    left(page, "8 of 8 left")
    wait_saved(page, service, model, 8)
    assert Counter(verdict for _, verdict, *_ in reviews_of(service, model)) == {"confirmed": 4, "withdrawn": 4}

    page.keyboard.press("+")
    expect(page.locator(".desk-tile")).to_have_count(5)
    page.keyboard.press("x")
    left(page, "7 of 8 left")


def test_picture_is_opened_without_a_mouse(visit: Visit):
    page = open_desk(visit, "shared")
    address = f"/admin/predictions/prediction/{page.evaluate(CURRENT)}/change/"

    with page.context.expect_page() as by_key:
        page.keyboard.press(".")
    with page.context.expect_page() as by_button:
        page.get_by_role("button", name="Open picture").press("Enter")

    for opened in (by_key, by_button):
        opened.value.wait_for_url(f"**{address}")


def test_many_are_previewed_before_they_change(visit: Visit, service: RunningService):
    model = "many"
    page = open_desk(visit, model)

    page.keyboard.press("Space")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("x")
    dialog = page.get_by_role("dialog", name="What will change")
    expect(dialog).to_contain_text("3 recognitions, 3 not reviewed before.")
    expect(dialog).to_contain_text("→ none of my classes")
    page.keyboard.press("Escape")
    assert not reviews_of(service, model)

    page.keyboard.press("Control+a")
    page.keyboard.press("Enter")
    expect(dialog).to_contain_text("6 recognitions")
    page.keyboard.press("Enter")
    left(page, "0 of 6 left")
    wait_saved(page, service, model, 6)
    assert {via for *_, via, _ in reviews_of(service, model)} == {"bulk"}


def test_new_class_is_made_by_reviewing_into_it(visit: Visit, service: RunningService):
    model = "new"
    page = open_desk(visit, model)

    page.keyboard.type("dragon fruit")
    expect(page.get_by_role("option", name="New class “dragon fruit”…")).to_be_visible()
    page.keyboard.press("Enter")
    page.get_by_label("Name in Chinese").fill("火龙果")
    page.keyboard.press("Enter")

    left(page, "1 of 2 left")
    wait_saved(page, service, model, 1)
    assert reviews_of(service, model)[0][1:3] == ("corrected", "dragon_fruit")


def test_claim_is_approved_by_one_key(visit: Visit, service: RunningService):
    model = "claimed"
    page = open_desk(visit, model, question="queue=claims")
    expect(page.locator(".desk-tile")).to_contain_text("user: Plum")

    page.keyboard.press("a")

    wait_saved(page, service, model, 1)
    assert reviews_of(service, model)[0][1:4] == ("corrected", "plum", "claim")


def test_refused_claim_is_called_so(visit: Visit, service: RunningService):
    page = open_desk(visit, "refused", question="queue=claims")
    expect(page.locator(".desk-tile")).to_contain_text("user: Plum")

    page.keyboard.press("x")

    expect(page.locator(".desk-state")).to_have_text("Claim refused: the answer is right")
    wait_saved(page, service, "refused", 1)


def test_what_was_not_saved_is_back(visit: Visit, service: RunningService):
    model = "lost"
    page = open_desk(visit, model)
    page.route("**/desk/steps/", lambda route: route.abort(), times=1)

    page.keyboard.press("Enter")

    expect(page.get_by_role("alert")).to_contain_text("The service cannot be reached")
    left(page, "2 of 2 left")
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    wait_saved(page, service, model, 1)


def test_finger_chooses_and_the_bar_judges(visit: Visit, service: RunningService):
    model = "touched"
    page = open_desk(visit, model, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)

    page.locator(".desk-tile").nth(2).tap()
    page.get_by_role("button", name="Not one of ours").tap()

    left(page, "3 of 4 left")
    wait_saved(page, service, model, 1)
    assert reviews_of(service, model)[0][1] == "rejected"


@pytest.mark.parametrize(
    ("width", "theme"), [LOOKS[0], LOOKS[3], *(pytest.param(*look, marks=pytest.mark.slow) for look in LOOKS[1:3])]
)
def test_desk_has_no_barrier_and_fits(visit: Visit, width: int, theme: str):
    model = f"look-{width}-{theme}"
    page = open_desk(
        visit, model, question="order=reported", viewport={"width": width, "height": 844}, color_scheme=theme
    )
    complaints = Complaints(page)
    page.reload()
    page.locator(".desk-tile:focus").wait_for()
    for key in ("Enter", "x", "2", "Space"):
        page.keyboard.press(key)
    page.wait_for_load_state("networkidle")
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"desk-{width}-{theme}.png")
    found = [*complaints, *overflow(page, width), *barriers(page)]

    for key in ("?", "/"):
        page.keyboard.press(key)
        page.screenshot(path=SCREENSHOTS / f"desk-{'help' if key == '?' else 'naming'}-{width}-{theme}.png")
        found += barriers(page)
        page.keyboard.press("Escape")

    assert found == []
