import io
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from classifier_core.datasets.archive import ArchiveLimits, open_dataset, unpack
from classifier_core.errors import DatasetInvalid, DatasetUnwritable
from tests.photo_folders import picture

Build = Callable[[zipfile.ZipFile], None]


def photo(seed: int) -> bytes:
    file = io.BytesIO()
    picture(seed).save(file, "PNG")
    return file.getvalue()


def build_zip(path: Path, names: list[str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for number, name in enumerate(names):
            archive.writestr(name, photo(number))
    return path


def without_utf8_flag(path: Path, names: list[str], encoding: str) -> Path:
    """As macOS and Windows in Chinese write them: the bytes of the name in an encoding that nothing tells."""
    plain = [f"{number:04}" + "x" * (len(name.encode(encoding)) - 4) for number, name in enumerate(names)]
    raw = build_zip(path, plain).read_bytes()
    for old, name in zip(plain, names, strict=True):
        raw = raw.replace(old.encode(), name.encode(encoding))
    path.write_bytes(raw)
    return path


def test_zip_of_one_folder_is_its_data_set(tmp_path: Path) -> None:
    names = ["fruit/apple/1.png", "fruit/梨/2.png", "fruit/梨/.hidden.png", "__MACOSX/fruit/梨/._2.png", "fruit/a.txt"]
    with open_dataset(build_zip(tmp_path / "a.zip", names)) as dataset:
        assert dataset.count() == {"apple": 1, "梨": 1}
        root = dataset.root
        assert sum(path.is_file() for path in root.rglob("*")) == 2
    assert not root.exists()


@pytest.mark.parametrize("encoding", ["utf-8", "gbk"])
def test_chinese_names_without_a_flag_are_read(tmp_path: Path, encoding: str) -> None:
    path = without_utf8_flag(tmp_path / "a.zip", ["水果/苹果/照片1.png", "水果/香蕉/照片2.png"], encoding)
    with open_dataset(path) as dataset:
        assert dataset.labels == ("苹果", "香蕉")


def test_european_names_without_a_flag_stay(tmp_path: Path) -> None:
    path = without_utf8_flag(tmp_path / "a.zip", ["Äpfel/photo1.png", "Pêches/photo2.png"], "cp437")
    with open_dataset(path) as dataset:
        assert dataset.labels == ("Pêches", "Äpfel")


@pytest.mark.parametrize("name", ["../a/1.png", "/a/1.png", "a/../../1.png", "C:/a/1.png", "..\\a\\1.png"])
def test_path_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(DatasetInvalid, match="leads out"):
        unpack(build_zip(tmp_path / "a.zip", ["b/2.png", name]), tmp_path / "out")
    assert not any((tmp_path / "out").iterdir())


def test_link_is_refused(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("a/1.png")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(DatasetInvalid, match="is a link"), open_dataset(tmp_path / "a.zip"):
        pass


def test_limits_are_counted_while_reading(tmp_path: Path) -> None:
    path = build_zip(tmp_path / "a.zip", ["a/1.png", "b/2.png"])
    for limits, words in (
        (ArchiveLimits(max_files=1), "holds 2 files"),
        (ArchiveLimits(max_bytes=1000), "unpacks to more than"),
        (ArchiveLimits(max_file_bytes=1000), "has more than"),
    ):
        with pytest.raises(DatasetInvalid, match=words), open_dataset(path, limits=limits):
            pass


def test_bomb_is_refused_early(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/1.png", bytes(40_000_000))
    (tmp_path / "out").mkdir()
    with pytest.raises(DatasetInvalid, match="times its packed size"):
        unpack(tmp_path / "a.zip", tmp_path / "out")
    assert sum(path.stat().st_size for path in (tmp_path / "out").rglob("*") if path.is_file()) < 20_000_000


def test_flat_drawing_is_no_bomb(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((500, 500, 3), np.uint8)).save(tmp_path / "black.bmp")
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(tmp_path / "black.bmp", "a/1.bmp")
        archive.write(tmp_path / "black.bmp", "b/1.bmp")
    with open_dataset(tmp_path / "a.zip") as dataset:
        assert len(dataset.photos) == 2


def test_one_name_twice_is_refused(tmp_path: Path) -> None:
    path = without_utf8_flag(tmp_path / "a.zip", ["a/11.png", "a/11.png"], "utf-8")
    with pytest.raises(DatasetUnwritable, match="is there already"), open_dataset(path):
        pass


def test_damaged_zips_end_in_words(tmp_path: Path) -> None:
    raw = build_zip(tmp_path / "a.zip", ["a/1.png", "b/2.png"]).read_bytes()
    random = np.random.default_rng(0)
    for number in range(300):
        damaged = bytearray(raw[: random.integers(1, len(raw))] if number % 3 == 0 else raw)
        for place in random.integers(0, len(damaged), 8):
            damaged[place] = random.integers(0, 256)
        (tmp_path / "b.zip").write_bytes(damaged)
        try:
            with open_dataset(tmp_path / "b.zip"):
                pass
        except (DatasetInvalid, DatasetUnwritable) as error:
            assert str(error).endswith(".")  # noqa: PT017
