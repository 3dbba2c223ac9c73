"""RecordIO of SageMaker's `Record`, written and read by Google's protobuf.

    recordio.py write FOLDER    FOLDER/rows.json -> FOLDER/rows.rec
    recordio.py read FILE       what FILE holds, as JSON, a record on each line

A row is {"values": [..], "keys": [..]?, "shape": [..]?, "label": 1?, "kind": "float32_tensor"}.
"""

import json
import pathlib
import struct
import sys

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

MAGIC = 0xCED7230A
F = descriptor_pb2.FieldDescriptorProto


def record_class():
    file = descriptor_pb2.FileDescriptorProto(name="record.proto", package="aialgs.data")

    def message(name, into=None):
        return (into or file).__getattribute__("nested_type" if into else "message_type").add(name=name)

    def field(owner, name, number, kind, label=F.LABEL_OPTIONAL, type_name=None, packed=False, oneof=None):
        made = owner.field.add(name=name, number=number, type=kind, label=label)
        if type_name:
            made.type_name = ".aialgs.data." + type_name
        if packed:
            made.options.packed = True
        if oneof is not None:
            made.oneof_index = oneof
        return made

    for name, kind in [("Float32Tensor", F.TYPE_FLOAT), ("Float64Tensor", F.TYPE_DOUBLE),
                       ("Int32Tensor", F.TYPE_INT32)]:
        tensor = message(name)
        field(tensor, "values", 1, kind, F.LABEL_REPEATED, packed=True)
        field(tensor, "keys", 2, F.TYPE_UINT64, F.LABEL_REPEATED, packed=True)
        field(tensor, "shape", 3, F.TYPE_UINT64, F.LABEL_REPEATED, packed=True)
    data = message("Bytes")
    field(data, "value", 1, F.TYPE_BYTES, F.LABEL_REPEATED)
    field(data, "content_type", 2, F.TYPE_STRING)
    value = message("Value")
    value.oneof_decl.add(name="value")
    for name, number, kind in [("float32_tensor", 2, "Float32Tensor"), ("float64_tensor", 3, "Float64Tensor"),
                               ("int32_tensor", 7, "Int32Tensor"), ("bytes", 9, "Bytes")]:
        field(value, name, number, F.TYPE_MESSAGE, type_name=kind, oneof=0)
    record = message("Record")
    for name, number in [("features", 1), ("label", 2)]:
        entry_name = name.capitalize() + "Entry"
        entry = message(entry_name, record)
        entry.options.map_entry = True
        field(entry, "key", 1, F.TYPE_STRING)
        field(entry, "value", 2, F.TYPE_MESSAGE, type_name="Value")
        field(record, name, number, F.TYPE_MESSAGE, F.LABEL_REPEATED, type_name="Record." + entry_name)
    for name, number in [("uid", 3), ("metadata", 4), ("configuration", 5)]:
        field(record, name, number, F.TYPE_STRING)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("aialgs.data.Record"))


def framed(data):
    return struct.pack("<II", MAGIC, len(data)) + data + b"\0" * (-len(data) % 4)


def write(folder):
    Record = record_class()
    with open(folder / "rows.rec", "wb") as out:
        for row in json.loads((folder / "rows.json").read_text()):
            record = Record(uid="row", metadata="{}")
            tensor = getattr(record.features["values"], row.get("kind", "float32_tensor"))
            tensor.values.extend(float("nan") if v is None else v for v in row["values"])
            tensor.keys.extend(row.get("keys", []))
            tensor.shape.extend(row.get("shape", []))
            if "label" in row:
                record.label["values"].float32_tensor.values.append(row["label"])
            out.write(framed(record.SerializeToString()))


def shown(value):
    kind = value.WhichOneof("value")
    if kind == "bytes":
        return [word.decode() for word in value.bytes.value]
    tensor = getattr(value, kind)
    found = {"values": [None if v != v else v for v in tensor.values]}
    if tensor.shape:
        found.update(keys=list(tensor.keys), shape=list(tensor.shape))
    return found


def read(path):
    Record, data, at = record_class(), path.read_bytes(), 0
    while at < len(data):
        magic, length = struct.unpack_from("<II", data, at)
        assert magic == MAGIC, hex(magic)
        record = Record.FromString(data[at + 8:at + 8 + length])
        at += 8 + (length + 3) // 4 * 4
        print(json.dumps({part: {key: shown(value) for key, value in getattr(record, part).items()}
                          for part in ["features", "label"]}))
    assert at == len(data)


if __name__ == "__main__":
    {"write": write, "read": read}[sys.argv[1]](pathlib.Path(sys.argv[2]))
