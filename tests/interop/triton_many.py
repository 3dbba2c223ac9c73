"""Triton's own client against an endpoint of many models: what it sees, as JSON.

Arguments: address, a row as CSV.
"""

import json
import sys

import numpy as np
import tritonclient.http as triton

address, row = sys.argv[1:]
client = triton.InferenceServerClient(address)


def index():
    return {line["name"]: line["state"] for line in client.get_model_repository_index()}


told = {"before": index(), "ready": [client.is_model_ready("a")]}
client.load_model("a")
told["ready"].append(client.is_model_ready("a"))
told["after"] = index()
values = np.array([[float(value) for value in row.split(",")]], dtype=np.float32)
tensor = triton.InferInput("input", values.shape, "FP32")
tensor.set_data_from_numpy(values)
result = client.infer("a", [tensor])
told["score"] = float(result.as_numpy("score").reshape(-1)[0])
client.unload_model("a")
told["ready"].append(client.is_model_ready("a"))
try:
    client.infer("nobody", [tensor])
except triton.InferenceServerException as error:
    told["missing"] = str(error)
print(json.dumps(told))
