"""BentoML around the network: `python -m bentoml serve bench.peers.bentoml_service:Recognition`, in the peers' venv."""

import os

import bentoml
from PIL.Image import Image

from bench.peers.network import Answer, load_network


@bentoml.service(workers=len(os.sched_getaffinity(0)))
class Recognition:
    """A worker for each core."""

    def __init__(self) -> None:
        self.network = load_network()

    @bentoml.api
    def predict(self, image: Image) -> Answer:
        # BentoML has only read the header. The bytes behind it: taken as a Path, each photo would be a file first.
        image.fp.seek(0)
        return self.network.answer(self.network.prepare(image.fp.read()))
