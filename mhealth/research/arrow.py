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
    dtype = DTYPES[kind]
    present = np.fromiter((value is not None for value in values), np.bool_, len(values))
    filled = np.array([dtype() if value is None else value for value in values], None if values else dtype)
    data = filled.astype(dtype, casting="safe")
    return _array(kind, np.packbits(data, bitorder="little") if kind == pa.bool_() else data, present)


def strings(values: Sequence[object]) -> pa.Array:
    builder = pa.lib.StringBuilder()
    builder.append_values(values)
    return builder.finish()


def places(codes: np.ndarray, present: np.ndarray | None = None) -> pa.Array:
    """(rows,) of int64, to `take` with; missing where not present."""
    return _array(pa.int64(), codes.astype(np.int64), present)


def _array(kind: pa.DataType, data: np.ndarray, present: np.ndarray | None) -> pa.Array:
    n_rows = len(data) if present is None else len(present)
    bits = None if present is None else pa.py_buffer(np.packbits(present, bitorder="little"))
    return pa.Array.from_buffers(kind, n_rows, [bits, pa.py_buffer(data)])
