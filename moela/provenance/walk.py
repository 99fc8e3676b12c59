"""A walk through everything that an object holds, which gives a digest of its content.

The digest is the same in every process: it depends neither on addresses nor on hash seeds. No code
of a pickle is run: the state of an object is read from its attributes, or from what the object
hands to pickle (``__reduce_ex__``), and digested as data.
"""

from __future__ import annotations

import copyreg
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from functools import cached_property, lru_cache
from hashlib import blake2b
from types import FunctionType
from typing import Any, Final, NamedTuple

import numpy as np

from moela.provenance import renames
from moela.provenance.scalars import ATOMS, Arrays, integer, packed, text
from moela.provenance.sources import is_library_class, is_ours, module_name

HIDDEN: Final = "hidden"
CODE: Final = "code"
BEYOND: Final = "beyond"

# Each level takes about three frames of Python's stack, of which a caller may have used some.
MAX_DEPTH = 100
_OLD_DEPTH = 8  # of version 0.1
_MAX_PATH = 100  # characters
_MAX_NOTES = 200  # of one object; more are kept as one


class Note(NamedTuple):
    """Something about a part of an object that is not in the digest of the object.

    The channels are `HIDDEN`: private attributes, the order of the keys of a dict, global values
    that a function reads, attributes of classes; `CODE`: the bytecode of functions; and `BEYOND`,
    without a digest: content that the signatures of version 0.1 did not see.
    """

    where: str
    channel: str
    digest: bytes


Handler = Callable[["Walk", Any], bytes]

WHOLE: dict[str, Handler] = {}
"""By full name of a class: a function that digests its instances and those of its subclasses."""

PART: dict[str, Handler] = {}
"""The same for classes to which a subclass may add attributes; these are digested, too."""


def digest(*parts: bytes) -> bytes:
    """Return the token of something composed of tokens."""
    return b"#" + blake2b(b"".join(parts), digest_size=16).digest()


class Walk:
    """The digests of objects below a root, each object once.

    Objects that refer to each other in circles are digested together: inside of such a component a
    reference is a distance in the order of the walk. Elsewhere it does not matter whether two
    places hold one object or two equal ones.
    """

    def __init__(self, root: object):
        self.root = root
        self.unseen: dict[str, str] = {}  # by path: the type of what cannot be seen
        self.notes: list[Note] = []  # of the object being visited
        self.arrays: Arrays = {}
        self.path: list[str] = []
        # By id: the object, so that its id stays its own, its token and its notes.
        self._memo: dict[int, tuple[object, bytes, list[Note]]] = {}
        # Tarjan's algorithm: objects whose component is not yet complete, and their positions.
        self._stack: list[object] = []
        self._open: dict[int, int] = {}
        self._here = self._lowest = 0
        self._depth = 0
        self._kinds: dict[type, tuple[bytes, Handler]] = {}

    def visit(self, value: object) -> bytes:
        """Return the token of a value: its digest, or a short value itself."""
        kind = type(value)
        atom = ATOMS.get(kind)
        if atom is not None:
            return atom(value)
        if isinstance(value, tuple | list) and kind in (tuple, list):
            flat = _flat(value)
            if flat is not None:
                return flat
        known = self._memo.get(id(value))
        if known is not None:
            self.notes.extend(known[2])
            return known[1]
        if value is self.root:
            return b"R;"
        position = self._open.get(id(value))
        if position is not None:
            self._lowest = min(self._lowest, position)
            return b"^%d;" % (self._here - position)
        if self._depth >= MAX_DEPTH:
            return self.refuse(value, f"more than {MAX_DEPTH} levels")
        return self._enter(value, kind)

    def _enter(self, value: object, kind: type) -> bytes:
        position = len(self._stack)
        self._stack.append(value)
        self._open[id(value)] = position
        before = self._here, self._lowest, self.notes
        self._here, self._lowest, self.notes = position, position, []
        self._depth += 1
        if self._depth > _OLD_DEPTH:
            self.note("", BEYOND)
        n_steps = len(self.path)
        try:
            name, handler = self._kinds.get(kind) or self._kind(kind)
            token = digest(name, handler(self, value))
        except Exception:  # whatever objects of others raise if they are looked at
            del self.path[n_steps:]
            self._lowest, self.notes = position, []
            token = self.refuse(value)
        self._depth -= 1
        notes, lowest = self.notes, self._lowest
        self._here, self._lowest, self.notes = before
        if len(notes) > _MAX_NOTES:
            notes = combined(notes)
        if lowest < position:
            self._lowest = min(self._lowest, lowest)
        else:
            for k, member in enumerate(self._stack[position:]):
                del self._open[id(member)]
                other = token if k == 0 else digest(b"member", token, integer(k))
                self._memo[id(member)] = (member, other, notes if k == 0 else [])
            del self._stack[position:]
        self.notes.extend(notes)
        return token

    def _kind(self, kind: type) -> tuple[bytes, Handler]:
        found = text(class_name(kind)), handler_of(kind)
        self._kinds[kind] = found
        return found

    def refuse(self, value: object, reason: str = "") -> bytes:
        """Note that a value cannot be seen into, and return a token without its content."""
        name = class_name(type(value))
        path = "".join(self.path)
        path = path if len(path) <= _MAX_PATH else f"{path[:_MAX_PATH]}..."
        self.unseen.setdefault(path, f"{name}, {reason}" if reason else name)
        self.note("", BEYOND)
        return b"?" + text(name)

    def note(self, where: str, channel: str, token: bytes = b"") -> None:
        """Add a note to the object being visited."""
        self.notes.append(Note(where, channel, token))

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Visit a part of an object: its notes become notes of the object under its name."""
        outer, self.notes = self.notes, []
        self.path.append(name)
        try:
            yield
        finally:
            inner, self.notes = self.notes, outer
            self.path.pop()
            self.notes.extend(Note(name + n.where, n.channel, n.digest) for n in inner)

    # ---- containers ----------------------------------------------------------------------------

    def items(self, values: Iterable[object]) -> list[bytes]:
        """Return the tokens of the items of a container, whose notes are combined."""
        if isinstance(values, list | tuple):
            short = packed(values)
            if short is not None:
                return [short]
        outer, self.notes = self.notes, []
        tokens = []
        for i, value in enumerate(values):
            self.path.append(f"[{i}]")
            tokens.append(self.visit(value))
            self.path.pop()
        inner, self.notes = self.notes, outer
        self.notes.extend(combined(inner))
        return tokens

    def mapping(self, items: Iterable[tuple[object, object]], *, ordered: bool = False) -> bytes:
        """Return the digest of keys and values; unless ordered, the order is only noted."""
        pairs = list(items)
        outer, self.notes = self.notes, []
        keys = [self.visit(key) for key, _ in pairs]
        values = packed([value for _, value in pairs]) if ordered else None
        if values is not None:
            tokens = [*keys, values]
        else:
            entries = []
            for token, (key, value) in zip(keys, pairs, strict=True):
                self.path.append(f"[{key!r}]" if type(key) in (str, int) else "[...]")
                entries.append((token, self.visit(value)))
                self.path.pop()
            if not ordered:
                entries.sort()
            tokens = [part for entry in entries for part in entry]
        inner, self.notes = self.notes, outer
        self.notes.extend(combined(inner))
        if not ordered and keys != sorted(keys):
            self.note(" (order)", HIDDEN, digest(*keys))
        return digest(b"mapping", integer(len(pairs)), *tokens)

    # ---- objects -------------------------------------------------------------------------------

    def attributes(self, value: object, state: Iterable[tuple[str, object]]) -> bytes:
        """Return the digest of public attributes, and note the private ones.

        Libraries keep their content in private attributes, so those of their classes are not told
        apart. Ours keep in them what follows from the public ones.
        """
        kind: Any = type(value)
        library, ours = is_library_class(kind), is_ours(kind.__module__)
        derived = _cached_properties(kind)
        tokens, outer = [], self.notes
        for name, inner in sorted(state):
            if library and not ours and (name in derived or name in _NO_CONTENT):
                continue
            private = (ours or not library) and (
                name[:1] == "_" or name == "cache" or name in derived
            )
            if private and ours and not isinstance(inner, FunctionType):
                continue
            self.notes = []
            self.path.append(where := f".{name}")
            token = self.visit(inner)
            self.path.pop()
            for note in self.notes:
                outer.append(Note(where + note.where, note.channel, note.digest))
            if private:
                outer.append(Note(where, HIDDEN, token))
            else:
                tokens += [text(name), token]
            if private or name[:1] == "_":
                outer.append(Note(where, BEYOND, b""))
        self.notes = outer
        return digest(b"attributes", *tokens)


# Version 0.1 signed values of these modules by their `repr`.
_PRINTED = frozenset(
    ["builtins", "collections", "array", "datetime", "decimal", "fractions", "uuid", "re"]
)
_NO_CONTENT = frozenset(["__networkx_cache__", "__doc__", "_mhash", "_hash"])


def combined(notes: Sequence[Note]) -> list[Note]:
    """Return at most one note per channel."""
    if not notes:
        return []
    out = []
    for channel in (HIDDEN, CODE, BEYOND):
        tokens = [text(n.where) + n.digest for n in notes if n.channel == channel]
        if tokens:
            unique = b"" if channel == BEYOND else digest(*dict.fromkeys(tokens))
            out.append(Note("[...]", channel, unique))
    return out


def class_name(kind: type) -> str:
    """Return the name of a class: that of its public module if it is one of ours."""
    return renames.public_name(kind)


def class_code(walk: Walk, kind: Any) -> None:
    """Note the code of a class that is not a library's, and what it holds itself."""
    if not is_of_libraries(kind):
        walk.visit(kind)


@lru_cache(maxsize=1000)
def is_of_libraries(kind: type[Any]) -> bool:
    """Return whether a class and its bases are of libraries."""
    return all(is_library_class(base) for base in kind.__mro__)


@lru_cache(maxsize=1000)
def _cached_properties(kind: type[Any]) -> frozenset[str]:
    names: set[str] = set()
    for base in reversed(kind.__mro__):
        for name, value in vars(base).items():
            (names.add if isinstance(value, cached_property) else names.discard)(name)
    return frozenset(names)


def _flat(value: Sequence[Any]) -> bytes | None:
    """Return the token of a list or tuple of simple values, None if it is not such."""
    tag = b"list" if type(value) is list else b"tuple"
    short = packed(value)
    if short is not None:
        return digest(tag, short)
    try:
        return digest(tag, *[ATOMS[type(inner)](inner) for inner in value])
    except KeyError:
        return None


def handler_of(kind: type) -> Handler:
    """Return the function that digests the instances of a class."""
    if issubclass(kind, Enum):
        return WHOLE["enum.Enum"]
    if kind.__module__ == "itertools":  # what they have consumed is gone
        return WHOLE["builtins.generator"]
    for base in kind.__mro__:
        name = f"{base.__module__}.{base.__qualname__}"
        if name in WHOLE:
            return WHOLE[name]
        if name in PART:
            return PART[name] if base is kind else _extended(PART[name])
    return _object


def _extended(part: Handler) -> Handler:
    def handler(walk: Walk, value: Any) -> bytes:
        state = visible_state(value)
        more = walk.attributes(value, state.items())
        if state:
            walk.note("", BEYOND)
        class_code(walk, type(value))
        return digest(part(walk, value), more)

    return handler


# ---- any other object ------------------------------------------------------------------------


def visible_state(value: object) -> dict[str, object]:
    """Return the attributes of an object in its ``__dict__`` and its slots."""
    state: dict[str, object] = {}
    kind: Any = type(value)
    for name, slot in slots_of(kind).items():
        try:
            state[name] = slot.__get__(value)
        except AttributeError:  # not set
            continue
    try:
        own = object.__getattribute__(value, "__dict__")
    except AttributeError:
        own = None
    return {**state, **own} if type(own) is dict else state


@lru_cache(maxsize=1000)
def slots_of(kind: type[Any]) -> dict[str, Any]:
    """Return the slots of a class and its bases by their name, a hidden one by its full name."""
    slots: dict[str, Any] = {}
    for base in kind.__mro__:
        names = vars(base).get("__slots__", ())
        for name in (names,) if isinstance(names, str) else tuple(names):
            full = f"_{base.__name__.lstrip('_')}{name}" if _is_mangled(name) else name
            if name not in ("__dict__", "__weakref__") and hasattr(vars(base).get(full), "__get__"):
                slots.setdefault(full, vars(base)[full])
    return slots


def _is_mangled(name: str) -> bool:
    return name.startswith("__") and not name.endswith("__")


@lru_cache(maxsize=1000)
def _is_transparent(kind: type[Any]) -> bool:
    """Return whether instances of a class have no content but their attributes."""
    names = [f"s{i}" for i in range(sum(_n_slots(base) for base in kind.__mro__))]
    if kind.__dictoffset__:
        names.append("__dict__")
    if kind.__weakrefoffset__:
        names.append("__weakref__")
    plain = type("plain", (), {"__slots__": tuple(names)})
    return kind.__basicsize__ <= plain.__basicsize__ and not kind.__itemsize__


def _n_slots(base: type) -> int:
    names = vars(base).get("__slots__", ())
    own = (names,) if isinstance(names, str) else tuple(names)
    return sum(name not in ("__dict__", "__weakref__") for name in own)


def _object(walk: Walk, value: object) -> bytes:
    kind: Any = type(value)
    class_code(walk, kind)
    state = visible_state(value)
    visible = walk.attributes(value, state.items())
    if _is_transparent(kind):
        return visible
    # Something that was written in another language; it shows its state only to pickle.
    if kind.__module__ not in _PRINTED:
        walk.note("", BEYOND)
    if hasattr(kind, "__array__"):
        return digest(visible, _numbers(walk, value))
    reduce = copyreg.dispatch_table.get(kind)
    parts = reduce(value) if reduce is not None else value.__reduce_ex__(4)
    if isinstance(parts, str):
        return digest(visible, text(parts))
    made_by, arguments, *rest = parts
    tokens = [_name_of(made_by), *walk.items(arguments)]
    for more in rest:
        listed = list(more) if isinstance(more, Iterator) else more
        tokens.append(walk.visit(listed))
    token = digest(*tokens)
    if is_library_class(kind):
        return digest(visible, token)
    walk.note("", HIDDEN, token)  # an unknown class: its state may differ from process to process
    return visible


def _numbers(walk: Walk, value: object) -> bytes:
    array = np.asarray(value)
    return walk.refuse(value) if array.dtype.hasobject else walk.visit(array)


def _name_of(value: object) -> bytes:
    return text(f"{module_name(value)}.{getattr(value, '__qualname__', None)}")
