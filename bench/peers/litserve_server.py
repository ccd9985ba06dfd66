"""LitServe around the network: `python -m bench.peers.litserve_server PORT`, in the peers' venv."""

import os
import sys
from typing import Any

import litserve
from fastapi import Request

from bench.peers.network import Answer, load_network


class Api(litserve.LitAPI):
    """The four steps as LitServe's documentation has them. All run in the worker's process."""

    def setup(self, device: str) -> None:  # noqa: ARG002 - the signature is LitServe's
        self.network = load_network()

    def decode_request(self, request: Request) -> Any:
        return self.network.prepare(request["image"].file.read())

    def predict(self, x: Any) -> Answer:
        return self.network.answer(x)

    def encode_response(self, output: Answer) -> Answer:
        return output


if __name__ == "__main__":
    server = litserve.LitServer(Api(), accelerator="cpu", workers_per_device=len(os.sched_getaffinity(0)))
    server.run(
        host="127.0.0.1", port=int(sys.argv[1]), num_api_servers=1, generate_client_file=False, log_level="error"
    )
