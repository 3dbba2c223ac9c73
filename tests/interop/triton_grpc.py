"""Asks an endpoint over gRPC the way Triton's own client does; prints one JSON object for the test to judge.

usage: triton_grpc.py HOST:PORT MODEL ROWS [CA.pem TOKEN]
"""

import json
import sys

import grpc as wire
import numpy
import tritonclient.grpc as grpc
from tritonclient.grpc import service_pb2 as pb

address, model, rows = sys.argv[1], sys.argv[2], int(sys.argv[3])
secure = sys.argv[4:6]
options = [("grpc.ssl_target_name_override", "localhost")] if secure else None
client = grpc.InferenceServerClient(address, ssl=bool(secure), root_certificates=secure[0] if secure else None, channel_args=options)
headers = {"authorization": f"Bearer {secure[1]}"} if secure else None
features = client.get_model_metadata(model, headers=headers).inputs[0].shape[1]
data = (numpy.arange(rows * features, dtype=numpy.float32).reshape(rows, features) % 7) - 3


def infer(dtype="FP32", values=data, **more):
    tensor = grpc.InferInput("input", list(values.shape), dtype)
    tensor.set_data_from_numpy(values.astype({"FP32": numpy.float32, "FP64": numpy.float64, "INT32": numpy.int32}[dtype]))
    outputs = [grpc.InferRequestedOutput(name) for name in ("score", "predicted_label")]
    result = client.infer(model, [tensor], outputs=outputs, request_id="7", headers=headers, **more)
    assert result.get_response().id == "7"
    return [result.as_numpy("score").tolist(), result.as_numpy("predicted_label").tolist()]


def typed(**contents):
    """The same with typed contents, which the client's own classes never send."""
    kind = {"fp32_contents": "FP32", "fp64_contents": "FP64", "int_contents": "INT32", "int64_contents": "INT64"}
    field = next(iter(contents))
    request = pb.ModelInferRequest(model_name=model)
    tensor = request.inputs.add(name="input", datatype=kind[field], shape=list(data.shape))
    getattr(tensor.contents, field).extend(contents[field])
    response = client._client_stub.ModelInfer(request, metadata=list((headers or {}).items()))
    return numpy.frombuffer(response.raw_output_contents[0], numpy.float32).tolist()


def failure(call):
    try:
        return ["OK", str(call())]
    except grpc.InferenceServerException as error:
        return [str(error.status()).replace("StatusCode.", ""), str(error.message())]


def wide(width):
    tensor = grpc.InferInput("input", [1, width], "FP32")
    tensor.set_data_from_numpy(numpy.zeros((1, width), numpy.float32))
    return client.infer(model, [tensor], headers=headers)


def raw(request):
    stub = client._client_stub
    try:
        return ["OK", str(stub.ModelInfer(request, metadata=list((headers or {}).items())))]
    except wire.RpcError as error:
        return [error.code().name, error.details()]


flat = data.flatten().tolist()
whole = [int(value) for value in flat]
mixed = pb.ModelInferRequest(model_name=model, raw_input_contents=[data.tobytes()])
tensor = mixed.inputs.add(name="input", datatype="FP32", shape=list(data.shape))
tensor.contents.fp32_contents.extend(flat)
print(
    json.dumps(
        {
            "live": client.is_server_live(headers=headers),
            "ready": client.is_server_ready(headers=headers) and client.is_model_ready(model, headers=headers),
            "unknown_ready": client.is_model_ready("nobody", headers=headers),
            "server": client.get_server_metadata(headers=headers, as_json=True),
            "metadata": client.get_model_metadata(model, headers=headers, as_json=True),
            "config": client.get_model_config(model, headers=headers, as_json=True),
            "index": client.get_model_repository_index(headers=headers, as_json=True),
            "answers": [
                infer(),
                infer("FP64"),
                infer("INT32"),
                infer(compression_algorithm="gzip"),
                infer(compression_algorithm="deflate"),
            ],
            "typed": [
                typed(fp32_contents=flat),
                typed(fp64_contents=flat),
                typed(int_contents=whole),
                typed(int64_contents=whole),
            ],
            "statistics": client.get_inference_statistics(model, headers=headers, as_json=True)["model_stats"][0],
            "load": failure(lambda: client.load_model(model, headers=headers)),
            "failures": {
                "unknown": failure(lambda: client.get_model_metadata("nobody", headers=headers)),
                "version": failure(lambda: client.get_model_metadata(model, "2", headers=headers)),
                "wide": failure(lambda: wide(features + 1)),
                "large": failure(lambda: wide(2 << 20)),
                "mixed": raw(mixed),
                "empty": raw(pb.ModelInferRequest(model_name=model)),
                "wrong": raw(pb.ModelInferRequest(model_name="nobody")),
                "shared memory": failure(lambda: client.get_system_shared_memory_status(headers=headers)),
            },
            "without a token": failure(lambda: client.get_server_metadata()),
            "data": data.tolist(),
        }
    )
)
