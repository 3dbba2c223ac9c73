"""boto3's kms client and PyPI's aws-encryption-sdk against `smrt keys serve`.

usage: kms.py URL FOLDER

FOLDER holds ours.sealed (sealed by smrt under alias/smrt, context {"smrt:job": "churn"}), whose
content is ours.plain; theirs.sealed is written there by the AWS Encryption SDK, with the content
of ours.plain. Credentials come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.
Prints "done" when everything held. tests/it/kms.rs drives it.
"""
import pathlib
import sys

import aws_encryption_sdk
import boto3
import botocore.config
import botocore.exceptions
from aws_cryptographic_material_providers.mpl import AwsCryptographicMaterialProviders
from aws_cryptographic_material_providers.mpl.config import MaterialProvidersConfig
from aws_cryptographic_material_providers.mpl.models import CreateAwsKmsKeyringInput
from aws_encryption_sdk import CommitmentPolicy
from aws_encryption_sdk.identifiers import AlgorithmSuite

url, folder = sys.argv[1], pathlib.Path(sys.argv[2])
once = botocore.config.Config(retries={"max_attempts": 1})
kms = boto3.client("kms", endpoint_url=url, region_name="local", config=once)


def refused(code, call, **arguments):
    try:
        call(**arguments)
    except botocore.exceptions.ClientError as error:
        got = error.response["Error"]["Code"]
        assert got == code, f"{got} instead of {code}: {error}"
        return error
    raise AssertionError(f"{call} was not refused")


# A key's life.
made = kms.create_key(Description="fraud", Tags=[{"TagKey": "team", "TagValue": "a"}])
key = made["KeyMetadata"]
assert key["Enabled"] and key["KeyState"] == "Enabled" and key["Origin"] == "AWS_KMS"
arn = key["Arn"]
kms.create_alias(AliasName="alias/fraud", TargetKeyId=arn)
refused("AlreadyExistsException", kms.create_alias, AliasName="alias/fraud", TargetKeyId=arn)
assert kms.describe_key(KeyId="alias/fraud")["KeyMetadata"]["Arn"] == arn
alias_arn = kms.list_aliases(KeyId=arn)["Aliases"][0]["AliasArn"]
assert kms.describe_key(KeyId=alias_arn)["KeyMetadata"]["Arn"] == arn
kms.update_key_description(KeyId=arn, Description="fraud models")
kms.tag_resource(KeyId=arn, Tags=[{"TagKey": "env", "TagValue": "prod"}])
kms.untag_resource(KeyId=arn, TagKeys=["team"])
assert kms.list_resource_tags(KeyId=arn)["Tags"] == [{"TagKey": "env", "TagValue": "prod"}]
for _ in range(3):
    kms.create_key()
pages = kms.get_paginator("list_keys").paginate(PaginationConfig={"PageSize": 2})
ids = [item["KeyId"] for page in pages for item in page["Keys"]]
assert len(ids) == len(set(ids)) == 5, ids  # with alias/smrt's

# Its use.
context = {"job": "churn", "zé": "ü"}
blob = kms.encrypt(KeyId="alias/fraud", Plaintext=b"secret", EncryptionContext=context)
assert blob["KeyId"] == arn
blob = blob["CiphertextBlob"]
opened = kms.decrypt(CiphertextBlob=blob, EncryptionContext=context)
assert opened["Plaintext"] == b"secret" and opened["KeyId"] == arn
refused("InvalidCiphertextException", kms.decrypt, CiphertextBlob=blob)
refused("InvalidCiphertextException", kms.decrypt, CiphertextBlob=b"x", EncryptionContext=context)
refused(
    "IncorrectKeyException",
    kms.decrypt,
    CiphertextBlob=blob,
    EncryptionContext=context,
    KeyId="alias/smrt",
)
refused("DryRunOperationException", kms.decrypt, CiphertextBlob=blob, EncryptionContext=context,
        DryRun=True)
data = kms.generate_data_key(KeyId=arn, KeySpec="AES_256", EncryptionContext=context)
assert len(data["Plaintext"]) == 32
again = kms.decrypt(CiphertextBlob=data["CiphertextBlob"], EncryptionContext=context)
assert again["Plaintext"] == data["Plaintext"]
hidden = kms.generate_data_key_without_plaintext(KeyId=arn, NumberOfBytes=64)
assert "Plaintext" not in hidden
assert len(kms.decrypt(CiphertextBlob=hidden["CiphertextBlob"])["Plaintext"]) == 64
assert len(kms.generate_random(NumberOfBytes=24)["Plaintext"]) == 24
moved = kms.re_encrypt(
    CiphertextBlob=blob,
    SourceEncryptionContext=context,
    DestinationKeyId="alias/smrt",
    DestinationEncryptionContext={"job": "other"},
)
assert moved["SourceKeyId"] == arn and moved["KeyId"] != arn
moved = kms.decrypt(CiphertextBlob=moved["CiphertextBlob"], EncryptionContext={"job": "other"})
assert moved["Plaintext"] == b"secret"
refused("ValidationException", kms.encrypt, KeyId=arn, Plaintext=b"x" * 4097)
refused("NotFoundException", kms.encrypt, KeyId="alias/nobody", Plaintext=b"x")

# Rotation, and what was sealed before.
for _ in range(3):
    kms.rotate_key_on_demand(KeyId=arn)
assert kms.decrypt(CiphertextBlob=blob, EncryptionContext=context)["Plaintext"] == b"secret"
rotations = kms.list_key_rotations(KeyId=arn)["Rotations"]
assert [one["RotationType"] for one in rotations] == ["ON_DEMAND"] * 3
kms.enable_key_rotation(KeyId=arn, RotationPeriodInDays=180)
status = kms.get_key_rotation_status(KeyId=arn)
assert status["KeyRotationEnabled"] and status["RotationPeriodInDays"] == 180
kms.disable_key_rotation(KeyId=arn)
assert not kms.get_key_rotation_status(KeyId=arn)["KeyRotationEnabled"]

# Policy and grants.
assert "kms:*" in kms.get_key_policy(KeyId=arn)["Policy"]
refused("MalformedPolicyDocumentException", kms.put_key_policy, KeyId=arn, Policy="{")
kms.put_key_policy(KeyId=arn, Policy='{"Version": "2012-10-17", "Statement": []}')
assert kms.get_key_policy(KeyId=arn)["Policy"] == '{"Version": "2012-10-17", "Statement": []}'
assert kms.list_key_policies(KeyId=arn)["PolicyNames"] == ["default"]
grant = kms.create_grant(
    KeyId=arn,
    GranteePrincipal="arn:aws:iam::000000000000:role/train",
    RetiringPrincipal="arn:aws:iam::000000000000:user/admin",
    Operations=["Decrypt", "GenerateDataKey"],
    Constraints={"EncryptionContextSubset": {"job": "churn"}},
)
listed = kms.list_grants(KeyId=arn)["Grants"]
assert listed[0]["GrantId"] == grant["GrantId"]
assert listed[0]["Constraints"] == {"EncryptionContextSubset": {"job": "churn"}}
retirable = kms.list_retirable_grants(RetiringPrincipal="arn:aws:iam::000000000000:user/admin")
assert len(retirable["Grants"]) == 1
kms.revoke_grant(KeyId=arn, GrantId=grant["GrantId"])
assert kms.list_grants(KeyId=arn)["Grants"] == []

# States.
kms.disable_key(KeyId=arn)
refused("DisabledException", kms.decrypt, CiphertextBlob=blob, EncryptionContext=context)
kms.enable_key(KeyId=arn)
gone = kms.schedule_key_deletion(KeyId=arn, PendingWindowInDays=7)
assert gone["KeyState"] == "PendingDeletion"
refused("KMSInvalidStateException", kms.decrypt, CiphertextBlob=blob, EncryptionContext=context)
kms.cancel_key_deletion(KeyId=arn)
assert kms.describe_key(KeyId=arn)["KeyMetadata"]["KeyState"] == "Disabled"
kms.enable_key(KeyId=arn)
assert kms.decrypt(CiphertextBlob=blob, EncryptionContext=context)["Plaintext"] == b"secret"
kms.delete_alias(AliasName="alias/fraud")
refused("NotFoundException", kms.describe_key, KeyId="alias/fraud")

# What is not done is refused by name, and strangers get nowhere.
refused("UnsupportedOperationException", kms.create_key, KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")
refused("UnknownOperationException", kms.get_public_key, KeyId=arn)
session = boto3.Session(aws_access_key_id="AKIDSTRANGER", aws_secret_access_key="x" * 40)
stranger = session.client("kms", endpoint_url=url, region_name="local", config=once)
unknown = refused("InvalidSignatureException", stranger.list_keys)
session = boto3.Session(
    aws_access_key_id=boto3.Session().get_credentials().access_key, aws_secret_access_key="y" * 40
)
wrong = session.client("kms", endpoint_url=url, region_name="local", config=once)
assert str(refused("InvalidSignatureException", wrong.list_keys)) == str(unknown)

# The AWS Encryption SDK's KMS keyring, both ways.
default = kms.describe_key(KeyId="alias/smrt")["KeyMetadata"]["Arn"]
mpl = AwsCryptographicMaterialProviders(config=MaterialProvidersConfig())
keyring = mpl.create_aws_kms_keyring(
    input=CreateAwsKmsKeyringInput(kms_key_id=default, kms_client=kms)
)
client = aws_encryption_sdk.EncryptionSDKClient(
    commitment_policy=CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT
)
plain = (folder / "ours.plain").read_bytes()
opened, header = client.decrypt(
    source=(folder / "ours.sealed").read_bytes(),
    keyring=keyring,
    encryption_context={"smrt:job": "churn"},
)
assert opened == plain
for name, suite in (
    ("theirs", AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY),
    ("signed", AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY_ECDSA_P384),
):
    sealed, _ = client.encrypt(
        source=plain, keyring=keyring, encryption_context={"smrt:job": "churn"}, algorithm=suite
    )
    (folder / f"{name}.sealed").write_bytes(sealed)
print("done")
