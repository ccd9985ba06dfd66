"""What a training run is asked to do, as one value that is written beside its results."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from classifier_core.errors import TrainingFailed

Optimizer = Literal["sgd", "adam", "adamw"]
Augmentation = Literal["none", "flip-crop", "strong"]
Balance = Literal["none", "weights", "sampling"]
Best = Literal["accuracy", "macro_recall", "loss"]
Precision = Literal["auto", "float32", "bfloat16"]
Fit = Literal["crop", "letterbox"]
Device = Literal["auto", "cpu", "cuda"]

# Seen to work from MobileNetV2's weights, with the whole network and with its head alone.
_RATES = {"sgd": 0.02, "adam": 0.001, "adamw": 0.001}
_HEAD_RATES = {"sgd": 0.1, "adam": 0.003, "adamw": 0.003}


@dataclass(frozen=True)
class TrainConfig:
    """All options of a run. Raises TrainingFailed, in words, for options that make no sense together."""

    arch: str
    pretrained: str = ""  # a safetensors file, an artifact folder or a hub name; empty: from scratch
    freeze: bool = False  # only the head learns
    image_size: int = 224  # pixels, square
    serving_size: int = 0  # pixels at which the model is judged and served; 0: as it is trained
    channels: int = 3  # 3: RGB, 1: grey
    fit: Fit = "crop"
    epochs: int = 30
    batch_size: int = 32  # photos a step, over all processes together
    optimizer: Optimizer = "adamw"
    lr: float | None = None  # None: a usual one for the optimizer
    lrf: float = 0.01  # the last learning rate, as a share of the first
    warmup: float = 1.0  # epochs over which the learning rate rises from near zero
    head_lr_factor: float = 1.0  # the head learns this many times faster
    momentum: float = 0.9  # SGD only
    weight_decay: float = 0.01  # of matrices and kernels; biases and norms have none
    label_smoothing: float = 0.0
    balance: Balance = "none"
    augmentation: Augmentation = "flip-crop"
    flip: bool = True  # False where left and right differ: digits, text
    recolour: bool = True  # False where colours are the classes
    mixup: float = 0.0  # alpha of Beta(alpha, alpha); 0: off
    ema: float = 0.0  # decay of the average of the weights; 0: off
    patience: int = 0  # epochs without a better validation before the run stops; 0: never
    best: Best = "accuracy"  # what the best epoch is best in, on validation
    teacher: str = ""  # an artifact folder to distil from
    teacher_weight: float = 0.5  # of the teacher's scores in the loss, beside the labels
    teacher_temperature: float = 2.0
    teacher_size: int = 0  # pixels at which the teacher looks; 0: as it is served
    feature_weight: float = 0.0  # of the teacher's features in the loss
    more_photos: str = ""  # a folder of photos that only the teacher judges
    precision: Precision = "auto"
    device: Device = "auto"
    seed: int = 0
    cache_bytes: int = 2_000_000_000  # of decoded photos kept in memory, in each process

    def __post_init__(self) -> None:
        for check in (self._choices, self._ranges, self._combinations):
            wrong = next((words for is_wrong, words in check() if is_wrong), None)
            if wrong is not None:
                raise TrainingFailed(f"These options make no sense: {wrong}.")

    @property
    def learning_rate(self) -> float:
        """The highest learning rate of the run."""
        return (_HEAD_RATES if self.freeze else _RATES)[self.optimizer] if self.lr is None else self.lr

    @property
    def served_at(self) -> int:
        """Pixels at which the model is judged and served.

        Random crops show things larger than they are in whole photos: a network trained with them answers better at
        about 1.3 times the size (Touvron et al. 2019, arXiv 1906.06423).
        """
        return self.serving_size or self.image_size

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TrainConfig":
        """The reverse of `to_dict`. Raises TrainingFailed for missing or unknown entries."""
        different = {field.name for field in fields(cls)} ^ set(values)
        if different:
            raise TrainingFailed(f"Options {sorted(different)} are missing or unknown; another version wrote them.")
        return cls(**values)

    def _choices(self) -> list[tuple[bool, str]]:
        kinds: dict[str, Any] = {
            "optimizer": Optimizer,
            "augmentation": Augmentation,
            "balance": Balance,
            "best": Best,
            "precision": Precision,
            "fit": Fit,
            "device": Device,
        }
        return [
            (getattr(self, name) not in get_args(kind), f"{name} must be one of {', '.join(get_args(kind))}")
            for name, kind in kinds.items()
        ]

    def _ranges(self) -> list[tuple[bool, str]]:
        return [
            (not 8 <= self.image_size <= 2048, "the image size must be 8 to 2048 pixels"),
            (not 8 <= self.served_at <= 2048, "the serving size must be 8 to 2048 pixels"),
            (not 8 <= (self.teacher_size or 8) <= 2048, "the teacher's size must be 8 to 2048 pixels"),
            (self.channels not in (1, 3), "channels must be 1 or 3"),
            (self.epochs < 1, "there must be at least one epoch"),
            (self.batch_size < 1, "the batch size must be at least 1"),
            (not 0 < self.learning_rate < float("inf"), "the learning rate must be a positive number"),
            (not 0 <= self.lrf <= 1, "lrf is a share of the learning rate, 0 to 1"),
            (self.warmup < 0 or self.patience < 0, "warm-up and patience cannot be negative"),
            (self.head_lr_factor <= 0, "the head's learning-rate factor must be positive"),
            (not 0 <= self.momentum < 1 or self.weight_decay < 0, "momentum is 0 to 1, weight decay not negative"),
            (not 0 <= self.label_smoothing < 1, "label smoothing must be 0 to below 1"),
            (self.mixup < 0 or not 0 <= self.ema < 1, "mixup cannot be negative, and EMA's decay is 0 to below 1"),
            (not 0 <= self.teacher_weight <= 1, "the teacher's weight must be 0 to 1"),
            (self.teacher_temperature <= 0 or self.feature_weight < 0, "the teacher's temperature must be positive"),
            (self.cache_bytes < 0, "the memory for photos cannot be negative"),
        ]

    def _combinations(self) -> list[tuple[bool, str]]:
        return [
            (self.freeze and not self.pretrained, "a frozen backbone needs pretrained weights (--pretrained)"),
            (self.freeze and bool(self.teacher), "a frozen backbone cannot learn from a teacher"),
            (
                self.served_at != self.image_size and (self.freeze or self.augmentation == "none"),
                "a serving size of its own needs random crops (--augmentation), and a backbone that learns",
            ),
            (self.teacher_size > 0 and not self.teacher, "a size for the teacher needs a teacher (--teacher)"),
            (bool(self.more_photos) and not self.teacher, "photos without labels need a teacher (--teacher)"),
            (self.feature_weight > 0 and not self.teacher, "learning from features needs a teacher (--teacher)"),
        ]
