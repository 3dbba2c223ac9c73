"""boto3's sts client at smrt's door: who am I, a session of a role, and what is refused."""

import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

url, key, secret = sys.argv[1:4]


def client(key, secret, token=None):
    config = Config(retries={"max_attempts": 1})
    return boto3.client(
        "sts", endpoint_url=url, region_name="us-east-1", aws_access_key_id=key,
        aws_secret_access_key=secret, aws_session_token=token, config=config,
    )


def refused(act):
    try:
        act()
    except ClientError as error:
        return error.response["Error"]["Code"]
    raise AssertionError("it was done")


teller = client(key, secret)
me = teller.get_caller_identity()
assert me["Arn"] == "arn:aws:iam::000000000000:user/teller", me
assert me["Account"] == "000000000000" and me["UserId"].startswith("AIDA"), me
role = "arn:aws:iam::000000000000:role/Batch"
made = teller.assume_role(RoleArn=role, RoleSessionName="job-1", ExternalId="e<&>")
assert made["AssumedRoleUser"]["Arn"].endswith("assumed-role/Batch/job-1"), made
given = made["Credentials"]
assert refused(lambda: teller.assume_role(RoleArn=role, RoleSessionName="job-1")) == "AccessDenied"
assert refused(lambda: teller.assume_role(RoleArn=role + "x", RoleSessionName="job-1")) == "AccessDenied"
assert refused(lambda: teller.assume_role(
    RoleArn=role, RoleSessionName="job-1", ExternalId="e<&>", Policy="{}")) == "MalformedPolicyDocument"
assert refused(lambda: teller.get_session_token()) == "InvalidAction"
wrong = refused(client(key, secret + "x").get_caller_identity)
unknown = refused(client("AKIAAAAAAAAAAAAAAAAA", secret).get_caller_identity)
assert wrong == unknown, (wrong, unknown)
# The door reads the state anew within a second; asking until then is what a client does.
import time
for _ in range(50):
    try:
        session = client(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])
        me = session.get_caller_identity()
        break
    except ClientError:
        time.sleep(0.1)
assert me["Arn"] == "arn:aws:sts::000000000000:assumed-role/Batch/job-1", me
assert refused(client(given["AccessKeyId"], given["SecretAccessKey"]).get_caller_identity)
print("ok")
