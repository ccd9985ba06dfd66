"""What manage.py itself does, before a command says anything."""

import pytest

import manage


def test_ctrl_c_while_something_is_imported_shows_no_traceback(monkeypatch, capsys):
    def stop(_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("django.core.management.execute_from_command_line", stop)
    with pytest.raises(SystemExit) as left:
        manage.main()

    assert left.value.code == 130
    assert capsys.readouterr().err == "Stopped.\n"
