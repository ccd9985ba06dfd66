"""The whole circle: a class the model does not know is reviewed into it, and the better model names it.

Through HTTP and the admin, with the real broker and workers, on photos of ground that scikit-image ships.
"""

import io
import random
import zipfile
from pathlib import Path

import pytest
import skimage.data
from PIL import Image

from tests.service import RunningService, wait_until
from tests.system.admin_client import AdminClient
from tests.system.client import send
from tests.system.commands import manage
from tests.system.rows import query

pytestmark = [pytest.mark.service]

MODEL, SIDE = "ground", 96
KNOWN, NEW = ("brick", "gravel"), "grass"
NUM_PHOTOS = 26  # of each class: enough that the split gives some to each part
SECONDS = 240.0  # for one job of the train worker on a busy machine: other tests come first


def photos_of(kind: str, number: int, *, seed: int = 0) -> list[bytes]:
    """Photos of one kind of ground, each of another place, size, turn and light."""
    ground = Image.open(Path(skimage.data.__file__).parent / f"{kind}.png").convert("RGB")
    return [_photo(ground, random.Random(f"{kind} {seed} {photo}")) for photo in range(number)]


def _photo(ground: Image.Image, chance: random.Random) -> bytes:
    side = chance.randint(110, 200)
    left, top = (chance.randint(0, length - side) for length in ground.size)
    place = ground.crop((left, top, left + side, top + side)).resize((SIDE, SIDE))
    light = chance.uniform(0.7, 1.2)
    stream = io.BytesIO()
    place.point(lambda value: min(255, value * light)).rotate(chance.choice((0, 180))).save(stream, "PNG")
    return stream.getvalue()


def write_folder(folder: Path) -> Path:
    for kind in KNOWN:
        (folder / kind).mkdir(parents=True)
        for number, raw in enumerate(photos_of(kind, NUM_PHOTOS)):
            (folder / kind / f"{number:02}.png").write_bytes(raw)
    return folder


def zipped(folder: Path) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for path in sorted(folder.rglob("*.png")):
            archive.write(path, path.relative_to(folder))
    return stream.getvalue()


@pytest.fixture
def folder(service: RunningService, tmp_path: Path) -> Path:
    """Photos of what the first version knows; it serves."""
    folder = write_folder(tmp_path / "photos")
    run = tmp_path / "run"
    # Places of one ground look alike to a network, so a hash alone tells which photos show the same.
    network = ["--arch", "mobilenet_v2", "--pretrained", "starters/fruit", "--freeze", "--image-size", str(SIDE)]
    manage(service, "train", "--data", str(folder), *network, "--no-features", "--folder", str(run), "-v", "0")
    manage(service, "models", "import", str(run / "artifact"), "--model", MODEL, "--promote")
    wait_until(lambda: ask(service, photos_of("brick", 1)[0])["status"] == "succeeded", seconds=30, what="An answer")
    return folder


def ask(service: RunningService, raw: bytes) -> dict:
    return send(f"{service.url}/api/predict/?model={MODEL}&train=true", raw, content_type="image/png").body


def wait_for_job(service: RunningService, table: str) -> None:
    """Until the newest job in the table has ended, which must be well."""

    def ended() -> str:
        rows = query(service.data_dir, f"SELECT status, error FROM {table} ORDER BY id DESC LIMIT 1")
        status, error = rows[0] if rows else ("", "")
        assert status != "failed", error
        return status if status == "ready" else ""

    wait_until(ended, seconds=SECONDS, what=f"The end of a job in {table}")


def newest(service: RunningService, table: str) -> int:
    return int(query(service.data_dir, f"SELECT MAX(id) FROM {table}")[0][0])


def test_reviewed_recognitions_become_a_model_that_knows_more(service: RunningService, folder: Path):
    stranger = photos_of(NEW, 1, seed=1)[0]
    assert ask(service, stranger)["top"]["label"] in KNOWN
    admin = AdminClient(service)

    answers = [ask(service, raw) for raw in photos_of(NEW, NUM_PHOTOS)]
    assert (
        admin.ask("predictions/prediction/desk/labels/new/", model=MODEL, english="Grass", chinese="草")["key"] == NEW
    )
    steps = [{"do": "judge", "id": one["id"], "seen": 0, "verdict": "corrected", "label": NEW} for one in answers]
    results = admin.ask("predictions/prediction/desk/steps/", steps=steps)["results"]
    assert [result["done"] for result in results] == [True] * NUM_PHOTOS

    (model,) = query(service.data_dir, "SELECT id FROM registry_registeredmodel WHERE name = ?", MODEL)[0]
    admin.post_file(
        "training/photoimport/add/", zipped(folder), field="archive", file_name="ground.zip", model=str(model)
    )
    wait_for_job(service, "training_photoimport")
    shown = manage(service, "snapshot", "create", MODEL, "--no-features")
    assert f"{3 * NUM_PHOTOS} photos" in shown

    snapshot = newest(service, "training_datasetsnapshot")
    admin.post("training/trainingrun/add/", snapshot=snapshot, start="serving", preset="quick", image_size=SIDE)
    wait_for_job(service, "training_trainingrun")
    wait_for_job(service, "training_judging")
    judgement = newest(service, "registry_judgement")
    assert f"Promote {MODEL} v2" in " ".join(admin.get(f"registry/judgement/{judgement}/change/").split())
    admin.post(f"registry/judgement/{judgement}/promote/", reason="it knows grass")

    def named() -> tuple[str, int]:
        answer = ask(service, stranger)
        return answer["top"]["label"], answer["model"]["version"]

    wait_until(lambda: named() == (NEW, 2), seconds=10, what="The new class by the new version")
    admin.post(f"registry/registeredmodel/{model}/roll-back/")
    wait_until(lambda: named()[1] == 1, seconds=10, what="The version before")
