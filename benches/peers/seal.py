"""Sealing beside its peers, in one run: the raw aes-gcm crate and ring, openssl, and PyPI's SDK.

usage: seal.py BENCH [MEBIBYTES [ROUNDS]]

BENCH is the built bench (`cargo bench --bench seal --no-run` prints where). Needs openssl, and for
the SDK this Python must have aws-encryption-sdk 4.0.7 and aws-cryptographic-material-providers.
Prints a table of MB/s (10^6) and what smrt is of each. All file work is file to file in the same
folder (TMPDIR), through the page cache, without a flush to the disk.
"""
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time


def ours(bench, mebibytes, rounds):
    settings = {"SMRT_SEAL_BYTES": str(mebibytes << 20), "SMRT_SEAL_ROUNDS": str(rounds)}
    done = subprocess.run(
        [bench], env={**os.environ, **settings}, check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout)


def openssl(cores):
    """MB/s of `openssl speed` on one core and, by `-multi`, on as many as smrt has."""
    command = "openssl speed -mr -seconds 2 -bytes 1048576 -evp aes-256-gcm".split()

    def run(extra):
        out = subprocess.run(command + extra, check=True, capture_output=True, text=True).stdout
        return float(out.strip().splitlines()[-1].split(":")[-1]) / 1e6

    return run([]), run(["-multi", str(cores)])


def python_sdk(mebibytes, rounds):
    """Median (wall, CPU) seconds of PyPI's SDK to seal and to open; 1 MiB frames, suite 0478."""
    import aws_encryption_sdk
    from aws_cryptographic_material_providers.mpl import AwsCryptographicMaterialProviders
    from aws_cryptographic_material_providers.mpl.config import MaterialProvidersConfig
    from aws_cryptographic_material_providers.mpl.models import (
        AesWrappingAlg,
        CreateRawAesKeyringInput,
    )
    from aws_encryption_sdk.identifiers import AlgorithmSuite

    providers = AwsCryptographicMaterialProviders(config=MaterialProvidersConfig())
    keyring = providers.create_raw_aes_keyring(
        input=CreateRawAesKeyringInput(
            key_namespace="bench",
            key_name="bench",
            wrapping_key=bytes([1] * 32),
            wrapping_alg=AesWrappingAlg.ALG_AES256_GCM_IV12_TAG16,
        )
    )
    client = aws_encryption_sdk.EncryptionSDKClient()
    suite = AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY

    def run(mode, source, target, **more):
        start = (time.perf_counter(), time.process_time())
        with open(source, "rb") as plain, open(target, "wb") as sealed:
            with client.stream(mode=mode, source=plain, keyring=keyring, **more) as stream:
                while piece := stream.read(1 << 20):
                    sealed.write(piece)
        return (time.perf_counter() - start[0], time.process_time() - start[1])

    def warm(folder, data):
        # As the bench does: see warm() there.
        (folder / "w").write_bytes(data)
        (folder / "w").unlink()

    with tempfile.TemporaryDirectory() as folder:
        plain, sealed, opened = (pathlib.Path(folder) / name for name in ("p", "s", "o"))
        data = os.urandom(1 << 20) * mebibytes
        plain.write_bytes(data)
        times = []
        for _ in range(rounds):
            for path in (sealed, opened):
                path.unlink(missing_ok=True)
            warm(plain.parent, data)
            sealing = run("e", plain, sealed, algorithm=suite, frame_length=1 << 20)
            warm(plain.parent, data)
            times.append((sealing, run("d", sealed, opened)))
        assert opened.stat().st_size == plain.stat().st_size
    median = statistics.median
    return [tuple(median(part) for part in zip(*column)) for column in zip(*times)]


def main():
    bench = sys.argv[1]
    mebibytes = int(sys.argv[2]) if len(sys.argv) > 2 else 1024
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 5
    mine = ours(bench, mebibytes, rounds)
    speed = {name: mine["bytes"] / s / 1e6 for name, s in mine["seconds"].items()}
    speed["openssl, 1 core"], speed["openssl, all cores"] = openssl(mine["cores"])
    try:
        times = python_sdk(mebibytes, min(rounds, 3))
        for name, (wall, cpu) in zip(("PyPI seal", "PyPI open"), times):
            speed[name] = mine["bytes"] / wall / 1e6
            mine["cpu_seconds"][name] = round(cpu, 3)
    except ImportError as missing:
        print(f"PyPI's SDK skipped: {missing}")
    print(f"{mebibytes} MiB, {mine['cores']} cores")
    print(f"{'':<20}{'MB/s':>8}{'seal is':>10}{'open is':>10}")
    for name, value in speed.items():
        of = [f"{speed[mine_name] / value:>9.2f}x" for mine_name in ("seal", "open")]
        print(f"{name:<20}{value:>8.0f}{''.join(of)}")
    print(f"CPU seconds: {mine['cpu_seconds']}")
    print(f"of the raw cipher, by CPU time: {mine['of_raw_by_cpu']}")


main()
