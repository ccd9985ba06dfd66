"""A real Chromium that looks at the real service."""

import shutil
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from tests.service import ADMIN, PASSWORD, RunningService

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")  # .ci/run looks for the same
PATIENCE_MS = 60_000  # other tests run beside these


@pytest.fixture(scope="module")  # its event loop must be gone before other modules use Django's database
def browser() -> Iterator[Browser]:
    if not CHROMIUM:
        pytest.skip("no chromium here; apt install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Browser, service: RunningService) -> Iterator[Callable[..., Page]]:
    """Open the front page as a newcomer; keyword arguments are those of the browser's context."""
    contexts: list[BrowserContext] = []

    def visit(address: str = "/", **options: Any) -> Page:
        context = browser.new_context(base_url=service.url, **options)
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.goto(address)
        return page

    yield visit
    for context in contexts:
        context.close()


def sign_in(visit: Callable[..., Page], address: str, *, user: str = ADMIN, **options: Any) -> Page:
    """A page of the admin, as this user sees it who signed in on the way; keyword arguments as of `visit`."""
    page = visit(f"/admin/login/?next={quote(address)}", **options)
    page.get_by_label("Username").fill(user)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_label("Password").press("Enter")
    page.wait_for_url(f"**{address}")
    return page


class Complaints(list[str]):
    """What the browser complained about on this page."""

    def __init__(self, page: Page) -> None:
        super().__init__()
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.append(str(error)))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.append(f"{message.text} {message.location}")
