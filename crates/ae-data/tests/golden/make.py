"""Creates the golden files in this folder. Run `python make.py`; needs numpy and pyarrow."""
import datetime as dt
import gzip
import struct
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

rows = np.arange(6).reshape(3, 2) - 2  # -2 -1 / 0 1 / 2 3
for code in ["<f2", ">f2", "<f4", ">f4", "<f8", ">f8", "|i1", "<i2", ">i4", "<i8"]:
    np.save(f"rows_{'big' if code[0] == '>' else 'little'}_{code[1:]}.npy", rows.astype(code))
for code in ["|u1", ">u2", "<u4", "<u8", "|b1"]:
    np.save(f"unsigned_{code[1:]}.npy", (rows + 2).astype(code))
np.save("fortran.npy", np.asfortranarray(rows.astype("<f4")))
cube = np.arange(24, dtype="<f8").reshape(2, 3, 4)
np.save("cube.npy", cube)
np.save("cube_fortran.npy", np.asfortranarray(cube))
np.save("line.npy", np.array([1.5, 2.5, np.inf], dtype="<f4"))
np.save("hole.npy", np.array([[1, np.nan], [np.nan, 4]], dtype="<f4"))
np.save("huge.npy", np.array([[1, 1e39]], dtype="<f8"))
np.save("text.npy", np.array([["a", "b"]]))
np.save("complex.npy", np.array([[1j]]))
np.save("zero_d.npy", np.float32(1))
np.save("none.npy", np.zeros((0, 3), "<f4"))
for version in [2, 3]:
    with open(f"version_{version}.npy", "wb") as f:
        np.lib.format.write_array(f, rows.astype("<f4"), version=(version, 0))
np.savez("plain.npz", X=rows.astype("f4"), y=np.array([1, 0, 1]))
np.savez_compressed("packed.npz", X=rows.astype("f8"), y=np.array([1.0, 0.0, 1.0]))
np.savez("other.npz", features=rows.astype("i2"), target=np.array([5, 6, 7]), note=np.array(["x"]))

table = pa.table({
    "f": pa.array([1.5, 2.5, -3.5, 4.0], pa.float32()),
    "d": pa.array([1e-3, 2.0, 3.0, 4.0], pa.float64()),
    "i": pa.array([-1, 2, 3, 4], pa.int32()),
    "u": pa.array([2**32 - 1, 2, 3, 4], pa.uint32()),
    "b": pa.array([True, False, True, False]),
    "h": pa.array(np.array([0.5, 1, 2, 4], "f2"), pa.float16()),
    "s": pa.array([1, 2, 3, 4], pa.int8()),
})
for name in ["snappy", "zstd", "gzip", "none"]:
    pq.write_table(table, f"{name}.parquet", compression=name, row_group_size=3)
pq.write_table(table.select(["f"]).append_column("n", pa.array([1, None, 3, None], pa.int64())), "nulls.parquet")
pq.write_table(table.select(["f"]).append_column("kind", pa.array(["a", "b", "a", "c"])), "text.parquet")
pq.write_table(pa.table({"l": pa.array([[1.0], [2.0, 3.0]])}), "nested.parquet")
pq.write_table(pa.table({"t": pa.array([0, 1], pa.timestamp("us"))}), "time.parquet")
moments = [dt.datetime(2024, 2, 29, 12, 30), dt.datetime(1969, 12, 31, 23, 59, 59, 500000), None]
pq.write_table(pa.table({
    "day": pa.array([moment and moment.date() for moment in moments], pa.date32()),
    "ms": pa.array(moments, pa.timestamp("ms")),
    "us": pa.array(moments, pa.timestamp("us")),
    "ns": pa.array(moments, pa.timestamp("ns")),
    "utc": pa.array(moments, pa.timestamp("us", tz="UTC")),
}), "times.parquet")
# Whole numbers that floats cannot represent.
pq.write_table(pa.table({
    "signed": pa.array([2**53 + 1, -(2**63), None], pa.int64()),
    "unsigned": pa.array([2**64 - 1, 0, 1], pa.uint64()),
    "x": pa.array([1.0, 2.0, 3.0]),
}), "whole.parquet")
pq.write_table(pa.table({"m": pa.array([125, -50], pa.int32()).cast(pa.decimal128(10, 0))}), "decimal.parquet",
               store_decimal_as_integer=True)
# Stored as 32-bit and 64-bit whole numbers, and as bytes.
prices = pa.table({
    "small": pa.array([Decimal("12.34"), Decimal("-0.05"), None], pa.decimal128(9, 2)),
    "large": pa.array([Decimal("99999999.99"), Decimal("-99999999.99"), Decimal("2.5")], pa.decimal128(10, 2)),
})
pq.write_table(prices, "decimal_whole.parquet", store_decimal_as_integer=True)
pq.write_table(prices, "decimal_bytes.parquet")

with gzip.GzipFile("bytes-images-idx3-ubyte.gz", "wb", mtime=0) as f:
    f.write(struct.pack(">HBB3I", 0, 8, 3, 3, 1, 2) + bytes([0, 1, 2, 3, 254, 255]))
with gzip.GzipFile("bytes-labels-idx1-ubyte.gz", "wb", mtime=0) as f:
    f.write(struct.pack(">HBBI", 0, 8, 1, 3) + bytes([7, 1, 7]))
