"""Asks an endpoint that knows its callers, with boto3 and real signatures; prints one JSON object.

usage: iam_door.py URL ENDPOINT < JSON of access keys by name: [KEY, SECRET, TOKEN or null]
"""

import datetime
import json
import sys

import boto3
import botocore.auth
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

url, endpoint = sys.argv[1:]
keys = json.load(sys.stdin)


def client(name, **more):
    key, secret, token = keys[name]
    return boto3.client(
        "sagemaker-runtime",
        endpoint_url=url,
        region_name=more.pop("region", "us-east-1"),
        aws_access_key_id=key,
        aws_secret_access_key=more.pop("secret", secret),
        aws_session_token=more.pop("token", token),
        config=Config(retries={"max_attempts": 0}, inject_host_prefix=False, **more),
    )


def asked(client, name=endpoint, body="1,2,0.5", **more):
    try:
        reply = client.invoke_endpoint(EndpointName=name, Body=body, ContentType="text/csv", **more)
    except ClientError as error:
        told = error.response
        return {"code": told["Error"]["Code"], "message": told["Error"]["Message"], "status": told["ResponseMetadata"]["HTTPStatusCode"]}
    return {"code": "", "body": reply["Body"].read().decode()}


def old(minutes):
    """As `asked`, signed by a clock that goes wrong."""
    names = [name for name in ("get_current_datetime", "datetime") if hasattr(botocore.auth, name)]
    name = names[0]
    real = getattr(botocore.auth, name)
    then = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(minutes=minutes)
    if name == "get_current_datetime":
        setattr(botocore.auth, name, lambda remove_tzinfo=True: then.replace(tzinfo=None) if remove_tzinfo else then)
    else:

        class Clock(datetime.datetime):
            @classmethod
            def utcnow(cls):
                return then.replace(tzinfo=None)

            @classmethod
            def now(cls, tz=None):
                return then

        botocore.auth.datetime = type("module", (), {"datetime": Clock, "timezone": datetime.timezone})
    try:
        return asked(client("allowed"))
    finally:
        setattr(botocore.auth, name, real)


print(
    json.dumps(
        {
            "allowed": asked(client("allowed")),
            "odd": asked(client("allowed"), CustomAttributes="trace=1;  user=7", InferenceId="order-7"),
            "denied": asked(client("denied")),
            "session": asked(client("session")),
            "no_token": asked(client("session", token=None)),
            "bad_token": asked(client("session", token="AAAA")),
            "wrong_secret": asked(client("allowed", secret="x" * 40)),
            "unknown_key": asked(client("nobody")),
            "inactive": asked(client("inactive")),
            "region": asked(client("allowed", region="eu-west-1")),
            "unsigned": asked(client("allowed", signature_version=UNSIGNED)),
            "old": old(16),
            "young": old(14),
            "early": old(-16),
        }
    )
)
