"""A KMS that is a job's key service: keys made with boto3, artifacts opened and made with PyPI's
aws-encryption-sdk and its KMS keyring.

usage: kms_job.py URL FOLDER make      prints the ARN of a new key, alias/job
       kms_job.py URL FOLDER check     opens FOLDER/ours.sealed into ours.opened, and seals
                                       FOLDER/theirs.plain into theirs.sealed
       kms_job.py URL FOLDER disable   disables alias/job
tests/it/keyring.rs drives it. Credentials and region come from the environment.
"""
import pathlib
import sys

import boto3

url, folder, step = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
kms = boto3.client("kms", endpoint_url=url)
if step == "make":
    arn = kms.create_key(Description="a job's")["KeyMetadata"]["Arn"]
    kms.create_alias(AliasName="alias/job", TargetKeyId=arn)
    print(arn)
    sys.exit()
arn = kms.describe_key(KeyId="alias/job")["KeyMetadata"]["Arn"]
if step == "disable":
    kms.disable_key(KeyId=arn.rsplit("/")[-1])  # moto takes no ARN here
    sys.exit()

import aws_encryption_sdk
from aws_cryptographic_material_providers.mpl import AwsCryptographicMaterialProviders
from aws_cryptographic_material_providers.mpl.config import MaterialProvidersConfig
from aws_cryptographic_material_providers.mpl.models import CreateAwsKmsKeyringInput
from aws_encryption_sdk import CommitmentPolicy
from aws_encryption_sdk.identifiers import AlgorithmSuite

mpl = AwsCryptographicMaterialProviders(config=MaterialProvidersConfig())
keyring = mpl.create_aws_kms_keyring(
    input=CreateAwsKmsKeyringInput(kms_key_id=arn, kms_client=kms)
)
client = aws_encryption_sdk.EncryptionSDKClient(
    commitment_policy=CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT
)
opened, header = client.decrypt(
    source=(folder / "ours.sealed").read_bytes(),
    keyring=keyring,
    encryption_context={"smrt:artifact": "model.tar.gz"},
)
(folder / "ours.opened").write_bytes(opened)
sealed, _ = client.encrypt(
    source=(folder / "theirs.plain").read_bytes(),
    keyring=keyring,
    encryption_context={"smrt:artifact": "model.tar.gz"},
    algorithm=AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY,
)
(folder / "theirs.sealed").write_bytes(sealed)
print("done")
