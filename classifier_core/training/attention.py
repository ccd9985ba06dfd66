"""What the finished network looked at, on a photo of each class."""

import numpy as np
import torch
from PIL import Image
from torch import nn

from classifier_core.activation import activation_maps, lay_over
from classifier_core.training.config import TrainConfig
from classifier_core.training.examples import Normaliser
from classifier_core.training.judging import Judged
from classifier_core.training.network import build_preprocessing, observe

MAX_PHOTOS = 24


def draw_attention(network: nn.Module, judged: Judged, config: TrainConfig) -> list[tuple[Image.Image, str]]:
    """The first photo of each class under its class activation map, with what it shows and what it was taken for."""
    preprocessing, labels = build_preprocessing(config), judged.dataset.labels
    _, chosen = np.unique(judged.dataset.targets, return_index=True)
    photos = [judged.dataset.photos[number] for number in chosen[:MAX_PHOTOS]]
    pixels = [preprocessing.load(photo.path.read_bytes()) for photo in photos]
    answers = judged.answers.logits[chosen[:MAX_PHOTOS]].argmax(1)
    normaliser = Normaliser(preprocessing, next(network.parameters()).device)
    images = normaliser.normalise(normaliser.to_float(torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2)))
    observed = observe(network, preprocessing, num_classes=len(labels))
    maps = activation_maps(observed, images, torch.from_numpy(answers).to(normaliser.device))
    words = [_words(photo.label, labels[answer]) for photo, answer in zip(photos, answers, strict=True)]
    return [(lay_over(one, at), said) for one, at, said in zip(pixels, maps, words, strict=True)]


def _words(shown: str, answered: str) -> str:
    return shown if shown == answered else f"{shown}, taken for {answered}"
