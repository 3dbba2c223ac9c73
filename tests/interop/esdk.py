"""Both ways with PyPI's aws-encryption-sdk: it opens what smrt sealed, and seals what smrt opens.

usage: esdk.py open|seal FOLDER

FOLDER holds cases.json, a list of {name, suite, frame_bytes, context, required, plain, sealed,
key_hex, key_name, key_namespace}; `plain` and `sealed` are file names in it.
  open: decrypts every `sealed` and compares it with `plain`.
  seal: encrypts every `plain` into `sealed`.
Prints one line: how many cases were done. Needs aws-encryption-sdk and
aws-cryptographic-material-providers; tests/it/seal/interop.rs drives it when SMRT_PYTHON names a
Python that has them.
"""
import io
import json
import pathlib
import sys

import aws_encryption_sdk
from aws_cryptographic_material_providers.mpl import AwsCryptographicMaterialProviders
from aws_cryptographic_material_providers.mpl.config import MaterialProvidersConfig
from aws_cryptographic_material_providers.mpl.models import (
    AesWrappingAlg,
    CreateRawAesKeyringInput,
)
from aws_encryption_sdk import CommitmentPolicy
from aws_encryption_sdk.identifiers import AlgorithmSuite

SUITES = {
    "0478": AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY,
    "0578": AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY_ECDSA_P384,
}

mpl = AwsCryptographicMaterialProviders(config=MaterialProvidersConfig())
client = aws_encryption_sdk.EncryptionSDKClient(
    commitment_policy=CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT
)


def keyring(case):
    return mpl.create_raw_aes_keyring(
        input=CreateRawAesKeyringInput(
            key_namespace=case["key_namespace"],
            key_name=case["key_name"],
            wrapping_key=bytes.fromhex(case["key_hex"]),
            wrapping_alg=AesWrappingAlg.ALG_AES256_GCM_IV12_TAG16,
        )
    )


def open_case(folder, case):
    plain, header = client.decrypt(
        source=(folder / case["sealed"]).read_bytes(),
        keyring=keyring(case),
        encryption_context=case["context"],
    )
    assert plain == (folder / case["plain"]).read_bytes(), case["name"]
    for key, value in case["context"].items():
        assert header.encryption_context[key] == value, case["name"]


def seal_case(folder, case):
    with client.stream(
        mode="e",
        source=io.BytesIO((folder / case["plain"]).read_bytes()),
        keyring=keyring(case),
        encryption_context=case["context"],
        algorithm=SUITES[case["suite"]],
        frame_length=case["frame_bytes"],
    ) as stream:
        (folder / case["sealed"]).write_bytes(stream.read())


def main():
    mode, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    cases = json.loads((folder / "cases.json").read_text(encoding="utf-8"))
    for case in cases:
        {"open": open_case, "seal": seal_case}[mode](folder, case)
    print(f"{mode}: {len(cases)} cases")


main()
