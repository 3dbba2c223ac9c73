"""The same 60 rows as parquet files of pandas, pyarrow and polars, in all their packings.

    parquet.py FOLDER

Row i has label i % 3, then a column of each kind that holds a number, with missing ones where
i % 7 == 0, a word, and a struct with a field. tests/it/formats/parquet.rs knows the same rows.
tests/vectors/parquet holds what this wrote (pandas 3.1, pyarrow 26, polars 2.1), so that the tests do
not depend on Python.
"""

import datetime
import decimal
import pathlib
import sys

import numpy
import pandas
import polars
import pyarrow
import pyarrow.parquet

ROWS = 60


def column(kind, value):
    return pyarrow.array([None if i % 7 == 0 else value(i) for i in range(ROWS)], kind)


def table():
    day = datetime.date(1970, 1, 1)
    return pyarrow.table({
        "label": pyarrow.array([i % 3 for i in range(ROWS)], pyarrow.int64()),
        "required": pyarrow.array(numpy.arange(ROWS, dtype=numpy.float32) / 2),
        "f32": column(pyarrow.float32(), lambda i: i / 4),
        "f64": column(pyarrow.float64(), lambda i: i / 8),
        "f16": column(pyarrow.float16(), lambda i: numpy.float16(i / 2)),
        "i8": column(pyarrow.int8(), lambda i: -i),
        "i16": column(pyarrow.int16(), lambda i: -i * 100),
        "i32": column(pyarrow.int32(), lambda i: -i * 1000),
        "i64": column(pyarrow.int64(), lambda i: -i * 10_000),
        "u8": column(pyarrow.uint8(), lambda i: 255 - i),
        "u16": column(pyarrow.uint16(), lambda i: 65535 - i),
        "u32": column(pyarrow.uint32(), lambda i: 4_000_000_000),
        "u64": column(pyarrow.uint64(), lambda i: 2 ** 63),
        "truth": column(pyarrow.bool_(), lambda i: i % 2 == 0),
        "price": column(pyarrow.decimal128(9, 2), lambda i: decimal.Decimal(i - 30) / 4),
        "large": column(pyarrow.decimal128(30, 3), lambda i: decimal.Decimal(i - 30) * 1000),
        "date": column(pyarrow.date32(), lambda i: day + datetime.timedelta(days=i)),
        "word": column(pyarrow.string(), lambda i: ["red", "green", "blue"][i % 3]),
    })


def main(folder):
    rows = table()
    # pandas has labels of rows of its own kind; they come as a column that is none.
    frame = rows.to_pandas(types_mapper=pandas.ArrowDtype)
    frame.index = [f"row {i}" for i in range(ROWS)]
    frame.to_parquet(folder / "pandas.parquet")
    nested = rows.append_column("place", pyarrow.array([{"lat": i / 2} for i in range(ROWS)]))
    for name, options in {
        "pyarrow": {"row_group_size": 16},
        "pyarrow-v2-gzip": {"data_page_version": "2.0", "compression": "gzip"},
        "pyarrow-plain": {"use_dictionary": False, "compression": "none", "data_page_size": 64},
        "pyarrow-lz4": {"compression": "lz4"},
        "pyarrow-zstd-v2": {"data_page_version": "2.0", "compression": "zstd"},
        "pyarrow-delta": {"use_dictionary": False, "column_encoding": {
            "i32": "DELTA_BINARY_PACKED", "i64": "DELTA_BINARY_PACKED",
            "f32": "BYTE_STREAM_SPLIT", "word": "DELTA_LENGTH_BYTE_ARRAY"}},
    }.items():
        pyarrow.parquet.write_table(nested, folder / f"{name}.parquet", **options)
    polars.from_arrow(rows).write_parquet(folder / "polars.parquet", row_group_size=25)
    pyarrow.parquet.write_table(rows, folder / "brotli.parquet", compression="brotli")
    odd = pyarrow.table({
        "label": [1, 2], "clock": pyarrow.array([0, 1], pyarrow.time64("us")), "list": [[1], [2, 3]]})
    pyarrow.parquet.write_table(odd, folder / "odd.parquet")
    noon = datetime.datetime(2001, 1, 1, 12)
    moments = [noon, None, datetime.datetime(1969, 12, 31, 18)]
    stamps = pyarrow.table({
        "label": [1, 2, 3],
        **{unit: pyarrow.array(moments, pyarrow.timestamp(unit)) for unit in ["ms", "us", "ns"]},
        "zone": pyarrow.array(moments, pyarrow.timestamp("us", tz="UTC")),
    })
    pyarrow.parquet.write_table(stamps, folder / "stamps.parquet")
    pyarrow.parquet.write_table(stamps, folder / "stamps96.parquet", use_deprecated_int96_timestamps=True)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
