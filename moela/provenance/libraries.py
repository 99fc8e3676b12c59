"""Digests of objects of torch, scipy, scikit-learn, pandas, networkx, numba and the like.

Classes are found by name, so that none of these libraries is imported here. Most of their objects
are digested by their attributes, as those of any library; only what such a digest would miss, or
what changes without a change of content, is listed here.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import numpy as np

from moela.provenance.functions import refused
from moela.provenance.scalars import bytes_digest, text
from moela.provenance.walk import BEYOND, WHOLE, Handler, Walk, class_code, digest, visible_state

# ---- torch ---------------------------------------------------------------------------------------

_MANGLED = re.compile(rb"___torch_mangle_\d+")


def _tensor(walk: Walk, value: Any) -> bytes:
    walk.note("", BEYOND)
    value = value.detach() if not value.requires_grad else value.detach().requires_grad_()
    parts = [text(f"{value.dtype} {value.layout} {value.device.type} {value.requires_grad}")]
    parts.append(walk.visit(tuple(value.shape)))
    value = value.detach()
    layout = str(value.layout)
    if value.is_quantized:
        parts += [text(str(value.qscheme())), _dense(value.int_repr())]
        if "per_tensor" in str(value.qscheme()):
            parts += [walk.visit(value.q_scale()), walk.visit(value.q_zero_point())]
        else:
            parts += [
                _dense(value.q_per_channel_scales()),
                _dense(value.q_per_channel_zero_points()),
            ]
    elif layout == "torch.strided":
        parts.append(b"" if value.device.type == "meta" else _dense(value))
    elif layout == "torch.sparse_coo":
        parts += [_dense(value._indices()), _dense(value._values())]
    elif layout in ("torch.sparse_csr", "torch.sparse_bsr"):
        parts += [_dense(value.crow_indices()), _dense(value.col_indices()), _dense(value.values())]
    elif layout in ("torch.sparse_csc", "torch.sparse_bsc"):
        parts += [_dense(value.ccol_indices()), _dense(value.row_indices()), _dense(value.values())]
    else:
        return walk.refuse(value, layout)
    return digest(*parts)


def _dense(value: Any) -> bytes:
    import torch

    value = value.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
    return text(bytes_digest(value.view(torch.uint8).numpy()))


def _parameters(walk: Walk, value: Any) -> Iterator[bytes]:
    """Yield the tokens of what a torch module holds in its own registries."""
    yield walk.visit(value.training)
    for name in ("_parameters", "_buffers", "_modules"):
        registry = vars(value).get(name) or {}
        with walk.step(f".{name}" if name != "_modules" else ""):
            yield walk.mapping(
                ((k, v) for k, v in registry.items() if v is not value), ordered=True
            )


def _torch_module(walk: Walk, value: Any) -> bytes:
    walk.note("", BEYOND)
    class_code(walk, type(value))
    tokens = [*_parameters(walk, value)]
    rest = {}
    for key, inner in vars(value).items():
        hook = "hooks" in key and isinstance(inner, dict)
        if hook and inner:
            tokens += [text(key), *walk.items(list(inner.values()))]
        elif not hook and key not in _REGISTRIES:
            rest[key] = inner
    return digest(*tokens, walk.attributes(value, rest.items()))


_REGISTRIES = frozenset(
    ["training", "_parameters", "_buffers", "_modules", "_non_persistent_buffers_set"]
)


def _script(walk: Walk, value: Any) -> bytes:
    """Digest what torch.jit writes into a file: tensors, constants, and its own code."""
    import torch

    walk.note("", BEYOND)
    buffer = io.BytesIO()
    torch.jit.save(value, buffer)
    tokens = []
    with zipfile.ZipFile(buffer) as archive:
        for name in sorted(archive.namelist()):
            if not name.endswith((".debug_pkl", "serialization_id")):
                tokens.append(_in_order(archive.read(name), name))
    # Classes compiled more than once in a process have numbers in their names.
    numbers: dict[bytes, bytes] = {}
    return digest(*(_MANGLED.sub(lambda m: _renumbered(m, numbers), data) for data in tokens))


def _in_order(data: bytes, name: str) -> bytes:
    """Sort the constants of each class, which torch lists in the order of a set."""
    if not name.endswith(".py"):
        return data
    runs = groupby(data.split(b"\n"), lambda line: b" : Final[" in line)
    return b"\n".join(line for final, run in runs for line in (sorted(run) if final else run))


def _renumbered(match: re.Match[bytes], numbers: dict[bytes, bytes]) -> bytes:
    return numbers.setdefault(match[0], b"mangle_%d" % len(numbers))


def _script_object(walk: Walk, value: Any) -> bytes:
    walk.note("", BEYOND)
    return (
        walk.visit(value.__getstate__()) if hasattr(value, "__getstate__") else walk.refuse(value)
    )


# ---- scipy, networkx, sympy ----------------------------------------------------------------------


def _sparse(walk: Walk, value: Any) -> bytes:
    walk.note("", BEYOND)
    state = {
        key: inner
        for key, inner in visible_state(value).items()
        # They only tell what is already known of the order of the entries.
        if key not in ("maxprint", "has_canonical_format") and not key.startswith("_has_")
    }
    return walk.attributes(value, state.items())


def _spline(walk: Walk, value: Any) -> bytes:
    walk.note("", BEYOND)
    class_code(walk, type(value))
    # The rest of `_data` are buffers of which FITPACK sets only the beginning.
    given = list(value._data[:7]) if hasattr(value, "_data") else []
    return digest(*walk.items([*given, value._eval_args, getattr(value, "ext", None)]))


def _tree(walk: Walk, value: Any) -> bytes:
    walk.note("", BEYOND)
    return digest(*walk.items([value.data, value.leafsize, value.boxsize, value.indices]))


def _distribution(walk: Walk, value: Any) -> bytes:
    walk.note("", BEYOND)
    class_code(walk, type(value))
    state = {
        key: inner
        for key, inner in visible_state(value).items()
        if not callable(inner) and key not in ("_ctor_param", "_parse_arg_template")
    }
    return walk.attributes(value, state.items())


def _symbolic(walk: Walk, value: Any) -> bytes:
    walk.note("", BEYOND)
    return digest(*walk.items(value._hashable_content()), *walk.items(value.args))


# ---- pandas, polars, pyarrow ---------------------------------------------------------------------


def _frame(walk: Walk, value: Any) -> bytes:
    walk.note("", BEYOND)
    columns = [value.iloc[:, i].array for i in range(value.shape[1])]
    with walk.step(".values"):
        tokens = [part for column in columns for part in _column(walk, column)]
    return digest(walk.visit(value.columns), walk.visit(value.index), *tokens, *_about(walk, value))


def _series(walk: Walk, value: Any) -> bytes:
    walk.note("", BEYOND)
    tokens = _column(walk, value.array)
    return digest(walk.visit(value.name), walk.visit(value.index), *tokens, *_about(walk, value))


def _about(walk: Walk, value: Any) -> list[bytes]:
    return [walk.visit(value.attrs), walk.visit(value.flags.allows_duplicate_labels)]


def _index(walk: Walk, value: Any) -> bytes:
    walk.note("", BEYOND)
    names = [walk.visit(list(value.names)), text(str(getattr(value, "freqstr", None)))]
    if hasattr(value, "codes") and hasattr(value, "levels"):
        return digest(*names, *walk.items([*value.levels, *value.codes]))
    return digest(*names, *_column(walk, value.array))


def _column(walk: Walk, array: Any) -> list[bytes]:
    """Return the tokens of an array of pandas: its type, and its values."""
    kind = [text(type(array).__name__), text(str(array.dtype))]
    if hasattr(array, "codes") and hasattr(array, "categories"):
        parts = (array.codes, array.categories, array.ordered)
        return [*kind, *(walk.visit(part) for part in parts)]
    if isinstance(array.dtype, np.dtype):
        return [*kind, walk.visit(np.asarray(array))]
    return [*kind, *walk.items(array.astype(object).tolist())]


def _polars(walk: Walk, value: Any) -> bytes:
    walk.note("", BEYOND)
    if hasattr(value, "columns"):
        return digest(*walk.items([part for s in value for part in (s.name, s)]))
    return digest(text(value.name), text(str(value.dtype)), *walk.items(value.to_list()))


def _arrow(walk: Walk, value: Any) -> bytes:
    walk.note("", BEYOND)
    kind = value.schema if hasattr(value, "schema") else value.type
    return digest(text(str(kind)), walk.visit(value.to_pylist()))


# ---- numba ---------------------------------------------------------------------------------------


def _compiled(walk: Walk, value: Any) -> bytes:
    walk.note("", BEYOND)
    options = getattr(value, "targetoptions", None)
    return digest(walk.visit(value.py_func), walk.visit(options))


def _compiled_ufunc(walk: Walk, value: Any) -> bytes:
    walk.note("", BEYOND)
    return walk.visit(getattr(value, "_dispatcher", value).py_func)


def _typed(walk: Walk, value: Any) -> bytes:
    walk.note("", BEYOND)
    kind = text(str(value._numba_type_))
    if hasattr(value, "items"):
        return digest(kind, walk.mapping([*value.items()], ordered=True))
    return digest(kind, *walk.items([*value]))


def _compiled_object(walk: Walk, value: Any) -> bytes:
    walk.note("", BEYOND)
    kind = value._numba_type_
    tokens = walk.items([part for name in kind.struct for part in (name, getattr(value, name))])
    methods = walk.mapping(kind.class_type.jit_methods.items(), ordered=True)
    return digest(text(kind.class_type.class_name), *tokens, methods)


_WHOLE: dict[str, Handler] = {
    "torch._C.TensorBase": _tensor,
    "torch.nn.modules.module.Module": _torch_module,
    "torch.jit._script.ScriptModule": _script,
    "torch.jit._script.RecursiveScriptModule": _script,
    "torch.jit.torch.jit.ScriptFunction": _script,
    "torch._C.ScriptFunction": _script,
    "torch.ScriptObject": _script_object,
    "torch._C.Generator": lambda walk, value: walk.visit(value.get_state()),
    "torch.dtype": lambda walk, value: text(str(value)),
    "torch.device": lambda walk, value: text(str(value)),
    "torch.layout": lambda walk, value: text(str(value)),
    "scipy.sparse._base._spbase": _sparse,
    "scipy.interpolate._fitpack2.UnivariateSpline": _spline,
    "scipy.spatial._ckdtree.cKDTree": _tree,
    "scipy.stats._distn_infrastructure.rv_generic": _distribution,
    "sympy.core.basic.Basic": _symbolic,
    "pandas.DataFrame": _frame,
    "pandas.core.frame.DataFrame": _frame,
    "pandas.Series": _series,
    "pandas.core.series.Series": _series,
    "pandas.Index": _index,
    "pandas.core.indexes.base.Index": _index,
    "pandas.api.extensions.ExtensionArray": lambda w, v: digest(*_column(w, v)),
    "pandas.core.arrays.base.ExtensionArray": lambda w, v: digest(*_column(w, v)),
    "polars.dataframe.frame.DataFrame": _polars,
    "polars.series.series.Series": _polars,
    "pyarrow.lib._PandasConvertible": _arrow,
    "numba.core.dispatcher.Dispatcher": _compiled,
    "numba.np.ufunc.dufunc.DUFunc": _compiled_ufunc,
    "numba.np.ufunc.gufunc.GUFunc": _compiled_ufunc,
    "numba.core.ccallback.CFunc": lambda walk, value: walk.visit(value._pyfunc),
    "numba.typed.typedlist.List": _typed,
    "numba.typed.typeddict.Dict": _typed,
    "_box.Box": _compiled_object,
    "_cffi_backend._CDataBase": refused,
    "_cffi_backend.CData": refused,
    "_cffi_backend.Lib": refused,
    "_cffi_backend.FFI": refused,
    "cffi.api.FFI": refused,
}
WHOLE |= _WHOLE
