"""The whole service as one thing: start in order, watch, restart what dies, stop in reverse."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from recognizer.supervisor.child import Child
from recognizer.supervisor.leftovers import ChildrenFile
from recognizer.supervisor.options import PROJECT_DIR, Options
from recognizer.supervisor.orphans import wrapped
from recognizer.supervisor.paths import broker_dir, broker_socket, create_socket_dir, run_dir
from recognizer.supervisor.programs import broker_answers, broker_speaks, list_programs, web_answers
from recognizer.supervisor.silence import ASK_SECONDS, MAX_SILENCES, SilenceWatch

MAX_DEATHS_AT_START = 3
READY_SECONDS = 120.0
TICK_SECONDS = 0.1
LOG_CHECK_SECONDS = 60.0


class StartFailed(Exception):
    """A part of the service does not come up. The text shows what it said last."""


class StopRequested(Exception):
    """Somebody asked us to stop while we were waiting."""


class StopSignal:
    """Counts the requests to stop: the first is polite, the second is in a hurry."""

    def __init__(self) -> None:
        self.num_requests = 0
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._count)

    def _count(self, _number: int, _frame: FrameType | None) -> None:
        self.num_requests += 1

    def check(self) -> None:
        """Raises StopRequested once a request has come."""
        if self.num_requests:
            raise StopRequested


def say(text: str) -> None:
    """Tell the person at the terminal, who may have closed it."""
    with contextlib.suppress(BrokenPipeError, OSError):
        print(text, flush=True)


class Service:
    """Broker, workers, beat and web of one data folder."""

    def __init__(self, options: Options, *, children: ChildrenFile, stop: StopSignal) -> None:
        self.options = options
        self._stop = stop
        self._children_file = children
        logs = run_dir(options.data_dir)
        self.children = [
            Child(program, environment=options.environment(), log=logs / f"{program.name}.log", children=children)
            for program in list_programs(options)
        ]
        broker = self.children[0] if options.has_own_broker else None
        self._broker_watch = SilenceWatch(broker, speaks=lambda: broker_speaks(options)) if broker else None
        self._logs_checked_at = time.monotonic()
        self.login = ""  # of the first admin, if this start made one
        self.is_ready = False  # at the end of the start; later /readyz knows

    def start(self) -> None:
        """Start everything and wait until it answers. Raises StartFailed or StopRequested."""
        if self.options.has_own_broker:
            self._start_child(self.children[0])  # it reads its files while the database is prepared
        self.login = login_line(self._prepare())
        if self.options.has_own_broker:
            self._wait_for("The broker", lambda: broker_answers(self.options))
        for child in self.children:
            if not child.is_running:
                self._start_child(child)
        self._wait_for("The web page", lambda: web_answers(self.options, "/healthz"))
        self.is_ready = self._wait_for("The first model", lambda: web_answers(self.options, "/readyz"))

    def _start_child(self, child: Child) -> None:
        if child.program.name == "broker":
            # Each time: whoever lost the broker's files may have lost the folder too.
            broker_dir(self.options.data_dir).mkdir(parents=True, exist_ok=True)
            create_socket_dir(broker_socket(self.options.data_dir))
        child.start()

    def _prepare(self) -> dict[str, str]:
        prepare = [sys.executable, "-m", "recognizer.supervisor.prepare", "--workers-here"]
        command = wrapped(prepare, stop_signal=signal.SIGKILL)
        environment = self.options.environment()
        with subprocess.Popen(
            command, cwd=PROJECT_DIR, env=environment, stdout=subprocess.PIPE, start_new_session=True
        ) as process:
            self._children_file.remember("set-up", process.pid)
            try:
                self._wait_until(lambda: process.poll() is not None, seconds=float("inf"))
            except BaseException:
                process.kill()
                raise
            output = process.stdout.read() if process.stdout else b""
        self._children_file.forget("set-up")
        if process.returncode != 0:
            raise StartFailed(
                "The set-up did not finish; the reason is above. Nothing is lost: start again afterwards."
            )
        return dict(json.loads(output.splitlines()[0]))

    def _wait_for(self, what: str, is_ready: Callable[[], bool]) -> bool:
        """Whether it is ready in time; says so if not."""
        is_in_time = self._wait_until(is_ready, seconds=READY_SECONDS)
        if not is_in_time:
            say(f"{what} is not ready after {READY_SECONDS:.0f} s. See {run_dir(self.options.data_dir)}/*.log")
        return is_in_time

    def _wait_until(self, is_done: Callable[[], bool], *, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._stop.check()
            self.tend()
            for child in self.children:
                if child.deaths_in_a_row >= MAX_DEATHS_AT_START:
                    raise StartFailed(f"The {child.program.name} does not start. Its log is {child.log}.")
            if is_done():
                return True
            time.sleep(TICK_SECONDS)
        return False

    def watch(self) -> None:
        """Keep every child running until a request to stop comes."""
        while not self._stop.num_requests:
            self.tend()
            time.sleep(TICK_SECONDS)

    def tend(self) -> None:
        """Look at every child once: collect the dead, start those whose time has come."""
        for child in self.children:
            ending = child.collect()
            if ending:
                say(f"The {child.program.name} {ending}; it starts again in {child.delay_seconds:g} s. It said last:")
                say(child.tail())
            if child.deaths_in_a_row and child.is_due:
                self._try_restart(child)
        self._children_file.catch_up()
        if self._broker_watch and self._broker_watch.check():
            say(f"The broker has not answered for {ASK_SECONDS * MAX_SILENCES:.0f} s. It is killed and starts again.")
        if time.monotonic() - self._logs_checked_at > LOG_CHECK_SECONDS:
            self._logs_checked_at = time.monotonic()
            for child in self.children:
                child.rotate_log()

    def _try_restart(self, child: Child) -> None:
        try:
            self._restart(child)
        except OSError as error:  # no memory, no disk: both may come back
            child.postpone()
            say(f"The {child.program.name} cannot start ({error}); the next try is in {child.delay_seconds:g} s.")

    def _restart(self, child: Child) -> None:
        fails = child.deaths_in_a_row >= MAX_DEATHS_AT_START - 1 and not child.was_killed
        if child.program.name == "broker" and fails:
            self._put_broker_files_aside()
        self._start_child(child)

    def _put_broker_files_aside(self) -> None:
        # Files it cannot read must not keep the service down: the database knows all that waits.
        files = broker_dir(self.options.data_dir) / "appendonlydir"
        if files.exists():
            aside = files.with_name(f"unreadable-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}")
            files.rename(aside)
            say(f"The broker starts empty, its old files are in {aside}. The database knows what still waits.")

    def stop(self) -> None:
        """Stop all children, the last started first. A second request to stop kills what is left."""
        for child in reversed(self.children):
            child.terminate()
            deadline = time.monotonic() + child.program.grace_seconds
            while child.is_running and child.collect() is None:
                if time.monotonic() > deadline or self._stop.num_requests > 1:
                    child.signal_group(signal.SIGKILL)
                time.sleep(0.02)


def run(options: Options, *, children: ChildrenFile, started_at: float) -> int:
    """Start, watch and stop the service. Gives the exit code: 0, or 1 when something did not come up."""
    service = Service(options, children=children, stop=StopSignal())
    say(f"Recognizer is starting; its data is in {options.data_dir}")
    try:
        service.start()
        seconds = time.monotonic() - started_at
        say(greeting(options, service.login, seconds=seconds, is_ready=service.is_ready))
        service.watch()
    except (StartFailed, OSError) as failure:
        say(f"Recognizer cannot start: {failure}\n{service.login}".rstrip())
        return 1
    except StopRequested:
        say(service.login or "Stopping.")
    finally:
        service.stop()
    say("Recognizer has stopped.")
    return 0


def login_line(admin: dict[str, str]) -> str:
    """How the first admin signs in; empty when there was one already."""
    if "password" in admin:
        return f"  Login  user {admin['admin']}, password {admin['password']} (shown only this once)"
    return f"  Login  user {admin['admin']}, password from DJANGO_SUPERUSER_PASSWORD" if admin else ""


def greeting(options: Options, login: str, *, seconds: float, is_ready: bool = True) -> str:
    """What a person needs once the service runs: address, login, logs, how to stop."""
    lines = [
        f"Recognizer is ready after {seconds:.1f} s. Ctrl-C stops it."
        if is_ready
        else "Recognizer runs and goes on trying, but cannot answer yet. Ctrl-C stops it.",
        *(f"  Page   {url}/" for url in (options.url, *options.other_urls)),
        f"  Admin  {options.url}/admin/",
        login,
        f"  Logs   {_short(run_dir(options.data_dir))}/*.log",
    ]
    return "\n".join(line for line in lines if line)


def _short(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
