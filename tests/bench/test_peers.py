"""`make bench-peers`: what the table says, and that the peers do the work that ours does."""

import json
from pathlib import Path

import pytest

from bench.client import Load
from bench.limit import Limit
from bench.peers.__main__ import parse
from bench.peers.network import PLAIN, SAME_ENGINE
from bench.peers.programs import PEERS, PYTHON, Peer, running
from bench.peers.rounds import OURS, Measured, Round
from bench.peers.table import beside_peer, cells_of, to_markdown
from bench.photos import write_photo
from bench.service import Service
from tests.service import RunningService
from tests.system.client import multipart, send

RIVALS = {"LitServe": 50.0, "BentoML": 40.0}


def load(per_second: float, **failed: int) -> Load:
    counts = {"num_answers": 10, "num_pending": 0, "num_refused": 0, "num_lost": 0, "num_sent": 10} | failed
    return Load(per_second=per_second, p50_ms=10.0, p95_ms=20.0, p99_ms=30.0, client_cpu=0.1, **counts)


def one_round(ours: float, *, limit: float = 100.0, photo: str = "500x375", **peers: float) -> Round:
    paces = {OURS: ours, **peers}
    limits = [Limit(limit - 10, 1, 8, 16), Limit(1, limit + 10, 8, 16)]
    return Round(photo, limits, {server: {8: Measured(load(pace), 25.0)} for server, pace in paces.items()})


def test_a_cell_is_the_median_over_rounds():
    cells = cells_of([one_round(pace, **RIVALS) for pace in (60.0, 90.0, 70.0)])

    assert [cell.server for cell in cells] == [OURS, "LitServe", "BentoML"]
    assert (cells[0].per_second, cells[0].least, cells[0].most) == (70.0, 60.0, 90.0)
    assert cells[0].ratio == pytest.approx(0.7)


def test_each_round_is_compared_with_its_own_limit():
    cells = cells_of([one_round(50.0, limit=100.0), one_round(50.0, limit=50.0), one_round(40.0, limit=50.0)])

    assert cells[0].ratio == pytest.approx(0.8)


def test_ours_stands_beside_the_faster_peer_with_the_same_engine():
    cells = cells_of([one_round(60.0, **RIVALS, **{"LitServe, torch": 90.0})])

    assert beside_peer(cells, photo="500x375", num_clients=8) == pytest.approx(1.2)
    assert beside_peer(cells_of([one_round(60.0)]), photo="500x375", num_clients=8) is None


def test_peers_with_plain_code_are_compared_apart():
    cells = cells_of([one_round(60.0, **RIVALS, **{"LitServe, plain": 20.0, "BentoML, plain": 30.0})])

    assert beside_peer(cells, photo="500x375", num_clients=8, way=PLAIN) == pytest.approx(2.0)


def test_the_table_counts_what_was_not_answered():
    failed = Round(
        "500x375",
        [Limit(100, 1, 8, 16)],
        {OURS: {1: Measured(load(9.0, num_refused=2, num_lost=1, num_pending=4), 25.0)}},
    )

    assert cells_of([failed])[0].num_failed == 7


def test_the_table_has_a_line_for_each_photo_server_and_number_of_clients():
    rounds = [one_round(60.0, photo="4032x3024", **RIVALS), one_round(66.0, **RIVALS)]

    lines = to_markdown(cells_of(rounds)).splitlines()

    assert len(lines) == 2 + 6
    assert lines[2] == "| 500x375 | 8 | ours | 66.0 | 66.0-66.0 | 10 | 20 | 25 | 0 | 0.66 | 1.32 |  |"
    assert lines[5].startswith("| 4032x3024 | 8 | ours | 60.0 |")


def test_a_quick_look_is_one_round():
    options = parse(["--quick"])

    assert (options.rounds, options.seconds) == (1, 1.0)


@pytest.mark.slow
@pytest.mark.service
@pytest.mark.skipif(not PYTHON.exists(), reason="the peers are not installed: make bench-peers installs them")
@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.title)
def test_a_peer_answers_what_ours_answers(peer: Peer, service: RunningService, tmp_path: Path):
    photo = write_photo(tmp_path, "500x375").read_bytes()
    body, boundary = multipart(photo, file_name="photo.jpg")
    content_type = f"multipart/form-data; boundary={boundary}"
    ours = send(f"{service.url}/api/predict/?model=fruit", body, content_type=content_type)

    with running(peer, Service(service).served("fruit"), tmp_path) as theirs_at:
        theirs = send(theirs_at.url, body, content_type=content_type)

    assert (ours.status, theirs.status) == (200, 200), theirs.text
    wanted = {score["label"]: score["score"] for score in ours.body["scores"]}
    found = dict(json.loads(theirs.text)["scores"])
    assert next(iter(found)) == next(iter(wanted))
    if peer.way == SAME_ENGINE:
        assert found == pytest.approx(wanted, abs=1e-4)
