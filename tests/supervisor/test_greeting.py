"""What the terminal shows: the login exactly when this start made one."""

import json

import pytest

from recognizer.supervisor import prepare, service
from recognizer.supervisor.leftovers import ChildrenFile
from recognizer.supervisor.options import Options, read_options
from recognizer.supervisor.service import greeting, login_line


def test_first_admin_gets_a_password_once(db, django_user_model, monkeypatch):
    made = prepare.create_first_admin()

    admin = django_user_model.objects.get()
    assert admin.is_superuser
    assert admin.check_password(made["password"])
    assert made["password"] in login_line(json.loads(json.dumps(made)))
    assert prepare.create_first_admin() == {}
    assert login_line({}) == ""


def test_given_password_is_never_shown(db, django_user_model, monkeypatch):
    monkeypatch.setenv("DJANGO_SUPERUSER_USERNAME", "ruth")
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", "a long given password")

    line = login_line(prepare.create_first_admin())

    assert django_user_model.objects.get(username="ruth").check_password("a long given password")
    assert "ruth" in line
    assert "a long given password" not in line


@pytest.mark.parametrize(("given", "asked"), [([], []), (["--workers-here"], ["hardware"])])
def test_device_is_looked_for_only_where_workers_run(db, monkeypatch, given, asked):
    verbs = []
    monkeypatch.setattr(prepare, "call_command", lambda _command, verb, **_options: verbs.append(verb))

    assert prepare.main(given) == 0

    assert verbs == [*asked, "starters"]


def test_greeting_names_an_address_for_this_machine(tmp_path):
    everywhere = Options(host="0.0.0.0", port=8123, data_dir=tmp_path, has_own_broker=True)

    shown = greeting(everywhere, "", seconds=3.21)

    assert "ready after 3.2 s" in shown
    assert "http://127.0.0.1:8123/admin/" in shown
    assert "Login" not in shown


def test_late_start_is_not_called_ready(tmp_path, capsys, monkeypatch):
    options = Options(host="127.0.0.1", port=8123, data_dir=tmp_path, has_own_broker=True)
    monkeypatch.setattr(service, "READY_SECONDS", 0.0)
    late = service.Service(options, children=ChildrenFile(tmp_path / "children.json"), stop=service.StopSignal())

    assert not late._wait_for("The first model", lambda: False)

    assert "The first model is not ready after 0 s" in capsys.readouterr().out
    shown = greeting(options, "", seconds=120.0, is_ready=late.is_ready)
    assert "is ready" not in shown
    assert "cannot answer yet" in shown


def test_greeting_names_the_address_for_a_phone():
    options = read_options({"RECOGNIZER_HOST": "0.0.0.0", "RECOGNIZER_ALLOWED_HOSTS": "192.0.2.2, *.example.com"})

    assert "http://192.0.2.2:8000/" in greeting(options, "", seconds=1)
    assert "*.example.com" not in greeting(options, "", seconds=1)


def test_greeting_names_no_other_address_for_this_machine_alone():
    assert "192.0.2.2" not in greeting(read_options({"RECOGNIZER_ALLOWED_HOSTS": "192.0.2.2"}), "", seconds=1)
