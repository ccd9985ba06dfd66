"""The page of a version says how fast it runs, on which machine, and what is chosen."""

import re
from typing import Any

import pytest
from django.test import Client
from django.utils.timezone import now

from recognizer.registry.models import EngineTiming, Hardware, LoadedVersion, ModelVersion
from tests.registry_rows import promoted_version, registered_version

pytestmark = pytest.mark.django_db
PARITY = EngineTiming.Parity


def page(client: Client, version: ModelVersion) -> str:
    text = client.get(f"/admin/registry/modelversion/{version.pk}/change/").content.decode()
    return re.sub(r"\s+", " ", text)


def machine(cpu: str) -> Hardware:
    parts = {"cpu": cpu, "num_cores": 2, "vectors": [], "gpu": "", "runtimes": {"openvino": "2026.4"}}
    return Hardware.objects.create(fingerprint=cpu, description=parts)


def timed(version: ModelVersion, hardware: Hardware, **fields: Any) -> EngineTiming:
    usual = {"engine": "openvino", "device": "cpu", "precision": "float32", "num_threads": 2, "batch_size": 1}
    figures = {"images_per_second": 80.0, "image_ms": 12.5, "parity": PARITY.PASSED}
    return EngineTiming.objects.create(version=version, hardware=hardware, **(usual | figures | fields))


def test_table_marks_what_is_chosen(admin_client: Client) -> None:
    version, hardware = promoted_version("fruit"), machine("Fast CPU")
    timed(version, hardware, is_chosen=True)
    timed(version, hardware, engine="torch", images_per_second=20.0, parity=PARITY.UNMEASURED)
    timed(version, hardware, engine="torch", precision="bfloat16", images_per_second=None, error="Out of <memory>.")

    text = page(admin_client, version)

    assert "<h3>Fast CPU, 2 cores, openvino 2026.4</h3>" in text
    assert text.count(">chosen<") == 1
    assert re.search(r"openvino cpu float32 <span[^>]*>chosen<", text)
    assert re.findall(r'<rect width="([\d.]+)"', text) == ["100.0", "25.0"]
    assert "not measured" in text
    assert "1 of them was not measured to answer like the reference" in text
    assert "Out of &lt;memory&gt;." in text


def test_each_machine_has_a_table(admin_client: Client) -> None:
    version = promoted_version("fruit")
    for cpu in ("One", "Other"):
        timed(version, machine(cpu))

    assert page(admin_client, version).count("<h3>O") == 2


def test_same_artifact_elsewhere_has_the_same_table(admin_client: Client) -> None:
    timed(promoted_version("fruit"), machine("Fast CPU"))

    assert "Fast CPU" in page(admin_client, promoted_version("cars"))


def test_without_timings_the_page_says_what_to_do(admin_client: Client, settings: Any) -> None:
    serving, other = promoted_version("fruit"), registered_version("fruit", number=2)

    assert "as soon as the machine is left alone" in page(admin_client, serving)
    assert "manage.py models time fruit" in page(admin_client, serving)
    assert "Only what serves is timed." in page(admin_client, other)

    settings.RECOGNIZER_TIME_ENGINES = False
    assert "RECOGNIZER_TIME_ENGINES is off" in page(admin_client, serving)


def test_page_says_what_workers_run(admin_client: Client) -> None:
    version = promoted_version("fruit")
    ran = {"engine": "torch", "device": "cuda", "precision": "bfloat16"}
    LoadedVersion.objects.create(worker="box:1", model=version.model, version=version, **ran)

    assert "box:1 runs it on torch, cuda, bfloat16." in page(admin_client, version)


def test_page_says_that_it_rests(admin_client: Client) -> None:
    version = promoted_version("fruit")
    LoadedVersion.objects.create(worker="box:1", model=version.model, version=version, unloaded_at=now())

    shown = page(admin_client, version)

    assert "box:1 loads it when it is asked for." in shown
    assert "runs it on" not in shown
