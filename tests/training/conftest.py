from pathlib import Path

import pytest
from django.conf import settings
from django.test import override_settings

from recognizer.training.alike import KEPT, looking_artifact
from tests.broker import broker  # noqa: F401
from tests.recognition import fresh_process, fruit_rows, tiny_folder  # noqa: F401


@pytest.fixture(scope="session")
def kept_features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder below a MEDIA_ROOT where the network that tells what looks alike is kept. Read only."""
    with override_settings(MEDIA_ROOT=tmp_path_factory.mktemp("looking")):
        looking_artifact()
        return Path(settings.MEDIA_ROOT) / KEPT.parent


@pytest.fixture
def looking(kept_features: Path, media: Path) -> None:
    """This test's commands find the network built."""
    media.mkdir(parents=True, exist_ok=True)
    (media / KEPT.parent).symlink_to(kept_features)
