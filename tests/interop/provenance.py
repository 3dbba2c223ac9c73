"""provenance.json as in-toto's own schemas read it: a Statement v1 with a SLSA provenance v1 predicate.

usage: provenance.py FILE
Fields that the schemas do not know are errors. Prints one line of JSON: subjects, dependencies with
their SHA-256, the external parameters' names, the builder's id. tests/it/signed.rs drives it.
"""
import json
import pathlib
import sys

from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.v1 import statement, statement_pb2

whole = json.loads(pathlib.Path(sys.argv[1]).read_text())
read = json_format.ParseDict(whole, statement_pb2.Statement())
statement.Statement.copy_from_pb(read).validate()
assert read.predicate_type == "https://slsa.dev/provenance/v1", read.predicate_type
slsa = json_format.ParseDict(whole["predicate"], provenance_pb2.Provenance())
build, run = slsa.build_definition, slsa.run_details
for uri in (build.build_type, run.builder.id):
    assert "://" in uri, uri
for one in build.resolved_dependencies:
    assert one.uri and len(one.digest["sha256"]) == 64, one
print(
    json.dumps(
        {
            "subjects": {one.name: one.digest["sha256"] for one in read.subject},
            "inputs": {one.annotations["channel"]: one.digest["sha256"] for one in build.resolved_dependencies},
            "parameters": sorted(build.external_parameters.keys()),
            "builder": run.builder.id,
            "version": run.builder.version["smrt"],
            "made_of": {one.name: dict(one.digest) for one in run.builder.builder_dependencies},
        }
    )
)
