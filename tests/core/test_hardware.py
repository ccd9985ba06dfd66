"""What a machine is called, and how busy it is."""

import os
import time
from dataclasses import replace

import pytest

from classifier_core import hardware
from classifier_core.hardware import ProcessorTime, describe_hardware, processor_time

CORES = os.cpu_count() or 1


def test_fingerprint_stays_until_something_changes():
    here = describe_hardware()

    assert here.cpu
    assert here.num_cores == len(os.sched_getaffinity(0))
    assert describe_hardware().fingerprint == here.fingerprint
    for change in ({"num_cores": 99}, {"gpu": "H100"}, {"runtimes": {"openvino": "1"}}, {"vectors": ("none",)}):
        assert replace(here, **change).fingerprint != here.fingerprint


def test_hardware_is_read_from_what_linux_tells(monkeypatch: pytest.MonkeyPatch):
    told = "processor\t: 0\nmodel name\t: Fast CPU\nflags\t\t: fpu avx2 amx_bf16 sse\n\nmodel name\t: Other\n"
    monkeypatch.setattr(hardware, "_read", lambda _: told)

    found = describe_hardware()

    assert found.cpu == "Fast CPU"
    assert found.vectors == ("amx_bf16", "avx2")
    assert str(found).startswith("Fast CPU, ")


def test_shares_by_hand():
    before, after = ProcessorTime(busy=10, own=1, at=100), ProcessorTime(busy=10 + CORES, own=1 + CORES / 4, at=102)

    assert after.busy_share_since(before) == pytest.approx(0.5)
    assert after.others_share_since(before) == pytest.approx(0.375)


def test_own_work_is_no_disturbance():
    before = processor_time()
    while time.process_time() - before.own < 0.3:
        pass
    after = processor_time()

    assert after.own - before.own >= 0.3
    assert after.busy - before.busy >= 0.2  # the kernel counts in hundredths, each core for itself
    assert after.others_share_since(before) <= after.busy_share_since(before) - 0.2 / ((after.at - before.at) * CORES)
