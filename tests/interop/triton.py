"""Asks an endpoint the way Triton's own client does; prints one JSON object for the test to judge.

usage: triton.py HOST:PORT MODEL ROWS
"""

import json
import sys

import numpy
import tritonclient.http as http

address, model, rows = sys.argv[1], sys.argv[2], int(sys.argv[3])
client = http.InferenceServerClient(address)
features = client.get_model_metadata(model)["inputs"][0]["shape"][1]
data = (numpy.arange(rows * features, dtype=numpy.float32).reshape(rows, features) % 7) - 3


def infer(binary_in, binary_out, **more):
    tensor = http.InferInput("input", list(data.shape), "FP32")
    tensor.set_data_from_numpy(data, binary_data=binary_in)
    outputs = [http.InferRequestedOutput(name, binary_data=binary_out) for name in ("score", "predicted_label")]
    result = client.infer(model, [tensor], outputs=outputs, request_id="7", **more)
    assert result.get_response()["id"] == "7"
    return [result.as_numpy("score").tolist(), result.as_numpy("predicted_label").tolist()]


try:
    client.infer("nobody", [http.InferInput("input", [1, features], "FP32").set_data_from_numpy(data[:1])])
    unknown = None
except http.InferenceServerException as error:
    unknown = str(error.message())

print(
    json.dumps(
        {
            "live": client.is_server_live(),
            "ready": client.is_server_ready() and client.is_model_ready(model),
            "unknown_ready": client.is_model_ready("nobody"),
            "extensions": client.get_server_metadata()["extensions"],
            "index": client.get_model_repository_index(),
            "config": client.get_model_config(model),
            "answers": [infer(a, b) for a in (False, True) for b in (False, True)],
            "packed": infer(True, True, request_compression_algorithm="gzip", response_compression_algorithm="gzip"),
            "deflated": infer(False, True, request_compression_algorithm="deflate"),
            "statistics": client.get_inference_statistics(model)["model_stats"][0],
            "unknown": unknown,
            "data": data.tolist(),
        }
    )
)
