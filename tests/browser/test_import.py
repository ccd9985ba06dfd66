"""A folder of photos given to a model on the page of imports."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Complaints, sign_in
from tests.photo_folders import write_folder
from tests.service import RunningService, wait_until
from tests.system.commands import manage
from tests.system.rows import query

pytestmark = [pytest.mark.browser, pytest.mark.service]
NEW = ("--new-model", "--add-classes")
PAGE = "/admin/training/photoimport/add/"
Visit = Callable[..., Page]
ROOM = 65_536  # as in folder.js
HOLD = """() => {
  const read = File.prototype.arrayBuffer;
  const held = new Promise((go) => (window.letGo = async () => {
    go();
    await new Promise((later) => setTimeout(later, 300));
  }));
  File.prototype.arrayBuffer = async function () {
    if (this.webkitRelativePath.startsWith("slow")) await held;
    return read.call(this);
  };
}"""


def test_folder_with_classes_is_imported(visit: Visit, service: RunningService, tmp_path: Path):
    first = write_folder(tmp_path / "first", {"plum": 2}, size=(90, 90))
    manage(service, "dataset", "import", str(first), "--model", "basket", *NEW)
    folder = write_folder(tmp_path / "fruits", {"apple": 3, "Honigmelone grün": 2})
    (folder / "apple" / ".hidden.jpg").write_bytes(b"left behind by a system")
    (folder / "notes.txt").write_text("no photo")
    page = sign_in(visit, PAGE)
    complaints = Complaints(page)

    page.get_by_label("Model").select_option(label="basket")
    page.locator("input[webkitdirectory]").set_input_files(folder)
    expect(page.get_by_role("status")).to_have_text(re.compile(r"5 files, 0\.\d MB, are packed as fruits\.zip\."))
    page.get_by_label("Add new classes").check()
    page.get_by_role("button", name="Save", exact=True).click()
    page.wait_for_url("**/photoimport/")

    wait_until(lambda: ended_imports(service), seconds=60, what="The import")
    assert ended_imports(service) == [("ready", 5, "")]
    names = query(service.data_dir, "SELECT DISTINCT source FROM training_basephoto ORDER BY source")
    assert [folder for (folder,) in names if "grün/" in folder]
    assert complaints == []


def test_folder_without_photos_is_not_sent(visit: Visit, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("no photo")
    page = sign_in(visit, PAGE)

    page.locator("input[webkitdirectory]").set_input_files(tmp_path / "empty")

    expect(page.get_by_role("status")).to_have_text("There are no photos in this folder.")
    assert page.locator("input[name=archive]").evaluate("input => input.files.length") == 0


@pytest.mark.parametrize("then", ["folder", "zip"])
def test_newest_choice_is_sent_though_an_older_one_packs_longer(visit: Visit, tmp_path: Path, then: str):
    slow, quick = (write_folder(tmp_path / name, {"apple": 1}) for name in ("slow", "quick"))
    (tmp_path / "quick.zip").write_bytes(b"PK")
    page = sign_in(visit, PAGE)
    page.evaluate(HOLD)
    page.locator("input[webkitdirectory]").set_input_files(slow)
    expect(page.get_by_role("status")).to_have_text(re.compile("Packing"))

    if then == "zip":
        page.locator("input[name=archive]").set_input_files(tmp_path / "quick.zip")
    else:
        page.locator("input[webkitdirectory]").set_input_files(quick)
        expect(page.get_by_role("status")).to_have_text(re.compile("packed as quick.zip"))
    page.evaluate("letGo()")

    chosen = "input => [...input.files].map(file => file.name)"
    assert page.locator("input[name=archive]").evaluate(chosen) == ["quick.zip"]
    assert "slow" not in page.get_by_role("status").inner_text()


def test_folder_that_is_too_large_as_a_zip_is_not_sent(visit: Visit, tmp_path: Path):
    folder = write_folder(tmp_path / "photos", {"apple": 3})
    most = sum(photo.stat().st_size for photo in folder.rglob("*.*")) + ROOM  # no byte for their names
    page = sign_in(visit, PAGE)
    chooser = page.locator("input[webkitdirectory]")
    chooser.evaluate("(input, most) => input.dataset.maxBytes = most", most)

    chooser.set_input_files(folder)

    expect(page.get_by_role("status")).to_have_text(re.compile("are too many for a page"))


def ended_imports(service: RunningService) -> list[tuple[str, int, str]]:
    rows = "SELECT status, num_added, error FROM training_photoimport WHERE file_name = 'fruits.zip'"
    return [row for row in query(service.data_dir, rows) if row[0] in ("ready", "failed")]
