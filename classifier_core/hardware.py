"""What this machine is, and how busy it is. Reads /proc, as on Linux; loads no runtime."""

import hashlib
import json
import os
import platform
import re
import time
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
# Of the CPU's flags those that decide how fast a network runs: the same name may be sold with and without them.
_VECTOR_FLAGS = {"avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_bf16", "amx_int8", "asimd", "bf16"}
_RUNTIMES = ("openvino", "torch")


@dataclass(frozen=True)
class Hardware:
    """What a timing depends on beside the network. Timings of other hardware say nothing here."""

    cpu: str
    num_cores: int  # that this process may use
    vectors: tuple[str, ...]  # extensions of its instruction set
    gpu: str  # empty: none
    runtimes: dict[str, str]  # name -> version

    @property
    def fingerprint(self) -> str:
        """SHA-256 over all of it."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def __str__(self) -> str:
        cores = f"{self.num_cores} core{'s' if self.num_cores > 1 else ''}"
        runtimes = (f"{name} {number}" for name, number in self.runtimes.items() if number)
        return ", ".join(filter(None, [self.cpu, cores, self.gpu, *runtimes]))


def describe_hardware() -> Hardware:
    """This machine, as this process may use it."""
    cpuinfo = _read("/proc/cpuinfo")
    return Hardware(
        cpu=_field(cpuinfo, "model name") or platform.processor() or platform.machine(),
        num_cores=len(os.sched_getaffinity(0)),
        vectors=tuple(sorted(_VECTOR_FLAGS & {*_field(cpuinfo, "(?:flags|Features)").split()})),
        gpu=_gpu(),
        runtimes={name: _version(name) for name in _RUNTIMES},
    )


def _gpu() -> str:
    # What the driver says: asking torch would load it.
    names = [_field(_read(path), "Model") for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))]
    return ", ".join(filter(None, names))


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


def _field(text: str, name: str) -> str:
    found = re.search(rf"^{name}\s*:\s*(.+)$", text, re.MULTILINE)
    return found.group(1).strip() if found else ""


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


@dataclass(frozen=True)
class ProcessorTime:
    """Seconds of all cores until a moment: busy ones, and those of this process among them."""

    busy: float
    own: float
    at: float  # time.monotonic()

    def busy_share_since(self, before: "ProcessorTime") -> float:
        """How much of the machine was busy, 0-1. What a host takes from a virtual machine counts."""
        whole = (self.at - before.at) * (os.cpu_count() or 1)
        return max(0.0, min(1.0, (self.busy - before.busy) / max(whole, 1e-9)))

    def others_share_since(self, before: "ProcessorTime") -> float:
        """How much of the machine other processes had, 0-1."""
        whole = (self.at - before.at) * (os.cpu_count() or 1)
        return max(0.0, self.busy_share_since(before) - (self.own - before.own) / max(whole, 1e-9))


def processor_time() -> ProcessorTime:
    """Now. Where there is no /proc/stat nothing ever counts as busy."""
    # user nice system idle iowait irq softirq steal; what follows is part of user and nice
    ticks = [int(value) for value in _read("/proc/stat").partition("\n")[0].split()[1:9]]
    busy = sum(ticks) - sum(ticks[3:5])
    return ProcessorTime(busy / _TICKS_A_SECOND, time.process_time(), time.monotonic())
