"""The peers of `benchmarks/serving.py`: Triton and FastAPI around the same LiteRT file.

    python serving_peers.py triton|fastapi FILE.tflite PORT BODY

It runs in an environment of its own, with nvidia-pytriton, tritonclient, fastapi, uvicorn and
ai-edge-litert: Triton wants another NumPy. It writes to BODY what a client sends for one picture,
prints "ready" once it serves, and ends with its standard input.
"""

import json
import sys
import threading
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

THREADS = 2
MOST = 64  # examples in a batch


class Model:
    """A LiteRT file; it takes batches of any size."""

    def __init__(self, file: str) -> None:
        self.interpreter = Interpreter(file, num_threads=THREADS)
        self.interpreter.allocate_tensors()
        self.taken = self.interpreter.get_input_details()[0]
        self.given = self.interpreter.get_output_details()[0]
        self.lock = threading.Lock()

    def __call__(self, pictures: np.ndarray) -> np.ndarray:
        """Return the probabilities of pictures."""
        with self.lock:
            if tuple(self.interpreter.get_input_details()[0]["shape"]) != pictures.shape:
                self.interpreter.resize_tensor_input(self.taken["index"], pictures.shape)
                self.interpreter.allocate_tensors()
            self.interpreter.set_tensor(self.taken["index"], pictures)
            self.interpreter.invoke()
            return self.interpreter.get_tensor(self.given["index"])


def picture(model: Model) -> np.ndarray:
    """Return one picture of noise, always the same."""
    shape = tuple(model.taken["shape"][1:])
    return np.random.default_rng(0).integers(0, 256, shape).astype(model.taken["dtype"])


def triton(model: Model, port: int, body: Path) -> None:
    """Serve by Triton, with its own dynamic batching, over gRPC."""
    from pytriton.decorators import batch
    from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
    from pytriton.triton import Triton, TritonConfig
    from tritonclient.grpc import InferInput
    from tritonclient.grpc._utils import _get_inference_request

    one = picture(model)

    @batch
    def infer(**inputs: np.ndarray) -> list[np.ndarray]:
        return [model(inputs["image"])]

    config = TritonConfig(grpc_port=port, http_port=port + 1, metrics_port=port + 2, log_verbose=0)
    with Triton(config=config) as server:
        server.bind(
            model_name="model",
            infer_func=infer,
            inputs=[Tensor(name="image", dtype=one.dtype.type, shape=one.shape)],
            outputs=[Tensor(name="probabilities", dtype=np.float32, shape=(-1,))],
            config=ModelConfig(max_batch_size=MOST, batcher=DynamicBatcher()),
        )
        given = InferInput("image", [1, *one.shape], "UINT8")
        given.set_data_from_numpy(one[None])
        request = _get_inference_request(
            model_name="model", inputs=[given], model_version="", request_id="", outputs=None,
            sequence_id=0, sequence_start=False, sequence_end=False, priority=0, timeout=None,
            parameters=None,
        )  # fmt: skip
        message = request.SerializeToString()
        body.write_bytes(b"\0" + len(message).to_bytes(4, "big") + message)
        server.run()
        print("ready", flush=True)
        sys.stdin.read()


def fastapi(model: Model, port: int, body: Path) -> None:
    """Serve by a plain FastAPI application, as its tutorial writes one."""
    import uvicorn
    from fastapi import FastAPI
    from pydantic import BaseModel

    app = FastAPI()

    class Request(BaseModel):
        instances: list

    @app.post("/v1/models/model:predict")
    def predict(request: Request) -> dict:
        pictures = np.asarray(request.instances, model.taken["dtype"])
        return {"predictions": model(pictures).tolist()}

    body.write_text(json.dumps({"instances": [picture(model).tolist()]}))
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning"))
    serving = threading.Thread(target=server.run)
    serving.start()
    while not server.started:
        serving.join(0.1)
    print("ready", flush=True)
    sys.stdin.read()
    server.should_exit = True


if __name__ == "__main__":
    kind, file, port, body = sys.argv[1:]
    {"triton": triton, "fastapi": fastapi}[kind](Model(file), int(port), Path(body))
