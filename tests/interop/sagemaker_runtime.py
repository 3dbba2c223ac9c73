"""Asks an endpoint the way boto3's SageMaker runtime does; prints one JSON object for the test to judge.

usage: sagemaker_runtime.py URL ENDPOINT BODY…
"""

import json
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

url, endpoint, bodies = sys.argv[1], sys.argv[2], sys.argv[3:]
client = boto3.client(
    "sagemaker-runtime",
    endpoint_url=url,
    region_name="us-east-1",
    aws_access_key_id="test",
    aws_secret_access_key="test",
    verify=False,
    config=Config(retries={"max_attempts": 0}, inject_host_prefix=False),
)


def asked(body, name=endpoint, **more):
    """What came back, or how botocore tells the failure."""
    try:
        reply = client.invoke_endpoint(EndpointName=name, Body=body, **more)
    except ClientError as error:
        told = error.response
        known = [kind for kind in dir(client.exceptions) if not kind.startswith("_")]
        return {
            "class": type(error).__name__,
            "modeled": type(error).__name__ in known,
            "code": told["Error"]["Code"],
            "message": told["Error"]["Message"],
            "status": told["ResponseMetadata"]["HTTPStatusCode"],
            **{key: told[key] for key in ("OriginalStatusCode", "OriginalMessage", "LogStreamArn") if key in told},
        }
    return {
        "body": reply["Body"].read().decode(),
        "type": reply.get("ContentType"),
        "variant": reply.get("InvokedProductionVariant"),
        "attributes": reply.get("CustomAttributes"),
        "id": reply["ResponseMetadata"]["RequestId"],
    }


print(
    json.dumps(
        {
            "bodies": [asked(body, ContentType="text/csv") for body in bodies],
            "csv": asked(
                "0,0,0\n1,2,0.5\n",
                ContentType="text/csv",
                Accept="text/csv",
                CustomAttributes="trace=1; user=7",
                InferenceId="order-7",
            ),
            "json": asked(json.dumps({"instances": [{"features": [0, 0, 0]}]}), ContentType="application/json"),
            "bytes": asked(b"0,0,0"),
            "empty": asked(b"", ContentType="text/csv"),
            "unknown": asked("0,0,0", "nobody"),
            "variant": asked("0,0,0", TargetVariant="green"),
            "model": asked("0,0,0", TargetModel="a.tar.gz"),
            "type": asked("0,0,0", ContentType="image/png"),
            "accept": asked("0,0,0", Accept="text/html"),
        }
    )
)
