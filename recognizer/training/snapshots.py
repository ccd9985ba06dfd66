"""Freeze what a model may learn from: photos, labels and parts, never changed again."""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from django.db import transaction
from django.db.models import Max

from classifier_core.errors import ClassifierError, DatasetInvalid
from recognizer.predictions.models import Blob, UploadedImage
from recognizer.registry.models import RegisteredModel, TestState
from recognizer.registry.taxonomy import merged_labels
from recognizer.training import figures
from recognizer.training.candidates import REASONS, Candidate, Candidates, capped, find_candidates
from recognizer.training.looking import Looking, lock_alive
from recognizer.training.models import DatasetSnapshot, LeaseLost, Part, PhotoLook, PhotoPlace, SnapshotItem
from recognizer.training.options import SnapshotOptions
from recognizer.training.placing import BRIDGE, Place, place_newcomers, places_of, with_parts

ROWS = 1000  # written in one transaction: uploads go on in between
Say = Callable[[str], None]


def freeze(snapshot: DatasetSnapshot, *, say: Say = lambda _: None) -> None:
    """Fill a snapshot that was claimed: it ends ready, or failed with the reason.

    The same photos, reviews, labels and options give the same content hash. Raises LeaseLost.
    """
    try:
        _Freezing(snapshot, say).run()
    except (ClassifierError, OSError, MemoryError) as error:
        snapshot.fail(str(error) or "This machine has too little memory for so many photos.")


class _Freezing:
    """One attempt to fill one snapshot."""

    def __init__(self, snapshot: DatasetSnapshot, say: Say) -> None:
        self._snapshot, self._say = snapshot, say
        self._model = snapshot.model
        self._options = SnapshotOptions.from_dict(snapshot.options)

    def run(self) -> None:
        self._progress("Reading reviews")
        self._snapshot.items.all().delete()  # of an attempt that broke off
        stored = places_of(self._model)
        in_test = {sha256 for sha256, place in stored.items() if place.part == Part.TEST}
        found = find_candidates(self._model, self._options, in_test=in_test)
        self._look(found, stored)
        newcomers = _in_order(one for sha256, one in found.by_sha256.items() if sha256 not in stored)
        self._progress(f"Comparing {len(newcomers)} new photos")
        places = dict(stored) | place_newcomers(stored, newcomers)
        kept, copies = _choose(found, places, self._options, in_test=in_test)
        if not kept:
            raise DatasetInvalid(_nothing_left(found))
        places = with_parts({sha256: places[sha256] for sha256 in (*stored, *kept, *copies)}, kept, self._options)
        self._store_places([sha256 for sha256 in newcomers if sha256 in places], places)
        self._store_items([found.by_sha256[sha256] for sha256 in sorted(kept)], places)
        self._finish(found)

    def _progress(self, words: str) -> None:
        self._say(words)
        if not self._snapshot.renew(words):
            raise LeaseLost(f"{self._snapshot} is not ours any more.")

    def _look(self, found: Candidates, stored: Mapping[str, Place]) -> None:
        gone = Looking(features=self._options.features).look_at([*found.by_sha256], self._progress)
        unreadable = set(PhotoLook.objects.exclude(problem="").values_list("pk", flat=True))
        for sha256 in [sha256 for sha256 in found.by_sha256 if sha256 in gone or sha256 in unreadable]:
            found.leave_out(sha256, "missing" if sha256 in gone else "unreadable")

    def _store_places(self, newcomers: Sequence[str], places: Mapping[str, Place]) -> None:
        rows = [PhotoPlace(model=self._model, blob_sha256=sha256, **vars(places[sha256])) for sha256 in newcomers]
        with transaction.atomic():  # all or none: a group stored in two attempts would be in two parts
            self._progress("Storing the split")
            PhotoPlace.objects.bulk_create(rows, batch_size=ROWS)

    def _store_items(self, photos: Sequence[Candidate], places: Mapping[str, Place]) -> None:
        for start in range(0, len(photos), ROWS):
            with transaction.atomic():
                self._progress(f"Writing photos: {start} of {len(photos)}")
                alive = _lock_alive(photos[start : start + ROWS])
                SnapshotItem.objects.bulk_create(self._item(one, places[one.sha256]) for one in alive)

    def _item(self, one: Candidate, place: Place) -> SnapshotItem:
        return SnapshotItem(
            snapshot=self._snapshot,
            blob_id=one.sha256,
            image_id=one.image,
            label=one.label,
            part=place.part,
            group=place.group,
            source=one.source,
            prediction=one.prediction,
            review=one.review,
            uploader=one.uploader,
        )

    def _finish(self, found: Candidates) -> None:
        with transaction.atomic():
            self._progress("Counting")
            self._snapshot.items.exclude(erased_at=None).delete()  # erased while we wrote: never part of it
            contents = figures.contents_of(self._snapshot)
            previous = DatasetSnapshot.objects.ready().filter(model=self._model).order_by("-number").first()
            before = figures.contents_of(previous) if previous else figures.Contents({})
            state = _test_state(self._model, contents, before, found.why)
            is_ours = self._snapshot.finish(
                content_sha256=_content_sha256(contents, self._snapshot.options),
                previous=previous,
                test_state=state,
                num_photos=len(contents.photos),
                num_of_source=contents.num_of_source(),
                counts=contents.counts(),
                left_out={reason: number for reason, number in sorted(found.left_out.items()) if number},
                changes=figures.difference(contents, before),
                warnings=figures.warnings_of(contents, before, merged_labels(self._model)),
            )
            if not is_ours:
                raise LeaseLost(f"{self._snapshot} is not ours any more.")


def _in_order(candidates: Iterable[Candidate]) -> list[str]:
    """Of copies the first one counts: base photos before uploads."""
    return [one.sha256 for one in sorted(candidates, key=lambda one: (one.source, one.sha256))]


def _choose(
    found: Candidates, places: Mapping[str, Place], options: SnapshotOptions, *, in_test: set[str]
) -> tuple[dict[str, str], set[str]]:
    """The labels of the photos that are in, and the copies of those. The others are left out with a reason."""
    for sha256 in [sha256 for sha256 in found.by_sha256 if sha256 not in places]:
        found.leave_out(sha256, "unreadable")
    for sha256 in [sha256 for sha256 in found.by_sha256 if places[sha256].part == BRIDGE]:
        found.leave_out(sha256, "bridge")
    pictures = _leave_out_copies(found, places, in_test)
    over = capped(found.by_sha256.values(), options, exempt=in_test)
    for sha256, reason in over.items():
        found.leave_out(sha256, reason)
    kept = {sha256: one.label for sha256, one in found.by_sha256.items()}
    return kept, {copy for sha256 in kept for copy in pictures[places[sha256].picture]}


def _leave_out_copies(found: Candidates, places: Mapping[str, Place], in_test: set[str]) -> Mapping[int, list[str]]:
    """Keep the first photo of each picture; none, where copies outside the test part have different labels.

    Gives the copies of each picture.
    """
    pictures: dict[int, list[str]] = defaultdict(list)
    for sha256, place in places.items():  # stored ones first, then newcomers, both in their order
        if sha256 in found.by_sha256:
            pictures[place.picture].append(sha256)
    for first, *copies in pictures.values():
        label = found.by_sha256[first].label
        differing = {copy for copy in copies if found.by_sha256[copy].label != label}
        if differing and first not in in_test:
            differing |= {first, *copies}
        for sha256 in (first, *copies):
            if sha256 in differing or sha256 != first:
                found.leave_out(sha256, "conflict" if sha256 in differing else "copy")
    return {picture: photos[1:] for picture, photos in pictures.items()}


def _nothing_left(found: Candidates) -> str:
    reasons = [f"{number} left out: {REASONS[reason]}" for reason, number in found.left_out.items() if number]
    return " ".join(["There is no photo to freeze. Import base photos, or review recognitions.", *reasons])


def _lock_alive(photos: Sequence[Candidate]) -> list[Candidate]:
    """Those that were not erased meanwhile, locked until the transaction ends: an erasure comes before or after."""
    images = lock_alive(UploadedImage, [one.image for one in photos if one.image])
    blobs = lock_alive(Blob, [one.sha256 for one in photos])
    return [one for one in photos if one.sha256 in blobs and (one.image is None or one.image in images)]


def _content_sha256(contents: figures.Contents, options: Mapping[str, object]) -> str:
    """SHA-256 over a line of options and a sorted line for each photo: bytes, label, part."""
    lines = [f"{sha256}\t{photo.label}\t{photo.part}\n" for sha256, photo in sorted(contents.photos.items())]
    return hashlib.sha256("".join([json.dumps(options, sort_keys=True), "\n", *lines]).encode()).hexdigest()


def _test_state(
    model: RegisteredModel, contents: figures.Contents, before: figures.Contents, why: Mapping[str, str]
) -> TestState:
    """The newest state of the test part where it is this one, else one more."""
    lines = [f"{sha256}\t{label}\n" for sha256, label in sorted(contents.labels_of(Part.TEST).items())]
    content_sha256 = hashlib.sha256("".join(lines).encode()).hexdigest()
    newest = TestState.objects.filter(model=model).order_by("-number").first()
    if newest is not None and newest.content_sha256 == content_sha256:
        return newest
    return TestState.objects.create(
        model=model,
        number=(TestState.objects.filter(model=model).aggregate(newest=Max("number"))["newest"] or 0) + 1,
        content_sha256=content_sha256,
        num_photos=len(lines),
        changes=_test_changes(contents, before, why),
    )


def _test_changes(contents: figures.Contents, before: figures.Contents, why: Mapping[str, str]) -> dict[str, int]:
    now, then = contents.labels_of(Part.TEST), before.labels_of(Part.TEST)
    changes = Counter(why.get(sha256, "removed") for sha256 in then.keys() - now.keys())
    changes["added"] = len(now.keys() - then.keys())
    changes["relabelled"] = sum(then[sha256] != now[sha256] for sha256 in then.keys() & now.keys())
    changes["erased"] = before.num_erased_of_test
    return {name: number for name, number in sorted(changes.items()) if number}
