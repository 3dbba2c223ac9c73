"""PyPI's model-signing beside `smrt sign` and `smrt verify`.

usage: model_signing_both_ways.py verify TREE PUBLIC_KEY      model.sig stands in TREE
       model_signing_both_ways.py sign TREE PRIVATE_KEY       leaves model.sig in TREE
       model_signing_both_ways.py keys FOLDER                 leaves p256.pem, p256.pub, p384.pem, p384.pub
Prints "done" when it worked, "refused: …" when a signature does not hold.
tests/it/signed.rs drives it.
"""
import pathlib
import sys

import model_signing
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

step, place = sys.argv[1], pathlib.Path(sys.argv[2])
if step == "keys":
    for name, curve in (("p256", ec.SECP256R1()), ("p384", ec.SECP384R1())):
        key = ec.generate_private_key(curve)
        (place / f"{name}.pem").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        (place / f"{name}.pub").write_bytes(
            key.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )
elif step == "sign":
    signature = place / "model.sig"
    hashing = model_signing.hashing.Config().set_ignored_paths(paths=[signature])
    model_signing.signing.Config().use_elliptic_key_signer(
        private_key=sys.argv[3]
    ).set_hashing_config(hashing).sign(place, signature)
else:
    try:
        model_signing.verifying.Config().use_elliptic_key_verifier(
            public_key=pathlib.Path(sys.argv[3])
        ).verify(place, place / "model.sig")
    except Exception as error:
        print(f"refused: {error}")
        sys.exit()
print("done")
