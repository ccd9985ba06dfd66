"""Scores that mean what they say: a temperature for the logits, fitted on photos the network was not trained on."""

import numpy as np

from classifier_core.engines.parity import softmax
from classifier_core.errors import ClassifierError
from classifier_core.metrics import Floats, Ints, negative_log_likelihood

TEMPERATURES = (0.05, 20.0)  # a network that needs less or more than this is broken, not miscalibrated


def fit_temperature(logits: Floats, targets: Ints) -> float:
    """The temperature that makes the true classes [N] most likely under logits [N, K] (Guo et al. 2017).

    Stays within `TEMPERATURES`: with not one mistake in the photos, the best temperature would be zero.
    Raises ClassifierError for no photos.
    """
    from scipy.optimize import minimize_scalar

    if not len(targets):
        raise ClassifierError("A temperature is fitted on validation photos, and there are none.")

    def loss(log_temperature: float) -> float:
        return negative_log_likelihood(targets, softmax(logits, temperature=float(np.exp(log_temperature))))

    low, high = np.log(TEMPERATURES)
    return float(np.exp(minimize_scalar(loss, bounds=(low, high), method="bounded").x))
