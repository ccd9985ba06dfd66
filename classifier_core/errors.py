"""Every error a caller of classifier_core may want to act on. Each message is a sentence for a person."""

from typing import Literal

RefusalCode = Literal[
    "empty",
    "too_many_bytes",
    "unsupported_format",
    "unreadable_header",
    "too_many_pixels",
    "side_too_long",
]


class ClassifierError(Exception):
    """What all errors of this package have in common."""


class ImageRefused(ClassifierError):
    """The bytes are not an image we take. `code` is for programs, str() says what to do."""

    def __init__(self, code: RefusalCode, message: str) -> None:
        super().__init__(code, message)
        self.code: RefusalCode = code
        self.message = message

    def __str__(self) -> str:
        return self.message


class ImageUndecodable(ClassifierError):
    """The header was fine, the pixels behind it are not."""


class ArtifactInvalid(ClassifierError):
    """The artifact folder is incomplete, changed, or contradicts itself."""


class EngineUnavailable(ClassifierError):
    """The asked-for engine, device, precision or engine file is not there."""


class EngineFailed(ClassifierError):
    """A loaded engine could not answer: the runtime gave up, or its device is out of memory."""


class MachineBusy(ClassifierError):
    """Other programs use this machine, so that what is timed now says nothing. Try again later."""


class UnknownArchitecture(ClassifierError):
    """No network of that name can be built here."""


class ExportFailed(ClassifierError):
    """The exported graph does not compute what the torch model computes."""


class DatasetInvalid(ClassifierError):
    """The photos and labels cannot be used as they are; the message says what to change."""


class TrainingFailed(ClassifierError):
    """A training run cannot start or go on; the message says what to change."""


class TrainingStopped(TrainingFailed):
    """A person stopped a run; the message says how far it came."""


class DatasetUnwritable(ClassifierError):
    """Photos or lists cannot be written: no space, no permission, or something is in the way."""


class PictureTooSmall(ClassifierError):
    """A network shrinks pictures of this size to nothing."""
