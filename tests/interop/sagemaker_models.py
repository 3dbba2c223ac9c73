"""Asks an endpoint of many models as boto3's SageMaker runtime does; prints what came of each as JSON.

usage: sagemaker_models.py URL ENDPOINT ROW MODEL...
"""

import json
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

url, endpoint, row, models = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]
client = boto3.client(
    "sagemaker-runtime",
    endpoint_url=url,
    region_name="us-east-1",
    aws_access_key_id="test",
    aws_secret_access_key="test",
    config=Config(retries={"max_attempts": 0}, inject_host_prefix=False),
)


def asked(model):
    try:
        reply = client.invoke_endpoint(
            EndpointName=endpoint, TargetModel=model, Body=row, ContentType="text/csv", Accept="text/csv"
        )
    except ClientError as error:
        told = error.response
        return {"class": type(error).__name__, "original": told.get("OriginalStatusCode")}
    return {"body": reply["Body"].read().decode(), "variant": reply["InvokedProductionVariant"]}


print(json.dumps([asked(model) for model in models]))
