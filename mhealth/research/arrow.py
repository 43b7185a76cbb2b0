"""Arrow arrays from Python values and NumPy codes, without pandas.

`pa.array` imports pandas to ask whether it was given a series: 45 MiB in a worker that streams a table.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

DTYPES = {pa.int64(): np.int64, pa.float64(): np.float64, pa.bool_(): np.bool_}


def column(values: Sequence[object], kind: pa.DataType) -> pa.Array:
    """None is missing. Raises TypeError where a value is not of the type: nothing is rounded or put into words."""
    if kind == pa.string():
        return strings(values)
    data, present = _filled(values, kind)
    return _array(kind, data, present)


def repeated(values: Sequence[object], kind: pa.DataType, times: Sequence[int]) -> pa.Array:
    """As `column`, each value as often in a row as its number in times says."""
    if kind != pa.string():
        data, present = _filled(values, kind)
        return _array(kind, np.repeat(data, times), np.repeat(present, times))
    encoded = [(value or "").encode() for value in values]
    text = b"".join([word * often for word, often in zip(encoded, times, strict=True)])
    ends = np.repeat([len(word) for word in encoded], times).cumsum()
    offsets = np.concatenate(([0], ends)).astype(np.int32)
    present = np.repeat([value is not None for value in values], times)
    return pa.StringArray.from_buffers(len(ends), pa.py_buffer(offsets), pa.py_buffer(text), _bits(present))


def numbers(values: Sequence[float | None]) -> pa.Array:
    """As `column` of float64, for values that are known to be numbers."""
    data = np.array(values, np.float64)  # None becomes not-a-number
    return _array(pa.float64(), data, ~np.isnan(data))


def strings(values: Sequence[object]) -> pa.Array:
    builder = pa.lib.StringBuilder()
    builder.append_values(values)
    return builder.finish()


def places(codes: np.ndarray, present: np.ndarray | None = None) -> pa.Array:
    """(rows,) of int64, to `take` with; missing where not present."""
    return _array(pa.int64(), codes.astype(np.int64), present)


def _filled(values: Sequence[object], kind: pa.DataType) -> tuple[np.ndarray, np.ndarray]:
    """(rows,) of the type, with some value where it is missing; and (rows,) whether it is there."""
    dtype = DTYPES[kind]
    present = np.fromiter((value is not None for value in values), np.bool_, len(values))
    filled = np.array([dtype() if value is None else value for value in values], None if values else dtype)
    return filled.astype(dtype, casting="safe"), present


def _array(kind: pa.DataType, data: np.ndarray, present: np.ndarray | None) -> pa.Array:
    bits = None if present is None else _bits(present)
    packed = _bits(data) if kind == pa.bool_() else pa.py_buffer(data)
    return pa.Array.from_buffers(kind, len(data), [bits, packed])


def _bits(flags: np.ndarray) -> pa.Buffer:
    return pa.py_buffer(np.packbits(flags, bitorder="little"))
