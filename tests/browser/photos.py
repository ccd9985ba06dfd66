"""Photos as a person gives them to a page."""

import base64
from typing import Any

from playwright.sync_api import Page, expect

from tests.browser.conftest import PATIENCE_MS
from tests.system.pictures import photo

# The names of classes for the two photos; neighbours look alike to the model.
CAT, COFFEE = r"cat|lynx", r"Espresso|Cup"

_GIVE = """([name, encoded, kind]) => {
  const bytes = Uint8Array.from(atob(encoded), (letter) => letter.charCodeAt(0));
  const carried = new DataTransfer();
  carried.items.add(new File([bytes], name, {type: "image/png"}));
  const event = kind === "paste"
    ? new ClipboardEvent("paste", {clipboardData: carried, bubbles: true})
    : new DragEvent("drop", {dataTransfer: carried, bubbles: true, cancelable: true});
  document.body.dispatchEvent(event);
}"""


def file(name: str, raw: bytes | None = None) -> dict[str, Any]:
    return {"name": name, "mimeType": "image/png", "buffer": photo(name) if raw is None else raw}


def choose(page: Page, *names: str) -> None:
    page.set_input_files("#drop input", [file(name) for name in names])


def give(page: Page, name: str, *, kind: str) -> None:
    """Paste or drop a photo."""
    page.evaluate(_GIVE, [name, base64.b64encode(photo(name)).decode(), kind])


def wait_for_answers(page: Page, number: int) -> None:
    expect(page.locator(".card.is-done")).to_have_count(number, timeout=PATIENCE_MS)
