"""A broker that hangs for good is ended; one that is slow for a moment, or loads its files, is not."""

import signal
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from recognizer.supervisor import silence
from recognizer.supervisor.child import Child
from recognizer.supervisor.leftovers import ChildrenFile
from recognizer.supervisor.options import Options
from recognizer.supervisor.paths import broker_dir, broker_socket, create_socket_dir
from recognizer.supervisor.programs import broker_answers, broker_speaks, list_programs
from recognizer.supervisor.silence import MAX_SILENCES, SilenceWatch
from tests.service import wait_until
from tests.supervisor.test_child import wait_for_end


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(silence, "ASK_SECONDS", 0.0)


@pytest.fixture
def options(tmp_path):
    return Options(host="127.0.0.1", port=8123, data_dir=tmp_path, has_own_broker=True)


@pytest.fixture
def broker(options, tmp_path):
    broker_dir(options.data_dir).mkdir(parents=True)
    create_socket_dir(broker_socket(options.data_dir))
    files = {"log": tmp_path / "broker.log", "children": ChildrenFile(tmp_path / "children.json")}
    child = Child(list_programs(options)[0], environment=options.environment(), **files)
    child.start()
    wait_until(lambda: broker_answers(options), seconds=10, what="A broker")
    yield child
    child.signal_group(signal.SIGKILL)
    wait_for_end(child)


def test_hung_broker_is_ended_after_several_silences(broker, options):
    watch = SilenceWatch(broker, speaks=lambda: broker_speaks(options))
    assert not watch.check()

    broker.signal_group(signal.SIGSTOP)

    assert [watch.check() for _ in range(MAX_SILENCES)] == [False] * (MAX_SILENCES - 1) + [True]
    assert wait_for_end(broker) == "was ended by SIGKILL"
    assert broker.was_killed  # so that its files stay
    assert not watch.check()


def test_silences_of_an_earlier_process_count_against_no_other(broker):
    watch = SilenceWatch(broker, speaks=lambda: False)
    assert not any(watch.check() for _ in range(MAX_SILENCES - 1))

    broker.signal_group(signal.SIGKILL)
    wait_for_end(broker)
    broker.start()

    assert [watch.check() for _ in range(MAX_SILENCES)] == [False] * (MAX_SILENCES - 1) + [True]


def test_broker_that_loads_its_files_speaks(options):
    place = broker_socket(options.data_dir)
    create_socket_dir(place)
    with socket.socket(socket.AF_UNIX) as listener, ThreadPoolExecutor(1) as loading:
        listener.bind(str(place))
        listener.listen()
        replies = loading.submit(lambda: [_reply(listener, b"-LOADING the dataset\r\n") for _ in range(2)])

        assert broker_speaks(options)
        assert not broker_answers(options)
        replies.result(5)


def _reply(listener: socket.socket, words: bytes) -> None:
    client, _ = listener.accept()
    with client:
        client.recv(64)
        client.sendall(words)


def test_one_answer_forgives_the_silences_before(broker):
    answers = iter([*[False] * (MAX_SILENCES - 1), True] * 2)
    watch = SilenceWatch(broker, speaks=lambda: next(answers))

    assert not any(watch.check() for _ in range(2 * MAX_SILENCES))
    assert broker.collect() is None
