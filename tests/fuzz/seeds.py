"""First inputs for every fuzz target, in tests/fuzz/corpus/TARGET/seed-*: small real examples, made
with the libraries that others use (.ci/requirements.txt) and with smrt itself.

    cargo build --release && python tests/fuzz/seeds.py target/release/smrt

What is there already is left alone, so that a new seed is a new line here and another run.
"""

import base64
import gzip
import hashlib
import hmac
import io
import json
import os
import pathlib
import struct
import subprocess
import sys
import tarfile
import tempfile
import uuid
import zlib

FUZZ = pathlib.Path(__file__).parent
ROOT = FUZZ.parent.parent
KEY = bytes([7] * 32)
TEXT = bytes(at % 251 for at in range(700))


def seed(target, *inputs):
    folder = FUZZ / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    for given in inputs:
        given = given.encode() if isinstance(given, str) else given
        path = folder / ("seed-" + hashlib.sha256(given).hexdigest()[:12])
        if not path.exists():
            path.write_bytes(given)


def each(target, choices, *inputs):
    """Every input behind each choice of settings."""
    for choice in choices:
        choice = bytes(choice) if isinstance(choice, (list, tuple)) else bytes([choice])
        for given in inputs:
            given = given.encode() if isinstance(given, str) else given
            seed(target, choice + given)


def varint(number):
    out = b""
    while True:
        out += bytes([number & 127 | (128 if number > 127 else 0)])
        number >>= 7
        if not number:
            return out


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def record(values, label=None, keys=None, shape=None, kind=2):
    form = {2: "f", 3: "d", 7: None}[kind]
    packed = b"".join(struct.pack("<" + form, v) if form else varint(v) for v in values)
    tensor = field(1, packed)
    if keys is not None:
        tensor += field(2, b"".join(map(varint, keys)))
    if shape is not None:
        tensor += field(3, b"".join(map(varint, shape)))
    entry = lambda tensor: field(1, b"values") + field(2, field(kind, tensor))
    out = field(1, entry(tensor))
    if label is not None:
        label = field(1, struct.pack("<f", label))
        out += field(2, field(1, b"values") + field(2, field(2, label)))
    return out


def framed(record, part=0):
    head = struct.pack("<II", 0xCED7230A, part << 29 | len(record))
    return head + record + bytes(-len(record) % 4)


def rows():
    each("csv", [0, 1, 0x0D, 0x08, 0x80, 0x20, 0x31 | 0x0C],
         "1,2.5,-3e-2\n0,,nan\n1,4,5\r\n", "y,w,a\n1,2,x\n0,0.5,\"q\"\"r,\"\n1,1,\n",
         "a;b\n1;2\n", "\ufeff1,2\n\n3,4", "yes,1\nno,2\nyes,3\n", "1,0x10\n", "1,1e999\n")
    each("csv", [0x41], "y,q,a\n1,u1,2\n0,u1,3\n1,u2,4\n")
    each("jsonl", [0x0C, 0x3C, 0x4C, 0x8C, 0x08],
         '{"y":1,"w":2,"q":"a","x":1.5,"z":{"k":2}}\n{"y":0,"w":1,"q":"a","x":null,"z":{"k":3}}\n',
         '{"y":"no","x":"red"}\n{"y":"yes","x":"blue"}\n',
         '{"features":[1,2,3],"y":1}\n{"features":[4,5,6],"y":0}\n', '{"y":1,"\\u0078":1e5}\n')
    each("libsvm", [0, 8, 0x40], "1 1:2.5 3:-1e3\n0 2:1 # c\n\n1\n", "1:0.5 qid:3 1:2 7:1\n0 qid:3 2:1\n",
         "-1 0:1 2147483647:1\n", "yes 1:1\nno 2:1\n", "1 3:1 1:2 2:3\n")
    dense = framed(record([1.0, 2.0, float("nan")], 1.0)) + framed(record([4.0, 5.0, 6.0], 0.0))
    sparse = framed(record([1.5], 1.0, [2], [5])) + framed(record([1.0, 2.0], 0.0, [0, 4], [5]))
    parts = record([1.0, 2.0], 1.0)
    parts = framed(parts[:7], 1) + framed(parts[7:9], 2) + framed(parts[9:], 3)
    each("recordio", [0, 8], dense, sparse, parts, dense[:-3], framed(record([1, 2], 1, kind=7)))
    seed("record", record([1.0, 2.0], 1.0), record([1.5], 1.0, [2], [5]), record([1.0], kind=3),
         record([1, 300], kind=7), b"", field(1, field(1, b"other") + field(2, b"")))
    each("split", [(0, 0), (1, 3), (3, 9)], "a,b\n1,2\n3,4\n", "1\r\n\"x\ny\"\n3", "\ufeffa\n\n\n", "")
    each("split", [(2, 0), (2, 40)], dense, parts)
    text = b"1,2\n3,4\n" * 40
    member = lambda data: gzip.compress(data, mtime=0)
    seed("stored", text, member(text), member(b"1,2\n") + member(b"3,4\n"), member(text)[:-5],
         zlib.compress(text))
    seed("stored", *zstd(text), *(frame[:-2] for frame in zstd(text)[:1]))
    each("describe", [0, 2, 4], "label,id,amount,when\n1,a,2.5,2020-01-01\n0,b,,2020-01-02\n0,c,3,x\n" * 3,
         "1,2,3\n1,2,3\n0,,nan\n", "\"q\"\"r\",1\n\"s,\",2\n")
    each("describe", [1], '{"label":1,"x":2,"t":"a"}\n{"label":0,"x":null,"t":"b"}\n', '{"f":[1,2]}\n')
    each("logins", [0x88, 0x80, 0x89], "u1,10.0.0.1\nu2,2001:db8::1\n", "ip;who\n", "\"a,b\",192.168.0.1\r\n")
    each("logins", [0x08, 0x00], '["u1","10.0.0.1"]\n', '{"features":["u",  "::1"]}\n',
         '{"data":{"features":{"values":["u1","1.2.3.4"]}}}\n')
    for path in sorted((ROOT / "tests/vectors/parquet").glob("*.parquet")):
        if path.stat().st_size < 5_000:
            each("parquet", [0, 0x80, 8], path.read_bytes())
    import pyarrow
    import pyarrow.parquet
    table = pyarrow.table({"y": [1, 0, 1], "a": [1.5, None, 3.0], "t": ["x", "y", "x"],
                           "b": [True, False, None], "i": pyarrow.array([1, 2, 3], pyarrow.int8())})
    for compression in ["none", "snappy", "gzip", "lz4", "zstd"]:
        for version in ["1.0", "2.0"]:
            out = io.BytesIO()
            pyarrow.parquet.write_table(table, out, compression=compression, data_page_version=version)
            each("parquet", [0, 0x80], out.getvalue())


def zstd(text):
    """Frames as pyarrow's zstd writes them, and one that is to be skipped."""
    import pyarrow
    out = pyarrow.BufferOutputStream()
    with pyarrow.CompressedOutputStream(out, "zstd") as stream:
        stream.write(text)
    frame = out.getvalue().to_pybytes()
    return [frame, struct.pack("<II", 0x184D2A50, 3) + b"abc" + frame, frame + frame]


def written():
    for path in sorted((ROOT / "examples").glob("*.toml")):
        if "endpoint" not in path.name:
            seed("job_toml", path.read_bytes())
    for path in sorted((ROOT / "tests/cmd").rglob("*.toml")):
        text = path.read_text(errors="replace")
        if text.startswith("[job]") and len(text) < 4000:
            seed("job_toml" if "[algorithm]" in text else "transform_toml", text)
    seed("job_toml", '[job]\nname = "j"\nseed = 7\n[algorithm]\nname = "xgboost"\n[hyperparameters]\n'
         'num_round = 10\nobjective = "binary:logistic"\n[channels.train]\nuri = "s3://b/train/"\n'
         's3_data_type = "S3Prefix"\nlabel = "y"\nheader = true\nshuffle_seed = 3\n[channels.model]\n'
         'uri = "s3://b/m.tar.gz"\n[output]\nuri = "s3://b/out/"\n[resources]\nthreads = 2\n'
         'memory_bytes_max = "1GiB"\n[stopping]\nmax_runtime_s = 60\n[checkpoint]\nkeep = 2\n'
         '[storage.s3]\nendpoint = "http://127.0.0.1:9000"\n', "[job\nname = 1\n[[x]]\n", "\ufeff[job]\n")
    seed("transform_toml", '[job]\nname = "t"\n[model]\nuri = "s3://b/model.tar.gz"\n[input]\nuri = "in/"\n'
         'content_type = "text/csv"\nsplit_type = "Line"\n[output]\nuri = "out/"\naccept = "text/csv"\n'
         'assemble_with = "Line"\n[data_processing]\ninput_filter = "$[1:]"\noutput_filter = "$[0,-1]"\n'
         'join_source = "Input"\n[transform]\nbatch_strategy = "MultiRecord"\nmax_payload_in_mb = 6\n')
    seed("endpoint_toml", '[endpoint]\nname = "fraud"\n[listen]\naddress = "127.0.0.1:8080"\n'
         '[[variants]]\nname = "a"\nmodel = "model.tar.gz"\nweight = 1.0\n[[variants]]\nname = "b"\n'
         'model = "s3://b/m.tar.gz"\nweight = 0.5\n[shadow]\nname = "s"\nmodel = "n.tar.gz"\nsampling_percent = 10\n',
         '[endpoint]\nname = "many"\n[models]\nuri = "s3://b/models/"\nhot_max = 10\nmemory_bytes_max = "1GiB"\n'
         '[auth]\ntokens = "tokens"\n[tls]\ncertificate = "c.pem"\nkey = "k.pem"\nclient_ca = "ca.pem"\n',
         '[endpoint]\nname = "r"\n[[variants]]\nname = "a"\nmodel = "a"\n[rollout]\nstrategy = "canary"\nto = "b"\n')
    for path in sorted((ROOT / "tests").rglob("*endpoint*.toml")):
        if path.stat().st_size < 4000:
            seed("endpoint_toml", path.read_bytes())
    pairs = {
        0: "predictor_type=binary_classifier\nepochs=3\nlearning_rate=0.1\nloss=logistic\nnum_models=2",
        1: "predictor_type=regressor\nhidden_layers=[32,16]\ndropout=0.1\nactivation=relu",
        2: "num_round=10\nobjective=multi:softprob\nnum_class=3\neval_metric=mlogloss,merror\n"
           "monotone_constraints=(1,0,-1)\ninteraction_constraints=[[0,1],[2]]\nbooster=gbtree",
        3: "num_boost_round=10\nobjective=binary\nmetric=auc\nnum_leaves=31\nboosting=goss",
        4: "num_trees=50\nnum_samples_per_tree=16\nfeature_dim=3\neval_metrics=[\"accuracy\"]",
        5: "k=3\nfeature_dim=2\ninit_method=kmeans++\nextra_center_factor=auto",
        6: "num_components=2\nfeature_dim=3\nmini_batch_size=10\nalgorithm_mode=randomized",
        7: "num_entity_vectors=100\nvector_dim=16\nepochs=1",
    }
    for choice, text in pairs.items():
        each("hyperparameters", [choice], text, text.replace("=", "=x", 1))
    paths = ["$", "$[1:]", "$[0,-1]", "$.features", "$['id','SageMakerOutput']", "$.a.b[0]", "$[*].x",
             "$.field.['a','b']", "$[:-1]", "$..a", "$.*"]
    seed("json_path", *paths)
    for path in paths:
        seed("select", path + '\n{"id":1,"features":[1,2],"a":{"b":[{"x":"\\u00e9"}]},"SageMakerOutput":0.5}',
             path + '\n[1,"x,\\"y",{"x":2},[3]]', path + '\n1,"a,b",3,"c""d"')
    seed("uri", "s3://bucket/a/b.csv", "gs://b/k", "az://c/k", "file:///tmp/x", "rel/x.csv", "/abs",
         "http://h:80/p?q=1", "https://h/p", "memory://a", "s3a://b/k", "s3:/b", "10GiB", "64KB", "job-name-1",
         "s3://b/a//b", "s3://b/../x", "http://[::1]:9000/a%20b")
    seed("manifest", '[{"prefix": "s3://b/p/"}, "a.csv", "d/b.csv"]', '[{"prefix": "data/"}, "x"]',
         '[{"prefix": "s3://b/p/"}, "../a"]', '[]', '[{"prefix":"s3://b/"},{"source-ref":"s3://b/x"}]',
         '[{"prefix": "s3://b/p/"}, "a", "a"]')


def called():
    csv = ["1,2\n3,4\n", "1\n2", "1,2,3", ",".join(map(str, range(30))) + "\n", "1,\"2\"\n", "a,b\n1,2\n",
           " 1 , 2\r\n", "0.1234567890123,16777217\n", "-0,1e-45\n", "1,a\n", "nan,inf\n"]
    each("request_csv", [0, 1, 2, 3, 9, 0x81, 5], *csv)
    entries = ['{"features":[1,2]}', '[1.5,-2e3]', '{"data":{"features":{"values":[1,2]}}}', '{"c0":1,"c1":2}',
               '{"data":{"features":{"keys":[1],"values":[2],"shape":[2]}}}', '{"features":[null,2]}', '[1,"a"]']
    for entry in entries:
        each("request_json", [1, 5, 9, 13], '{"instances":[%s]}' % entry, '{"instances": [%s, %s]}' % (entry, entry))
        each("request_jsonlines", [1, 5, 9, 13], entry, entry + "\n" + entry + "\n")
    each("request_libsvm", [1, 2, 17, 9], "0:1 1:2\n1 0:3\n", "1 2:1\n", "\n", "0:1 # c\n")
    dense = framed(record([1.0, 2.0], 1.0)) + framed(record([4.0, 5.0]))
    each("request_recordio", [1, 17, 2], dense, framed(record([1.5], None, [1], [2])), dense[:9])
    each("request_logins", [0], "u1,10.0.0.1\n\"a,b\",::1\n")
    each("request_logins", [1], '{"instances":[{"features":["u","1.2.3.4"]},["v","::1"],[17,"1.1.1.1"]]}')
    each("request_logins", [2], '["u","1.2.3.4"]\n{"data":{"features":{"values":["u","::"]}}}\n')
    tensor = '{"name":"input","shape":[1,2],"datatype":"%s","data":%s}'
    for kind, data in [("FP32", "[1.5,2]"), ("FP64", "[[1,2]]"), ("INT8", "[1,-2]"), ("BOOL", "[true,false]"),
                       ("BYTES", '["1","a"]'), ("UINT64", "[0,18446744073709551615]")]:
        each("v2", [(1, 0, 0), (9, 0, 0)], '{"id":"x","inputs":[%s],"outputs":[{"name":"score"}]}' % (tensor % (kind, data)))
    columns = ",".join('{"name":"c%d","shape":[2],"datatype":"FP32","data":[1,2]}' % at for at in range(2))
    each("v2", [(5, 0, 0)], '{"inputs":[%s],"parameters":{"binary_data_output":true}}' % columns)
    for kind, data in [("FP32", struct.pack("<2f", 1, 2)), ("INT64", struct.pack("<2q", 1, -2)),
                       ("BYTES", b"\x01\0\0\0a\x01\0\0\0" + b"1"), ("FP64", struct.pack("<2d", 1, 2))]:
        head = ('{"inputs":[{"name":"input","shape":[1,2],"datatype":"%s","parameters":{"binary_data_size":%d}}],'
                '"outputs":[{"name":"score","parameters":{"binary_data":true}}]}' % (kind, len(data))).encode()
        seed("v2", bytes([0x81]) + struct.pack(">H", len(head)) + head + data,
             bytes([0x89]) + struct.pack(">H", len(head)) + head + data)
    shape = field(3, varint(1) + varint(2))
    contents = field(5, field(6, struct.pack("<2f", 1, 2)))
    tensor = field(1, b"input") + field(2, b"FP32") + shape
    wanted = field(6, field(1, b"score"))
    plain = field(1, b"m") + field(2, b"1") + field(3, b"id") + field(5, tensor + contents) + wanted
    raw = field(1, b"m") + field(5, tensor) + field(7, struct.pack("<2f", 1, 2))
    words = field(1, b"m") + field(5, field(1, b"input") + field(2, b"BYTES") + shape + field(5, field(8, b"1") + field(8, b"a")))
    each("v2_message", [1, 9, 5], plain, raw, words)
    seed("grpc_frame", *(bytes([flag]) + struct.pack(">I", len(body)) + body for flag in (0, 1) for body in (plain, b"")), b"\0\0")
    seed("media_types", "text/csv", "application/json; verbose=true", "text/csv; label_size=0; charset=utf-8",
         "text/html, application/json;q=0.9, */*;q=0.1", "application/x-recordio-protobuf", "*/*", "application/*;q=0.5",
         'application/jsonlines; explain="top5,3"', "text/*", ";;,,")
    seed("path", "/invocations", "/ping", "/endpoints/fraud/invocations", "/v2/models/m/infer", "/v2/models/m/versions/1/ready",
         "/v2/repository/models/a/load", "/models", "/models/a%2Fb/invoke", "/models/..%2f..%2fetc", "/endpoints/e/variants/v",
         "/inference.GRPCInferenceService/ModelInfer", "/grpc.health.v1.Health/Check", "/%", "/v2//models//x", "/endpoints/e/weights")
    seed("headers", "content-type: text/csv\naccept: application/json; explain=top5\ncontent-encoding: gzip\n"
         "x-amzn-sagemaker-target-model: a/b.tar.gz\nx-amzn-sagemaker-custom-attributes: a=b\n",
         "content-type: application/grpc+proto\ngrpc-timeout: 10S\ngrpc-encoding: gzip\n",
         "inference-header-content-length: 120\naccept-encoding: gzip;q=0.5, br\n",
         "x-amzn-sagemaker-inference-id: 1\ncontent-encoding: gzip\ncontent-encoding: zstd\n", "accept: text/csv; verbose=true\n")
    seed("tokens", "# c\nteam jCjbEJ0Oy9KYGyTW0ho1gXqUO1bnzOPn\nother sha256:" + "5f" * 32 + "\n", "team short\n",
         "127.0.0.1:8080", "[::1]:443", "unix:/run/smrt.sock", ":8080", "localhost:0")
    text = b"1,2,3\n" * 200
    each("coding", [0], gzip.compress(text, mtime=0), gzip.compress(b"", mtime=0), gzip.compress(bytes(300_000), mtime=0))
    each("coding", [1], zlib.compress(text), zlib.compress(bytes(300_000)), zlib.compress(text) + b"x")
    each("coding", [2], *zstd(text), *(zstd(bytes(300_000))[:1]))
    seed("coding", b"\0gzip, br;q=0.5, *;q=0", b"\1deflate")
    head = "POST /invocations HTTP/1.1\r\nHost: h\r\n"
    bodies = [head + "Content-Length: 4\r\n\r\n1,2\n", head + "Transfer-Encoding: chunked\r\n\r\n3;x=y\r\n1,2\r\n0\r\nA: b\r\n\r\n",
              "GET /ping HTTP/1.1\r\nHost: h\r\n\r\n" * 2, head + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
              head + "Content-Length: 4\r\nContent-Length: 4\r\n\r\n1,2\n", "GET / HTTP/1.0\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
              head + "Transfer-Encoding: chunked\r\n\r\n5 \r\n1,2,3\r\n0\r\n\r\n", "GET / HTTP/1.1\nHost: h\n\n",
              head + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "\r\n\r\nHEAD / HTTP/1.1\r\nHost: h\r\n\r\n",
              head + "Expect: 100-continue\r\nContent-Length: 1\r\n\r\n1", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
              head + "transfer-encoding : chunked\r\n\r\n0\r\n\r\n", head + "X: a\r\n b\r\n\r\n", "CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n",
              head + "Connection: close\r\nContent-Length: 1\r\n\r\n1GET / HTTP/1.1\r\nHost: h\r\n\r\n",
              head + "Transfer-Encoding: chunked\r\n\r\n" + "0" * 17 + "1\r\n1\r\n0\r\n\r\n", head + "Content-Length: +4\r\n\r\n1,2\n"]
    each("framing", [1, 3, 255], *bodies)
    each("framing", [7], *(a + b for a in bodies[:3] for b in bodies[:3]))
    shared = os.environ.get("SMRT_SHARED")
    if shared:
        import re
        with tarfile.open(pathlib.Path(shared) / "vectors/http/llhttp-test.tar.gz") as tar:
            for member in tar.getmembers():
                if member.name.endswith(".md") and "request" in member.name:
                    text = tar.extractfile(member).read().decode()
                    for block in re.findall(r"```http\n(.*?)\n```", text, re.S):
                        lines = block.replace("\\\n", "").split("\n")
                        raw = "\r\n".join(lines).replace("\\r", "\r").replace("\\n", "\n").replace("\\t", "\t")
                        if len(raw) < 1500:
                            seed("framing", b"\x05" + raw.encode("utf-8", "replace"))


def pack(files):
    return b"".join(name.encode() + b"\n" + struct.pack(">I", len(data)) + data for name, data in files.items())


def untar(data):
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as tar:
        return {m.name: tar.extractfile(m).read() for m in tar.getmembers() if m.isfile()}


def entry(name, data=b"x", kind=tarfile.REGTYPE, link=""):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        info = tarfile.TarInfo(name)
        info.type, info.linkname, info.size = kind, link, len(data) if kind == tarfile.REGTYPE else 0
        tar.addfile(info, io.BytesIO(data))
    return out.getvalue()[:-9216] if len(out.getvalue()) > 9216 else out.getvalue()


def foreign():
    import numpy
    import xgboost
    generator = numpy.random.default_rng(7)
    x = generator.normal(size=(60, 3)).astype("float32")
    x[::7, 1] = numpy.nan
    y = (numpy.nan_to_num(x).sum(axis=1) > 0).astype("float32")
    for parameters in [{"objective": "binary:logistic"}, {"objective": "multi:softprob", "num_class": 3},
                       {"objective": "reg:squarederror", "num_parallel_tree": 2}, {"objective": "rank:ndcg"},
                       {"objective": "count:poisson", "max_depth": 1}, {"booster": "dart"}, {"booster": "gblinear"}]:
        label = (y + (x[:, 0] > 1) if "num_class" in parameters else y).astype("float32")
        data = xgboost.DMatrix(x, label, feature_names=["a", "b", "c"])
        if "rank" in parameters.get("objective", ""):
            data.set_group([30, 30])
        booster = xgboost.train({"max_depth": 2, **parameters}, data, 2)
        seed("xgboost", bytes(booster.save_raw("json")), bytes(booster.save_raw("ubj")))
        seed("artifact", bytes(booster.save_raw("ubj")))
    import pandas
    frame = pandas.DataFrame({"k": pandas.Categorical(generator.integers(0, 5, 60)), "v": x[:, 0]})
    data = xgboost.DMatrix(frame, y, enable_categorical=True)
    booster = xgboost.train({"max_depth": 2, "max_cat_to_onehot": 2}, data, 2)
    seed("xgboost", bytes(booster.save_raw("json")), bytes(booster.save_raw("ubj")))
    seed("xgboost", b"\x80\x04pickle", b"binf\0\0", b"{}")
    import lightgbm
    for parameters in [{"objective": "binary"}, {"objective": "multiclass", "num_class": 3}, {"objective": "regression"},
                       {"objective": "lambdarank"}, {"objective": "binary", "boosting": "rf", "bagging_freq": 1, "bagging_fraction": .5}]:
        label = y + (x[:, 0] > 1) if "num_class" in parameters else y
        data = lightgbm.Dataset(x, label, group=[30, 30] if "rank" in parameters["objective"] else None)
        model = lightgbm.train({"num_leaves": 4, "min_data_in_leaf": 3, "verbose": -1, **parameters}, data, 2)
        text = model.model_to_string().split("\nparameters:")[0] + "\n"
        seed("lightgbm", text)
    data = lightgbm.Dataset(numpy.column_stack([generator.integers(0, 6, 60), x[:, 0]]), y, categorical_feature=[0])
    model = lightgbm.train({"objective": "binary", "num_leaves": 4, "min_data_in_leaf": 3, "verbose": -1}, data, 2)
    seed("lightgbm", model.model_to_string().split("\nparameters:")[0] + "\n")

    header = lambda **tensors: json.dumps({"__metadata__": {"format": "fuzzed 1"}, **tensors}).encode()
    tensor = lambda dtype, shape, start, end: {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}
    for head, body in [(header(a=tensor("F32", [2], 0, 8)), bytes(8)), (header(weight=tensor("F64", [1, 2], 0, 16)), bytes(16)),
                       (header(a=tensor("U32", [2], 0, 8), weight=tensor("U64", [1], 8, 16)), bytes(16)),
                       (header(a=tensor("F32", [2], 0, 8), weight=tensor("F32", [2], 4, 12)), bytes(12)),
                       (header(a=tensor("F32", [1 << 40, 1 << 40], 0, 8)), bytes(8))]:
        seed("tensors", struct.pack("<Q", len(head)) + head + body)
    seed("tensors", struct.pack("<Q", 1 << 62) + b"{}")
    for data in [entry("a/b"), entry("../x"), entry("/abs"), entry("l", kind=tarfile.SYMTYPE, link="/etc"), entry("n" * 150),
                 entry("d", kind=tarfile.DIRTYPE), entry("h", kind=tarfile.LNKTYPE, link="x"), entry("f", kind=tarfile.FIFOTYPE)]:
        seed("tar", data)
        seed("archive", gzip.compress(data, mtime=0))
    return x, y


def own(smrt, x, y):
    with tempfile.TemporaryDirectory() as home:
        home = pathlib.Path(home)
        rows = "".join("%d,%s,%.3f,%.3f\n" % (y[i], "red" if i % 3 else "blue", x[i, 0], x[i, 2]) for i in range(60))
        (home / "t.csv").write_text("y,kind,a,b\n" + rows)
        (home / "u.csv").write_text("".join("%.3f,%.3f,%.3f\n" % (x[i, 0], x[i, 2], i % 5) for i in range(60)))
        (home / "l.csv").write_text("".join("u%d,10.0.%d.%d\n" % (i % 7, i % 3, i) for i in range(200)))
        supervised = '[channels.train]\nuri="t.csv"\nheader=true\nlabel="y"\ncategorical=["kind"]\n'
        alone = '[channels.train]\nuri="u.csv"\ncontent_type="text/csv;label_size=0"\n'
        logins = '[channels.train]\nuri="l.csv"\ncontent_type="text/csv;label_size=0"\n'
        jobs = {
            "linear-learner": (supervised, 'predictor_type="binary_classifier"\nepochs=1\n'),
            "mlp": (supervised, 'predictor_type="multiclass_classifier"\nnum_classes=3\nhidden_layers=[4]\nepochs=1\n'),
            "xgboost": (supervised, 'objective="binary:logistic"\nnum_round=2\nmax_depth=2\n'),
            "lightgbm": (supervised, 'objective="binary"\nnum_boost_round=2\nnum_leaves=4\n'),
            "random-cut-forest": (alone, "num_trees=50\nnum_samples_per_tree=4\n"),
            "kmeans": (alone, "k=3\n"),
            "pca": (alone, "num_components=2\n"),
            "ip-insights": (logins, "num_entity_vectors=8\nvector_dim=4\nepochs=1\nmini_batch_size=50\n"),
        }
        for name, (channel, parameters) in jobs.items():
            job = ('[job]\nname="m"\nseed=7\n[algorithm]\nname="%s"\n[hyperparameters]\n%s%s[output]\nuri="out-%s"\nkms_key="none"\n'
                   % (name, parameters, channel, name))
            (home / "job.toml").write_text(job)
            done = subprocess.run([smrt, "train", "job.toml"], cwd=home, env={**os.environ, "SMRT_HOME": str(home / "h")},
                                  capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"{name}: {done.stderr}")
            artifact = (home / f"out-{name}/m/output/model.tar.gz").read_bytes()
            files = untar(artifact)
            seed("model_manifest", files["manifest.json"])
            files["provenance.json"] = b"{}"
            seed("model_files", pack(files))
            seed("artifact", artifact)
            if name in ("kmeans", "pca"):
                seed("archive", artifact)
                seed("tar", gzip.decompress(artifact))


def sealed():
    import aws_encryption_sdk
    from aws_encryption_sdk.identifiers import Algorithm, EncryptionKeyType, WrappingAlgorithm
    from aws_encryption_sdk.internal.crypto.wrapping_keys import WrappingKey
    from aws_encryption_sdk.key_providers.raw import RawMasterKeyProvider

    class Provider(RawMasterKeyProvider):
        provider_id = "fuzzed"

        def _get_raw_key(self, _):
            return WrappingKey(WrappingAlgorithm.AES_256_GCM_IV12_TAG16_NO_PADDING, KEY, EncryptionKeyType.SYMMETRIC)

    provider = Provider()
    provider.add_master_key("key")
    for suite in [Algorithm.AES_256_GCM_HKDF_SHA512_COMMIT_KEY, Algorithm.AES_256_GCM_HKDF_SHA512_COMMIT_KEY_ECDSA_P384]:
        for length, frame in [(0, 128), (1, 128), (128, 128), (300, 128), (700, 512)]:
            context = {"smrt:job": "j", "zé": "ü"} if length == 300 else {}
            client = aws_encryption_sdk.EncryptionSDKClient()
            message, _ = client.encrypt(source=TEXT[:length], key_provider=provider, encryption_context=context,
                                        frame_length=frame, algorithm=suite)
            seed("seal_message", message)
            seed("seal_header", message[:400])
            size = struct.unpack(">H", message[35:37])[0]
            seed("seal_context", message[37:37 + size])
    kat = json.loads((ROOT / "tests/vectors/esdk/python-4.0.7-kat.json").read_text())
    for case in kat["vectors"][:12]:
        seed("seal_header", base64.b64decode(case["message_b64"])[:600])
    seed("seal_context", b"\0\1\0\1a\0\1b", b"\0\2\0\1b\0\1b\0\1a\0\1a", b"key\0\0\0\x80\0\0\0\x0c" + bytes(12))

    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF
    key_id = uuid.UUID(bytes=bytes([3] * 16))
    arn = f"arn:smrt:kms:local:000000000000:key/{key_id}".encode()
    for version, length in [(1, 32), (7, 0), (1, 100)]:
        iv = bytes(range(12))
        covered = b"SKB1" + arn + struct.pack(">I", version)
        key = HKDF(hashes.SHA256(), 32, iv, arn).derive(KEY)
        blob = b"SKB1" + key_id.bytes + struct.pack(">I", version) + iv + AESGCM(key).encrypt(iv, TEXT[:length], covered)
        seed("key_blob", blob)
    for path in sorted((ROOT / "tests/vectors/keys").rglob("*.json")):
        seed("key_file", path.read_bytes())
    material = base64.b64encode(KEY).decode()
    seed("key_file", json.dumps({"smrt_key": 2, "description": "d", "created_s": 1, "state": "enabled",
                                 "rotation": {"period_days": 365, "next_s": 9}, "tags": {"a": "b"},
                                 "versions": [{"created_s": 1, "material": material}]}),
         json.dumps({"smrt_root": 1, "by": "key-file", "salt": base64.b64encode(bytes(16)).decode(),
                     "sealed": base64.b64encode(bytes(60)).decode(), "moving": False}),
         json.dumps({"smrt_root": 1, "by": {"argon2id": {"m_kib": 65536, "t": 3, "p": 1}},
                     "salt": base64.b64encode(bytes(16)).decode(), "sealed": ""}))


SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
ACCESS = "AKIAIOSFODNN7EXAMPLE"


def mac(key, text):
    return hmac.new(key, text.encode() if isinstance(text, str) else text, hashlib.sha256).digest()


def signing_key(region="us-east-1", service="s3", day="20130524"):
    key = ("AWS4" + SECRET).encode()
    for part in (day, region, service, "aws4_request"):
        key = mac(key, part)
    return key


def rights():
    policy = {"Version": "2012-10-17", "Statement": [{"Sid": "a", "Effect": "Allow", "Action": "sagemaker:Invoke*",
              "Resource": "arn:aws:sagemaker:*:111122223333:endpoint/${aws:username}*",
              "Condition": {"IpAddress": {"aws:SourceIp": ["10.0.0.0/8", "2001:db8::/32"]},
                            "StringLikeIfExists": {"aws:username": "t?ll*"}, "Bool": {"aws:SecureTransport": "true"},
                            "DateLessThan": {"aws:CurrentTime": "2027-01-01T00:00:00Z"}, "Null": {"aws:TokenIssueTime": "true"},
                            "ForAnyValue:StringEquals": {"aws:TagKeys": ["x"]}, "NumericLessThanEquals": {"a:b": "5"}}}]}
    text = json.dumps(policy, indent=1)
    each("policy", [0], text, json.dumps(policy), '{"Version":"2012-10-17","Statement":{"Effect":"Deny","NotAction":["s3:*"],"NotResource":"*"}}',
         '{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}', '{"Statement": [\n {"Efect": "Allow"}]}', '{"a":\n tru}')
    each("policy", [1], '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["arn:aws:iam::111122223333:root","*"]},"Action":"kms:*","Resource":"*"}]}')
    each("policy", [2], '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"sagemaker.amazonaws.com"},"Action":"sts:AssumeRole",'
         '"Condition":{"StringEquals":{"aws:SourceAccount":"111122223333","sts:ExternalId":"x"}}}]}')
    holder = {"path": "/", "id": "AIDAEXAMPLE", "created_s": 1, "inline": {"p": text}, "attached": ["arn:aws:iam::000000000000:policy/m"],
              "boundary": None, "tags": {"team": "x"}}
    state = {"smrt_iam": 1, "account": "000000000000",
             "users": {"bob": {"holder": holder, "keys": [{"id": ACCESS, "secret": SECRET, "status": "Active", "created_s": 1}]}},
             "roles": {}, "policies": {"arn:aws:iam::000000000000:policy/m": {"name": "m", "id": "ANPA", "created_s": 1, "text": json.dumps(policy)}},
             "sessions": {}}
    seed("iam_state", json.dumps(state), json.dumps({**state, "users": {}}), "{}")
    stamp, scope = "20130524T000000Z", "20130524/us-east-1/s3/aws4_request"

    def signature(canonical):
        text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        return mac(signing_key(), text).hex()

    body = "1,2\n"
    digest = hashlib.sha256(body.encode()).hexdigest()
    canonical = f"POST\n/b/k\na=1&b=\nhost:h\nx-amz-content-sha256:{digest}\nx-amz-date:{stamp}\n\nhost;x-amz-content-sha256;x-amz-date\n{digest}"
    head = (f"/b/k?a=1&b\nhost:h\nx-amz-date:{stamp}\nx-amz-content-sha256:{digest}\nauthorization:AWS4-HMAC-SHA256 "
            f"Credential={ACCESS}/{scope}, SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature={signature(canonical)}\n\n{body}")
    each("sigv4", [2, 0, 1], head)
    query = (f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={ACCESS}%2F{scope.replace('/', '%2F')}&X-Amz-Date={stamp}"
             f"&X-Amz-Expires=86400&X-Amz-SignedHeaders=host")
    canonical = f"POST\n/b/k\n{query}\nhost:h\n\nhost\nUNSIGNED-PAYLOAD"
    presigned = f"/b/k?{query}&X-Amz-Signature={signature(canonical)}\nhost:h\n\n"
    each("sigv4", [0x80, 0x82, 0], presigned, presigned.replace("\n\n", "\nx-amz-content-sha256:UNSIGNED-PAYLOAD\n\n"))
    each("signed", [0, 1, 2], "/b/k?a=1&b\nx-amz-meta-a: b  c\naccept:x\n\nbody", "/a/../b//c%20d?%C3%A9=%2F&a=2&a=1\n\n\n", "/\n\n\n")
    for trailer in (False, True):
        payload = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" + ("-TRAILER" if trailer else "")
        canonical = f"PUT\n/b/k\n\nhost:h\nx-amz-content-sha256:{payload}\nx-amz-date:{stamp}\n\nhost;x-amz-content-sha256;x-amz-date\n{payload}"
        last, key, out = signature(canonical), signing_key(), b""
        empty = hashlib.sha256(b"").hexdigest()
        for data in (b"a" * 20, b"b" * 3, b""):
            last = mac(key, "\n".join(["AWS4-HMAC-SHA256-PAYLOAD", stamp, scope, last, empty, hashlib.sha256(data).hexdigest()])).hex()
            out += b"%x;chunk-signature=%s\r\n" % (len(data), last.encode()) + data
            out += b"\r\n" if data or not trailer else b""
        if trailer:
            line = "x-amz-checksum-crc32c:sOO8/Q==\n"
            last = mac(key, "\n".join(["AWS4-HMAC-SHA256-TRAILER", stamp, scope, last, hashlib.sha256(line.encode()).hexdigest()])).hex()
            out += (line.replace("\n", "\r\n") + f"x-amz-trailer-signature:{last}\r\n\r\n").encode()
        each("chunked", [int(trailer)], out, out[:-3], out.replace(b"bbb", b"bbc"))
    seed("times", "20130524T000000Z", "2026-11-25T19:00:00.5+01:00", "2026", "2026-11", "1440938160", "-5", "20150230T000000Z", "99991231T235959Z")
    operations = {
        "Encrypt": {"KeyId": "alias/a", "Plaintext": "AAAA", "EncryptionContext": {"a": "b"}},
        "Decrypt": {"CiphertextBlob": base64.b64encode(b"SKB1" + bytes(70)).decode(), "KeyId": "alias/a"},
        "GenerateDataKey": {"KeyId": "alias/a", "KeySpec": "AES_256"}, "GenerateRandom": {"NumberOfBytes": 16},
        "CreateKey": {"Description": "d", "Tags": [{"TagKey": "a", "TagValue": "b"}], "KeySpec": "SYMMETRIC_DEFAULT"},
        "CreateGrant": {"KeyId": "k", "GranteePrincipal": "arn:aws:iam::000000000000:user/a", "Operations": ["Decrypt"],
                        "Constraints": {"EncryptionContextSubset": {"a": "b"}}},
        "PutKeyPolicy": {"KeyId": "k", "PolicyName": "default", "Policy": json.dumps(policy)}, "ListKeys": {"Limit": 5},
        "ScheduleKeyDeletion": {"KeyId": "k", "PendingWindowInDays": 7}, "EnableKeyRotation": {"KeyId": "k", "RotationPeriodInDays": 90},
        "ReEncrypt": {"CiphertextBlob": "AAAA", "DestinationKeyId": "k", "SourceEncryptionContext": {}}, "CreateAlias": {"AliasName": "alias/x", "TargetKeyId": "k"},
        "TagResource": {"KeyId": "k", "Tags": []}, "ListGrants": {"KeyId": "k"}, "Nothing": {},
    }
    seed("kms", *(name + "\n" + json.dumps(body) for name, body in operations.items()))
    prev, log = "0" * 64, ""
    for number in range(3):
        line = json.dumps({"eventVersion": "1.09", "eventName": "InvokeEndpoint", "requestID": str(number), "prev": prev})
        prev = hashlib.sha256(line.encode()).hexdigest()
        log += line + "\n"
    each("audit", [(0, 0), (0, 200), (1, 30)], log, log[:-1], log.replace("1.09", "1.10", 1), "")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    rows()
    written()
    called()
    sealed()
    rights()
    own(str(pathlib.Path(sys.argv[1]).resolve()), *foreign())
    count = sum(1 for path in (FUZZ / "corpus").rglob("seed-*"))
    print(f"{count} seeds")
