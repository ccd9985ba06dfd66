import io
import json
import re
import shutil
import zipfile
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from classifier_core.datasets.archive import open_dataset
from classifier_core.datasets.splits import read_lists
from recognizer.training.tables import width_of
from tests.photo_folders import write_folder
from tests.tiny_artifact import build_tiny


def dataset(*arguments: object) -> str:
    output = io.StringIO()
    call_command("dataset", *map(str, arguments), stdout=output)
    return output.getvalue()


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny") / "artifact"
    build_tiny(folder)
    return folder


def test_report_of_a_zip_holds_everything(tmp_path: Path, tiny: Path) -> None:
    root = write_folder(tmp_path / "fruit", {"apple": 24, "香蕉": 6})
    (root / "apple" / "broken.jpg").write_bytes(b"text")
    (root / "香蕉" / "copy.png").write_bytes((root / "apple" / "000.png").read_bytes())
    with zipfile.ZipFile(tmp_path / "fruit.zip", "w") as archive:
        for name in files(root):
            archive.write(root / name, f"fruit/{name}")

    said = dataset("inspect", tmp_path / "fruit.zip", "--artifact", tiny, "--report", tmp_path / "r.html")

    page, found = (tmp_path / "r.html").read_text(), json.loads((tmp_path / "r.json").read_bytes())
    assert "香蕉 has 7 photos, apple 25: in doubt a network will say apple." in said
    assert "1 photo that cannot be read" in said
    assert "1 pair of the same photo with two labels" in said
    assert found["counts"] == {"apple": 25, "香蕉": 7}
    assert len(found["points"]) == 31
    assert found["duplicates"][0]["labels"] == ["apple", "香蕉"]
    for heading in ("What to do", "Samples", "Augmentation", "Features", "Suspected wrong labels", "Unreadable files"):
        assert heading in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)  # nothing is fetched
    assert files(tiny) == ["artifact.json", "model.safetensors"]  # left as it was


def test_class_only_in_validation_is_a_warning_of_inspect(tmp_path: Path) -> None:
    write_folder(tmp_path / "data" / "train", {"a": 3, "b": 3})
    write_folder(tmp_path / "data" / "val", {"a": 1, "b": 1, "c": 2})

    said = dataset("inspect", tmp_path / "data", "--no-features", "--report", tmp_path / "r.html")

    assert "'c' has no photos in train (2 in val)" in said
    assert "2 pairs of the same photo in two parts of the split" in said


@pytest.mark.parametrize("name", ["labels.json", "labels.html", "page.html", "device.html"])
def test_report_is_written_over_nothing_else(tmp_path: Path, name: str) -> None:
    root = write_folder(tmp_path / "data", {"a": 2, "b": 2})
    (tmp_path / "labels.json").write_text('{"mine": 1}')
    (tmp_path / "page.html").write_text("<title>Data set of mine</title>")
    (tmp_path / "device.html").symlink_to("/dev/null")

    with pytest.raises(CommandError, match="--report"):
        dataset("inspect", root, "--no-features", "--report", tmp_path / name)
    assert (tmp_path / "labels.json").read_text() == '{"mine": 1}'
    assert (tmp_path / "page.html").read_text() == "<title>Data set of mine</title>"


def test_report_is_written_over_its_older_self(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "data", {"a": 2, "b": 2})
    for _ in range(2):
        assert "The report" in dataset("inspect", root, "--no-features", "--report", tmp_path / "r.html")


def test_clean_shows_first_and_moves_when_told(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "data", {"a": 4, "b": 4})
    (root / "a" / "000.png").write_bytes(b"")

    assert "1 of 8 photos would move to" in dataset("clean", root)
    assert len(files(root)) == 8
    assert "1 of 8 photos moved to" in dataset("clean", root, "--apply")
    assert files(tmp_path / "data-quarantine") == ["a/000.png", "moved.csv"]
    assert "Nothing to move out." in dataset("clean", root, "--apply")


def test_dry_run_shows_every_photo(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "data", {"a": 25, "b": 1})

    assert dataset("balance", root, "--most", 1).count("a has 25 photos, at most 1 stay") == 24


def test_inspect_counts_what_belongs_to_no_class(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "data", {"a": 2, "b": 2})
    (root / "a" / "000.png").rename(root / "loose.png")
    for number, ending in enumerate(("svg", "svg", "svg", "fits", "ico", "msp", "pgm", "pdf", "txt", "xcf")):
        (root / "a" / f"{number}.{ending}").write_bytes(b"x")

    said = dataset("inspect", root, "--no-features", "--report", tmp_path / "r.html")

    assert "1 photo lies beside the class folders and belongs to none: move it into one." in said
    assert "10 files were passed over, they are not named like a photo (3 .svg, 1 .fits, 1 .ico" in said
    assert "and 3 others). Photos end in .apng, .avif" in said
    assert json.loads((tmp_path / "r.json").read_bytes())["loose"] == ["loose.png"]


def test_samples_are_photos_that_can_be_read(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "data", {"a": 8, "b": 8})
    for number in range(6):
        (root / "a" / f"00{number}.png").write_bytes(b"text %d" % number)

    dataset("inspect", root, "--no-features", "--report", tmp_path / "r.html")

    assert '<div class="unreadable">' not in (tmp_path / "r.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("clean", "--max-aspect", "0.5"), "--max-aspect: must be 1 or more"),
        (("clean", "--max-aspect=-2"), "--max-aspect: must be 1 or more"),
        (("clean", "--max-aspect", "nan"), "--max-aspect: must be 1 or more"),
        (("clean", "--min-side=-5"), "--min-side: must be a whole number from 0"),
        (("augment", "--least", "0"), "--least: must be a whole number from 1"),
        (("balance", "--most", "few"), "--most: must be a whole number from 1"),
        (("balance", "--most", "8", "--least", "10"), "Give a --least of at most 8"),
    ],
)
def test_impossible_limits_are_refused(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    root = write_folder(tmp_path / "data", {"a": 1, "b": 1})

    with pytest.raises(CommandError, match=words):
        dataset(arguments[0], root, *arguments[1:])


@pytest.mark.parametrize(
    ("verb", "takes"),
    [
        ("inspect", "a zip of one, or a CSV"),
        ("import", "a zip of one, or a CSV"),
        ("split", "a zip of one, or a CSV"),
        ("clean", "a zip of one, or a CSV"),
        ("balance", "a zip of one, or a CSV"),
        ("augment", "a zip of one, or a CSV"),
    ],
)
def test_help_says_what_a_verb_takes(capsys: pytest.CaptureFixture[str], verb: str, takes: str) -> None:
    with pytest.raises(SystemExit):
        call_command("dataset", verb, "--help")

    assert takes in " ".join(capsys.readouterr().out.replace("options:", "--").split())


def test_balance_caps_and_fills(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "data", {"a": 8, "b": 2})

    said = dataset("balance", root, "--most", 6, "--least", 4)
    assert "2 photos would be written" in said
    assert "2 of 10 photos would move" in said
    dataset("balance", root, "--most", 6, "--least", 4, "--apply")
    assert [len(files(root / label)) for label in ("a", "b")] == [6, 4]


def test_augment_writes_flips(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "data", {"a": 8, "b": 3})

    dataset("augment", root, "--least", 5, "--apply")

    assert files(root / "b") == ["000.flip.jpg", "000.png", "001.flip.jpg", "001.png", "002.png"]


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    root = write_folder(tmp_path / "data", {"a": 8, "香蕉": 3})
    (root / "a" / "000.png").write_bytes(b"text")
    return Path(shutil.make_archive(str(tmp_path / "waste"), "zip", tmp_path, "data"))


def test_zip_is_changed_in_a_new_folder(tmp_path: Path, packed: Path) -> None:
    before, out = packed.read_bytes(), tmp_path / "out"

    assert "2 photos would be written" in dataset("augment", packed, "--least", 5, "--out", out)
    assert not out.exists()
    said = dataset("augment", packed, "--least", 5, "--out", out, "--apply")
    assert "10 photos were copied to" in said
    assert "1 that cannot be read were left out" in said
    assert files(out / "香蕉") == ["000.flip.jpg", "000.png", "001.flip.jpg", "001.png", "002.png"]
    assert packed.read_bytes() == before


@pytest.mark.parametrize("limits", [(), ("--most", 1, "--least", 2)])
def test_refused_limits_leave_no_copy(tmp_path: Path, packed: Path, limits: tuple[object, ...]) -> None:
    out = tmp_path / "out"

    with pytest.raises(CommandError, match="--least"):
        dataset("balance", packed, *limits, "--out", out, "--apply")

    assert not out.exists()
    dataset("balance", packed, "--most", 1, "--out", out, "--apply")  # as it is corrected


def test_csv_is_cleaned_and_balanced_in_a_new_folder(tmp_path: Path) -> None:
    write_folder(tmp_path / "all", {"x": 6})
    (tmp_path / "labels.csv").write_text("".join(f"all/x/00{n}.png,{'a' if n < 4 else 'b'}\n" for n in range(6)))

    dataset("balance", tmp_path / "labels.csv", "--most", 3, "--out", tmp_path / "out", "--apply")
    dataset("clean", tmp_path / "labels.csv", "--min-side", 10, "--out", tmp_path / "clean", "--apply")

    assert [len(files(tmp_path / "out" / label)) for label in "ab"] == [3, 2]
    assert len(files(tmp_path / "out-quarantine")) == 2  # with the list
    assert len(files(tmp_path / "clean")) == len(files(tmp_path / "all")) == 6


def test_split_of_a_zip_names_photos_inside_it(tmp_path: Path) -> None:
    write_folder(tmp_path / "data", {"a": 9, "香蕉": 9})
    packed, lists = shutil.make_archive(str(tmp_path / "waste"), "zip", tmp_path, "data"), tmp_path / "lists"

    said = dataset("split", packed, lists, "--no-features").splitlines()

    assert len({width_of(line) for line in said[:4]}) == 1  # the columns stand under each other
    with open_dataset(packed) as opened:
        assert sum(len(part.photos) for part in read_lists(lists, opened.root).parts().values()) == 18


def test_inspect_of_a_csv_passes_no_neighbours_over(tmp_path: Path) -> None:
    write_folder(tmp_path / "all", {"x": 4})
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "labels.csv").write_text("".join(f"all/x/00{n}.png,{'ab'[n % 2]}\n" for n in range(4)))

    assert "passed over" not in dataset(
        "inspect", tmp_path / "labels.csv", "--no-features", "--report", tmp_path / "r.html"
    )


def test_split_is_kept_when_photos_come(tmp_path: Path) -> None:
    root, lists = write_folder(tmp_path / "data", {"a": 20, "b": 20}), tmp_path / "lists"
    assert "40 photos in 40 groups" in dataset("split", root, lists, "--no-features")
    before = {name: (lists / f"{name}.txt").read_text().splitlines() for name in ("train", "val", "test")}
    name = next(line.split("\t")[0] for line in before["test"])
    (root / "a" / "newcomer.png").write_bytes((root / name).read_bytes())
    (root / before["train"][0].split("\t")[0]).unlink()

    assert "only place new ones" in dataset("split", root, lists, "--no-features", "--seed", 5)

    after = {name: (lists / f"{name}.txt").read_text().splitlines() for name in before}
    assert set(after["test"]) - set(before["test"]) == {"a/newcomer.png\ta"}
    assert after["train"] == before["train"][1:]
    assert after["val"] == before["val"]


def test_import_of_a_csv_makes_a_folder(tmp_path: Path) -> None:
    write_folder(tmp_path / "all", {"x": 4})
    (tmp_path / "labels.csv").write_text("".join(f"all/x/00{n}.png,{'梨' if n % 2 else 'b'}\n" for n in range(4)))

    assert "4 photos of 2 classes" in dataset("import", tmp_path / "labels.csv", tmp_path / "out")
    assert files(tmp_path / "out") == ["b/000.png", "b/002.png", "梨/001.png", "梨/003.png"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("inspect", "gone"), "is not there"),
        (("inspect", "one"), "only one class"),
        (("inspect", "unreadable", "--no-features"), "none of the 2 photos can be read"),
        (("inspect", "good", "--artifact", "good"), "is not a complete artifact"),
        (("inspect", "good", "--no-features", "--report", "good/a/000.png/x.html"), "cannot be written"),
        (("split", "unreadable", "lists"), "2 photos cannot be read"),
        (("split", "good", "lists", "--no-features", "--val", "0.6", "--test", "0.6"), "leave nothing"),
        (("split", "good.zip", "lists"), "not a zip that can be read"),
        (("balance", "good"), "Say how many photos"),
        (("import", "good", "one"), "is there already"),
        (("clean", "good.csv"), "Name a new folder for the changed photos with --out"),
        (("inspect", "one.zip"), "one.zip has only one class"),
        (("inspect", "unreadable.zip", "--no-features"), "unreadable.zip: none of the 2 photos can be read"),
    ],
)
def test_broken_data_ends_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "good", {"a": 3, "b": 3})
    write_folder(tmp_path / "one", {"a": 1})
    for path in write_folder(tmp_path / "unreadable", {"a": 1, "b": 1}).rglob("*.png"):
        path.write_bytes(b"text")
    (tmp_path / "good.zip").write_bytes(b"text")
    shutil.make_archive("one", "zip", "one")
    shutil.make_archive("unreadable", "zip", "unreadable")
    (tmp_path / "good.csv").write_text("good/a/000.png,a\ngood/b/000.png,b\n")

    with pytest.raises(CommandError, match=words):
        dataset(*arguments)
