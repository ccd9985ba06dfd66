"""Which configurations there are, how they are timed, and which one is chosen."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest
import torch

from classifier_core.engines import EngineSpec
from classifier_core.engines.timing import (
    Configuration,
    Timing,
    candidates,
    fastest,
    time_configurations,
    turns,
    undisturbed,
)
from classifier_core.engines.timing_process import time_separately
from classifier_core.errors import EngineFailed, MachineBusy
from classifier_core.hardware import ProcessorTime

OPENVINO, TORCH = EngineSpec("openvino"), EngineSpec("torch")
USUAL, TOGETHER, OTHER = Configuration(OPENVINO, 2, 1), Configuration(OPENVINO, 2, 4), Configuration(TORCH, 2, 1)
NOWHERE = Configuration(EngineSpec("openvino", "cuda"), 1, 1)


@pytest.mark.parametrize(
    ("alone", "together", "calls"),
    [(0.002, 0.004, 60), (0.03, 0.1, 4), (0.1, 0.2, 3), (2.0, 1.0, 1), (2.0, 64.0, 1), (0.0, 0.0, 120000)],
)
def test_slow_network_with_many_callers_is_timed_shortly(alone, together, calls):
    assert turns(alone, together_seconds=together) == calls


@pytest.mark.parametrize(("has_it", "precisions"), [(True, ["float32", "bfloat16"]), (False, ["float32"])])
def test_candidates_are_what_the_cpu_computes(monkeypatch, has_it, precisions):
    monkeypatch.setattr("classifier_core.engines.openvino.has_bfloat16", lambda: has_it)

    found = candidates("cpu", num_threads=[2, 1], batch_sizes=[4, 1])

    assert [str(one.spec) for one in found[::4]] == [
        f"{engine}-cpu-{precision}" for engine in ("openvino", "torch") for precision in precisions
    ]
    assert [(one.num_threads, one.batch_size) for one in found[:4]] == [(1, 1), (1, 4), (2, 1), (2, 4)]


def test_cuda_is_not_tried_with_every_number_of_threads():
    found = candidates("cuda", num_threads=[1, 16], batch_sizes=[1, 8])

    assert {one.num_threads for one in found} == {16}
    assert {one.spec.engine for one in found} == {"torch"}
    assert len(found) == 6


@pytest.mark.parametrize(
    ("figures", "equal", "chosen"),
    [
        ({USUAL: 100, TOGETHER: 111}, {USUAL, TOGETHER}, TOGETHER),
        ({USUAL: 100, TOGETHER: 109}, {USUAL, TOGETHER}, USUAL),  # a difference that the next timing may turn round
        ({USUAL: 100, TOGETHER: 900}, {USUAL}, USUAL),  # fast, and nobody knows whether it answers alike
        ({USUAL: 100, TOGETHER: 900}, {TOGETHER}, TOGETHER),
        ({TOGETHER: 900}, {TOGETHER}, USUAL),  # faster than what?
        ({USUAL: 100, TOGETHER: 200, OTHER: 300}, {TOGETHER, OTHER}, OTHER),
        ({USUAL: 100, TOGETHER: None, OTHER: 50}, {TOGETHER, OTHER}, USUAL),
        ({}, set(), USUAL),
    ],
)
def test_fastest_equal_one_is_chosen(figures, equal, chosen):
    timings = [Timing(one, rate, 1.0) for one, rate in figures.items()]

    assert fastest(timings, USUAL, equal.__contains__) == chosen


def test_of_two_that_are_as_fast_the_quicker_answer_is_chosen():
    timings = [Timing(USUAL, 100.0, 9.0), Timing(TOGETHER, 200.0, 9.0), Timing(OTHER, 200.0, 5.0)]

    assert fastest(timings, USUAL, lambda _: True) == OTHER


def moments(*others: float):
    """What the clock of the processor says around measurements of a second, beside which others had such a share."""
    cores, busy, told = os.cpu_count() or 1, 0.0, []
    for number, share in enumerate(others):
        told.append(ProcessorTime(busy, number, 2 * number))
        busy += 1 + share * cores  # a second of our own
        told.append(ProcessorTime(busy, number + 1, 2 * number + 1))
    return iter(told).__next__


def test_disturbed_timing_is_made_again():
    figures = iter([5.0, 6.0, 7.0])

    assert undisturbed(figures.__next__, 0.1, now=moments(0.5, 0.05)) == 6.0


def test_timing_without_a_quiet_moment_is_none():
    with pytest.raises(MachineBusy, match="Other programs took 40%"):
        undisturbed(lambda: 5.0, 0.1, now=moments(0.9, 0.9, 0.4))


def test_each_configuration_is_timed_or_told_why_not(exported):
    wanted = [Configuration(OPENVINO, 1, 1), Configuration(OPENVINO, 1, 4), NOWHERE]

    one, four, none = time_configurations(exported, wanted, num_callers=2, max_others=1.0)

    assert [timing.configuration for timing in (one, four, none)] == wanted
    assert one.image_ms == four.image_ms
    # A single thread computes both, beside whatever else the machine does: units a thousand apart would show.
    for timing in (one, four):
        assert 0.02 < timing.images_per_second * timing.image_ms / 1000 < 50
    assert none.images_per_second is None
    assert "does not run float32 on cuda" in none.error


def test_a_process_of_its_own_tells_the_same(exported):
    [timing] = time_separately(exported.folder, [NOWHERE], num_callers=1)

    assert timing.configuration == NOWHERE
    assert "does not run float32 on cuda" in timing.error


def test_who_needs_the_machine_ends_the_process(exported):
    start = time.monotonic()

    with pytest.raises(MachineBusy, match="went first"):
        list(time_separately(exported.folder, [USUAL] * 100, num_callers=1, is_wanted=lambda: True))

    assert time.monotonic() - start < 20


def test_missing_artifact_is_an_error_in_words(tmp_path: Path):
    with pytest.raises(EngineFailed, match=r"It could not be timed: .*gone"):
        list(time_separately(tmp_path / "gone", [NOWHERE], num_callers=1))


def kill_the_process() -> None:
    """As the kernel ends what takes too much memory."""
    for pid in Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split():
        if b"timing_process" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(int(pid), signal.SIGKILL)


def test_what_was_told_before_the_process_was_killed_stays(exported):
    timings = time_separately(exported.folder, [NOWHERE, *[USUAL] * 100], num_callers=1, max_others=1.0)
    assert next(timings).configuration == NOWHERE
    kill_the_process()

    with pytest.raises(EngineFailed, match="memory runs out"):
        list(timings)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_device_that_is_not_there_is_told(exported):
    [timing] = time_configurations(exported, [Configuration(EngineSpec("torch", "cuda"), 1, 1)], num_callers=1)

    assert "finds no CUDA device" in timing.error
