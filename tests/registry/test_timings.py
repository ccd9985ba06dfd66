"""How fast a version runs here: measured, kept, and followed by what serves."""

import shutil
from collections.abc import Callable, Iterator
from functools import partial
from io import StringIO
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from classifier_core.artifact import load_artifact
from classifier_core.engines import EngineSpec
from classifier_core.engines.timing import Configuration, Timing
from classifier_core.engines.timing_process import time_separately
from classifier_core.errors import EngineFailed, MachineBusy
from recognizer.registry import configurations, serving, timekeeping, timings
from recognizer.registry.models import EngineTiming, Hardware, LoadedVersion, ModelVersion, RegisteredModel
from tests.recognition import answered, serve_tiny

pytestmark = pytest.mark.django_db
BFLOAT16 = EngineSpec("openvino", precision="bfloat16")
REFERENCE, UNMEASURED = EngineTiming.Parity.REFERENCE, EngineTiming.Parity.UNMEASURED


@pytest.fixture
def version(fruit: RegisteredModel) -> ModelVersion:
    found = fruit.desired_version()
    assert found
    return found


def timed(version: ModelVersion, rate: float | None, *, machine: Hardware | None = None, **fields: Any) -> EngineTiming:
    """A row of the usual configuration of this machine, but for what is given."""
    usual = {"engine": "openvino", "device": "cpu", "precision": "float32", "parity": EngineTiming.Parity.PASSED}
    sizes = {"num_threads": configurations.num_threads(), "batch_size": 1, "image_ms": 5.0}
    return EngineTiming.objects.create(
        version=version,
        hardware=machine or Hardware.here(),
        images_per_second=rate,
        **(usual | sizes | fields),
    )


def chosen(version: ModelVersion) -> Configuration:
    return configurations.chosen_configuration(load_artifact(serving.artifact_store.folder_of(version.artifact_sha256)))


def usual() -> Configuration:
    return Configuration(EngineSpec("openvino"), configurations.num_threads(), 1)


def test_without_timings_the_usual_one_serves(version: ModelVersion):
    assert chosen(version) == usual()


def test_the_fastest_that_answers_alike_serves(version: ModelVersion):
    timed(version, 100)
    timed(version, 150, engine="torch", parity=REFERENCE)
    timed(version, 900, engine="torch", precision="bfloat16", parity=UNMEASURED)

    assert chosen(version) == Configuration(EngineSpec("torch"), configurations.num_threads(), 1)


@pytest.mark.parametrize(("now", "serves"), [("passed", BFLOAT16), ("failed", EngineSpec("openvino"))])
def test_what_photos_say_now_counts_more_than_when_it_was_timed(
    version: ModelVersion, monkeypatch: pytest.MonkeyPatch, now: str, serves: EngineSpec
):
    timed(version, 100)
    timed(version, 900, precision="bfloat16", parity=UNMEASURED)
    monkeypatch.setattr(
        "classifier_core.engines.precision.judge_parity", lambda _, spec: now if spec == BFLOAT16 else "passed"
    )

    assert chosen(version).spec == serves


def test_timings_of_other_hardware_say_nothing(version: ModelVersion):
    elsewhere = Hardware.objects.create(fingerprint="f" * 64, description={})
    timed(version, 100, machine=elsewhere)
    timed(version, 900, engine="torch", parity=REFERENCE, machine=elsewhere)

    assert chosen(version) == usual()
    assert timings.untimed(version)


@pytest.mark.parametrize(
    ("named", "value", "faster"),
    [
        ("RECOGNIZER_ENGINE", "openvino", {"engine": "torch"}),
        ("RECOGNIZER_PRECISION", "float32", {"precision": "bfloat16"}),
        ("RECOGNIZER_NUM_THREADS", 3, {"num_threads": 99}),
        ("RECOGNIZER_BATCH_SIZE", 1, {"batch_size": 2}),
    ],
)
def test_what_the_operator_names_is_not_overruled(
    version: ModelVersion,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    named: str,
    value: str | int,
    faster: dict[str, Any],
):
    monkeypatch.setattr("classifier_core.engines.precision.judge_parity", lambda *_: "passed")
    settings.RECOGNIZER_BATCH_SIZE = 2
    timed(version, 100)
    timed(version, 900, **faster)
    assert chosen(version) != usual()

    setattr(settings, named, value)
    if named == "RECOGNIZER_NUM_THREADS":
        timed(version, 100)

    assert chosen(version) == usual()


def test_worker_loads_anew_when_another_one_is_faster(version: ModelVersion):
    serving.refresh()
    before = serving.serving_version(version.model_id)
    timed(version, 100)
    serving.refresh()
    assert serving.serving_version(version.model_id).classifier is before.classifier  # nothing else was chosen

    timed(version, 200, num_threads=configurations.num_threads() + 1)
    serving.refresh()

    after = serving.serving_version(version.model_id)
    assert before.configuration == usual()
    assert after.configuration.num_threads == configurations.num_threads() + 1
    serving.refresh()
    assert serving.serving_version(version.model_id) is after


def test_images_go_together_where_that_is_faster(version: ModelVersion, client: Any, settings: Any):
    settings.RECOGNIZER_BATCH_SIZE = 2
    timed(version, 100)
    timed(version, 200, batch_size=2)
    serving.refresh()

    assert serving.serving_version(version.model_id).configuration.batch_size == 2
    assert answered(client)["model"]["engine"] == "openvino"


def test_answers_and_readiness_say_what_ran(version: ModelVersion, client: Any):
    timed(version, 100)
    timed(version, 200, engine="torch", parity=REFERENCE)
    serving.refresh()

    [loaded] = client.get("/readyz").json()["models"][0]["loaded"]
    ran = answered(client)["model"]

    assert (loaded["engine"], loaded["device"], loaded["precision"]) == ("torch", "cpu", "float32")
    assert (ran["engine"], ran["device"], ran["precision"]) == ("torch", "cpu", "float32")


@pytest.mark.skipif(Path("/proc/driver/nvidia").exists(), reason="there is a GPU")
def test_missing_device_is_an_error_and_never_the_cpu(version: ModelVersion, settings: Any, client: Any):
    settings.RECOGNIZER_DEVICE = "cuda"

    serving.refresh()

    row = LoadedVersion.objects.get()
    assert row.version is None
    assert "finds no CUDA device" in row.error
    assert client.get("/readyz").status_code == 503
    with pytest.raises(CommandError, match=r"The settings ask for torch-cuda-float32\. torch finds no CUDA device"):
        call_command("models", "hardware")


def test_senseless_wish_is_an_error_in_words(settings: Any):
    settings.RECOGNIZER_ENGINE, settings.RECOGNIZER_PRECISION = "openvino", "float16"

    with pytest.raises(CommandError, match=r"openvino does not run float16 on cpu\. There is: "):
        call_command("models", "hardware")


def test_command_says_what_is_there():
    said = StringIO()

    call_command("models", "hardware", stdout=said)

    assert str(configurations.describe_hardware()) in said.getvalue()
    assert "The settings ask for openvino-cpu-float32 or better, which is there." in said.getvalue()


@pytest.fixture
def _noisy(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """Tests run beside tests: what the timing says does not matter here. Few configurations, none that loads torch."""
    settings.RECOGNIZER_ENGINE, settings.RECOGNIZER_NUM_THREADS = "openvino", 1
    settings.RECOGNIZER_PRECISION = "float32"
    monkeypatch.setattr(timings, "time_separately", partial(time_separately, max_others=1.0))


@pytest.mark.files
@pytest.mark.usefixtures("_noisy")
def test_command_times_what_serves_and_keeps_it(version: ModelVersion):
    said = StringIO()

    call_command("models", "time", "fruit", stdout=said)

    rows = list(EngineTiming.objects.all())
    assert [(row.engine, row.num_threads, row.batch_size) for row in rows] == [("openvino", 1, 1), ("openvino", 1, 2)]
    assert all(row.images_per_second > 0 and row.image_ms > 0 and not row.error for row in rows)
    assert {row.parity for row in rows} == {EngineTiming.Parity.PASSED}
    assert [row.is_chosen for row in rows].count(True) == 1
    assert {row.hardware for row in rows} == {Hardware.here()}
    assert not timings.untimed(version)
    [line] = [line for line in said.getvalue().splitlines() if line.startswith("  > ")]
    assert "openvino on cpu in float32" in line


@pytest.mark.files
@pytest.mark.usefixtures("_noisy")
def test_disturbed_timing_leaves_the_old_one(version: ModelVersion):
    old = timed(version, 100)

    with pytest.raises(MachineBusy):
        timings.measure(version, is_wanted=lambda: True)

    assert list(EngineTiming.objects.all()) == [old]


def told(*timings: Timing, then: Exception | None = None) -> Callable[..., Iterator[Timing]]:
    """A process that times so much, and then ends."""

    def time_separately(*_: Any, **__: Any) -> Iterator[Timing]:
        yield from timings
        if then:
            raise then

    return time_separately


@pytest.mark.usefixtures("_noisy")
def test_light_traffic_gets_a_table_bit_by_bit(version: ModelVersion, monkeypatch: pytest.MonkeyPatch):
    first, second = timings.untimed(version)
    monkeypatch.setattr(timings, "time_separately", told(Timing(first, 100.0, 5.0), then=MachineBusy("Wanted.")))

    with pytest.raises(MachineBusy):
        timings.measure(version, timings.untimed(version))

    assert timings.untimed(version) == [second]
    assert EngineTiming.objects.get().images_per_second == 100.0


@pytest.mark.usefixtures("_noisy")
def test_what_kills_the_process_is_not_timed_again(version: ModelVersion, monkeypatch: pytest.MonkeyPatch):
    first, _ = timings.untimed(version)
    monkeypatch.setattr(timings, "time_separately", told(Timing(first, 100.0, 5.0), then=EngineFailed("Killed.")))
    monkeypatch.setattr(timekeeping, "_require_quiet", lambda _: None)
    serving.refresh()

    assert not timekeeping._time_or_log(lambda: False)

    assert [(row.images_per_second, row.error) for row in EngineTiming.objects.all()] == [
        (100.0, ""),
        (None, "Killed."),
    ]
    assert timekeeping._time_or_log(lambda: False)


def test_accident_leaves_good_figures_as_they_were(version: ModelVersion, monkeypatch: pytest.MonkeyPatch):
    every = timings.untimed(version)
    monkeypatch.setattr(timings, "time_separately", told(*(Timing(one, 100.0, 5.0) for one in every)))
    timings.measure(version)
    monkeypatch.setattr(timings, "time_separately", told(Timing(every[0], 90.0, 6.0), then=EngineFailed("Killed.")))

    with pytest.raises(EngineFailed):
        timings.measure(version)

    assert {row.error for row in EngineTiming.objects.all()} == {""}
    assert sorted({row.images_per_second for row in EngineTiming.objects.all()}) == [90.0, 100.0]


def test_pause_grows_with_each_failure():
    pauses = [timekeeping.pause_seconds(failures) for failures in (0, 1, 2, 9, 9999)]

    assert pauses == [30, 60, 120, 3840, 3840]


def test_workers_with_other_settings_keep_each_others_timings(
    version: ModelVersion, settings: Any, monkeypatch: pytest.MonkeyPatch
):
    for engine in ("openvino", "torch"):
        settings.RECOGNIZER_ENGINE, settings.RECOGNIZER_PRECISION = engine, "float32"
        ours = [Timing(one, 100.0, 5.0) for one in timings.untimed(version)]
        monkeypatch.setattr(timings, "time_separately", told(*ours))
        rows = timings.measure(version)
        assert {row.engine for row in rows} == {engine}

    assert not timings.untimed(version)
    settings.RECOGNIZER_ENGINE = "auto"
    assert not timings.untimed(version)


@pytest.mark.parametrize("named", [{}, {"ENGINE": "torch"}, {"PRECISION": "float32"}, {"NUM_THREADS": 3}])
def test_timings_that_count_are_what_is_allowed(version: ModelVersion, settings: Any, named: dict[str, Any]):
    for engine, precision, threads, size in product(("openvino", "torch"), ("float32", "bfloat16"), (1, 3), (1, 2, 77)):
        timed(version, 100, engine=engine, precision=precision, num_threads=threads, batch_size=size)
    settings.RECOGNIZER_BATCH_SIZE = 2
    for name, value in named.items():
        setattr(settings, f"RECOGNIZER_{name}", value)

    allowed = [
        one for one in EngineTiming.objects.all() if configurations.is_allowed(configurations.configuration_of(one))
    ]

    assert list(configurations.timings_that_count()) == allowed
    assert allowed


@pytest.mark.parametrize(("engine", "precision"), [("auto", "float16"), ("torch", "bfloat16")])
def test_nothing_to_time_is_told_and_deletes_nothing(
    version: ModelVersion, settings: Any, monkeypatch: pytest.MonkeyPatch, engine: str, precision: str
):
    monkeypatch.setattr("classifier_core.engines.openvino.has_bfloat16", lambda: False)
    old = timed(version, 100)
    settings.RECOGNIZER_ENGINE, settings.RECOGNIZER_PRECISION = engine, precision

    with pytest.raises(CommandError, match=f"leave nothing to time: .*{precision} does not run on this machine"):
        call_command("models", "time", "fruit")

    assert list(EngineTiming.objects.all()) == [old]


def test_names_that_serve_nothing_are_told(fruit_rows: RegisteredModel):
    RegisteredModel.objects.create(name="idle")

    with pytest.raises(CommandError, match="Nothing serves of idle"):
        call_command("models", "time", "idle")
    with pytest.raises(CommandError, match="no model named 'cars'"):
        call_command("models", "time", "cars")


@pytest.mark.usefixtures("_noisy")
def test_worker_waits_for_a_quiet_machine(version: ModelVersion, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(timekeeping, "QUIET_SECONDS", 0.01)
    serving.refresh()

    with pytest.raises(MachineBusy):
        timekeeping.time_what_serves(lambda: True)

    assert not EngineTiming.objects.exists()


def test_worker_times_nothing_twice(version: ModelVersion, settings: Any):
    """Also not the same artifact under another name; and what is marked as chosen follows the settings."""
    settings.RECOGNIZER_ENGINE = "auto"
    serve_tiny("cars", version.artifact_sha256)
    for one in timings.offered_configurations():
        rate = 900 if one.spec.engine == "torch" else 100
        timed(
            version, rate, engine=one.spec.engine, precision=one.spec.precision,
            num_threads=one.num_threads, batch_size=one.batch_size,
        )  # fmt: skip
    serving.refresh()

    timekeeping.time_what_serves(lambda: True)
    assert EngineTiming.objects.get(is_chosen=True).engine == "torch"

    settings.RECOGNIZER_ENGINE = "openvino"
    timekeeping.time_what_serves(lambda: True)
    assert EngineTiming.objects.get(is_chosen=True).engine == "openvino"


def test_failed_configuration_is_not_tried_for_ever(version: ModelVersion, settings: Any):
    settings.RECOGNIZER_ENGINE, settings.RECOGNIZER_NUM_THREADS = "openvino", 1
    for one in timings.offered_configurations():
        timed(version, None, precision=one.spec.precision, num_threads=1, batch_size=one.batch_size, error="No.")

    assert not timings.untimed(version)
    assert chosen(version) == usual()


def test_artifact_without_a_graph_has_no_parity(version: ModelVersion, tmp_path: Path):
    from classifier_core.engines.precision import judge_parity

    folder = serving.artifact_store.folder_of(version.artifact_sha256)
    copy = load_artifact(shutil.copytree(folder, tmp_path / "copy", ignore=shutil.ignore_patterns("engines")))

    assert judge_parity(load_artifact(folder), EngineSpec("openvino")) == "passed"
    assert judge_parity(copy, EngineSpec("openvino")) == "unmeasured"
    assert judge_parity(copy, EngineSpec("torch")) == "reference"
    assert judge_parity(copy, EngineSpec("torch", "cpu", "bfloat16")) == "unmeasured"
