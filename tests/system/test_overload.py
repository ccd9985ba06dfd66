"""A full queue refuses in words, and takes uploads again as soon as it has room."""

import http.cookiejar
import urllib.error
import urllib.request
from contextlib import ExitStack

import pytest

from tests.service import RunningService
from tests.storm import faults
from tests.system import rows
from tests.system.client import multipart, predict
from tests.system.pictures import small_picture

pytestmark = pytest.mark.service
MAX_PENDING = 5


@pytest.mark.slow
def test_full_queue_says_so_and_empties(start_service):
    service = start_service(RECOGNIZER_MAX_PENDING=str(MAX_PENDING))
    with ExitStack() as stack:
        for pid in (service.pids()["worker"], faults.pool_child(service)):
            stack.enter_context(faults.stopped(pid))
        taken = [predict(service.url, small_picture(i), Prefer="respond-async") for i in range(MAX_PENDING)]
        stored = rows.stored(service.data_dir)
        refused = predict(service.url, small_picture(MAX_PENDING))
        page_status, page = post_form(service, small_picture(MAX_PENDING))

        assert [reply.status for reply in taken] == [202] * MAX_PENDING
        assert refused.status == 503
        assert refused.headers.get_content_type() == "application/problem+json"
        assert int(refused.headers["Retry-After"]) > 0
        assert "try again" in refused.body["detail"]
        assert page_status == 503
        assert "try again" in page
        assert rows.stored(service.data_dir) == stored  # nothing of the refused ones

    rows.wait_all_ended(service.data_dir, seconds=60)
    assert predict(service.url, small_picture(MAX_PENDING)).status == 200


def post_form(service: RunningService, raw: bytes) -> tuple[int, str]:
    """Send the page's form as a browser without scripts does."""
    cookies = http.cookiejar.CookieJar()
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(cookies))
    form = browser.open(f"{service.url}/").read().decode()
    body, boundary = multipart(
        raw,
        field="images",
        file_name="a.png",
        model="imagenet",
        csrfmiddlewaretoken=hidden_value(form, "csrfmiddlewaretoken"),
    )
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    try:
        with browser.open(urllib.request.Request(f"{service.url}/", body, headers)) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def hidden_value(page: str, name: str) -> str:
    """The value of a hidden input; empty where the page has none."""
    return page.partition(f'name="{name}" value="')[2].partition('"')[0]
