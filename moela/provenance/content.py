"""The content of a problem, as digests by name: what a run's answers depend on besides the design.

`of_problem` of `signature` shows public settings in a form that can be read. The digests here cover
everything that the problem holds, and say what they could not see into.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from types import FunctionType
from typing import Any, NamedTuple

from pymoo.core.problem import Problem

from moela.provenance import libraries, renames, values  # noqa: F401 (they register what they know)
from moela.provenance.code import BYTECODE, GLOBALS, code_of, code_of_ours
from moela.provenance.scalars import Arrays
from moela.provenance.signature import NO_CONTENT, Signature, differences
from moela.provenance.sources import is_ours
from moela.provenance.walk import BEYOND, CODE, Walk, digest, is_of_libraries, visible_state
from moela.quality.words import harmless

Record = dict[str, Any]
"""A `Content` as JSON data."""

CONTENT = "content"
"""The key under which the signature of a stored problem keeps its `Record`."""

_MAX_NAMES = 300
_MAX_STATES = 20  # of one attribute that changes while a run goes on


@dataclass(frozen=True)
class Content:
    """Digests of the content of a problem.

    Content is *hidden* if it may change without a change of the problem: private attributes, such
    as caches; the order of the keys of a dict; attributes of classes; and global values that
    functions read.
    """

    seen: dict[str, str] = field(default_factory=dict)
    hidden: dict[str, str] = field(default_factory=dict)
    bytecode: dict[str, str] = field(default_factory=dict)
    unseen: dict[str, str] = field(default_factory=dict)  # by path: the type
    sources: dict[str, str] = field(default_factory=dict)  # see `code_of`
    # Attributes of which the signatures of version 0.1 did not see everything.
    beyond: frozenset[str] = frozenset()

    def record(self) -> Record:
        """Return the content as JSON data."""
        return {
            "seen": self.seen,
            "hidden": self.hidden,
            "bytecode": self.bytecode,
            "unseen": self.unseen,
            "sources": self.sources,
            "python": python(),
        }

    def fingerprint(self) -> Fingerprint:
        """Return a short form of the content."""
        record = self.record()
        texts = [json.dumps(part, sort_keys=True) for part in (record["seen"], record)]
        seen, whole = (_hex(text.encode()) for text in texts)
        return Fingerprint(seen, whole, bool(self.unseen))

    def remembered(self, record: Record) -> Record | None:
        """Return a stored record with what has changed since by itself, None if nothing has."""
        first = record["hidden"] | record["seen"]
        states = dict(record.get("states", {}))
        for name, state in self.states().items():
            known = states.get(name, [])
            if state != first.get(name) and state not in known and len(known) < _MAX_STATES:
                states[name] = [*known, state]
        return None if states == record.get("states", {}) else {**record, "states": states}

    def states(self) -> dict[str, str]:
        """Return the digests of all that may change while a problem is evaluated."""
        return self.hidden | {name: self.seen[name] for name in self.seen if name in self.beyond}


class Fingerprint(NamedTuple):
    """Digests of the content of a problem, to be kept with each copy of an evaluator."""

    seen: str
    whole: str
    unseen: bool  # whether something cannot be seen into

    def differs(self, other: Fingerprint, *, versioned: bool) -> bool:
        """Return whether two problems may differ; a version decides about what is not public."""
        if versioned:
            return self.seen != other.seen
        return self.whole != other.whole or self.unseen


@dataclass(frozen=True)
class Doubts:
    """Reasons why two problems with equal settings may still not be the same one.

    The lists hold names of parts of the problem, such as ``problem.model``.
    """

    changed: tuple[str, ...] = ()  # content that makes it another problem
    hidden: tuple[str, ...] = ()
    bytecode: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    unsigned: tuple[str, ...] = ()  # what the stored signature did not see

    def __bool__(self) -> bool:
        return any(vars(self).values())

    def words(self) -> str:
        """Return the doubts as a sentence without its end."""
        parts = [
            ("has changed", (*self.changed, *self.hidden)),
            ("has other code", self.bytecode),
            ("comes from other sources or versions", self.sources),
            ("cannot be seen into", self.unseen),
            ("was not part of the stored signature", self.unsigned),
        ]
        return harmless("; ".join(f"{_listed(names)} {verb}" for verb, names in parts if names))


def _listed(names: Iterable[str]) -> str:
    first, *rest = names
    if not rest:
        return first
    return f"{first} (and {len(rest)} more)" if len(rest) > 2 else ", ".join([first, *rest])


def python() -> str:
    """Return the version of Python on which bytecode depends."""
    return ".".join(platform.python_version_tuple()[:2])


def content_of(problem: Problem, arrays: Arrays | None = None) -> Content:
    """Return the digests of everything that a problem holds.

    If it has a method ``signature()``, its answer stands for the attributes. Attributes of our own
    classes that start with an underscore follow from the others and from ``version``.

    `arrays` receives the digests of plain arrays.
    """
    walk = Walk(problem)
    if arrays is not None:
        walk.arrays = arrays
    own = getattr(problem, "signature", None)
    if callable(own):
        state: dict[str, object] = {"signature": own()}
    else:
        state = {k: v for k, v in visible_state(problem).items() if k not in NO_CONTENT}
    ours = is_ours(type(problem).__module__)
    seen: dict[str, str] = {}
    notes: dict[tuple[str, str], bytes] = {}
    for name in sorted(state, key=lambda key: (key.startswith("_"), key)):
        private, value = name.startswith("_"), state[name]
        if private and ours and not isinstance(value, FunctionType):
            continue
        walk.notes, walk.path = [], [path := f"problem.{name}"]
        token = walk.visit(value)
        if private:
            notes["hidden", path] = token
            notes[BEYOND, path] = b""
        else:
            seen[path] = _hex(token)
        for note in walk.notes:
            where = path if note.channel == BEYOND else path + note.where
            key = note.channel, where
            notes[key] = digest(notes.get(key, b""), note.digest)
    for note in _code_of_class(walk, problem):
        key = note.channel, "problem" + note.where
        notes[key] = digest(notes.get(key, b""), note.digest)
    return Content(
        seen=_few(seen),
        hidden=_few(
            {name: _hex(token) for (kind, name), token in notes.items() if kind == "hidden"}
        ),
        bytecode=_few({name: _hex(token) for (kind, name), token in notes.items() if kind == CODE}),
        unseen=dict(sorted(walk.unseen.items())[:_MAX_NAMES]),
        sources=_sources(problem),
        beyond=frozenset(name for kind, name in notes if kind == BEYOND),
    )


def _code_of_class(walk: Walk, problem: Problem) -> Iterable[Any]:
    walk.notes, walk.path = [], ["problem"]
    kind: Any = type(problem)
    if not is_of_libraries(kind):
        walk.visit(kind)
    return walk.notes


def _sources(problem: Problem) -> dict[str, str]:
    home = type(problem).__module__
    if is_ours(home):
        return code_of_ours(home)
    code = code_of(problem)
    for part in (BYTECODE, GLOBALS):  # of a class without a file, which is content
        code.pop(part, None)
    if home.partition(".")[0] != "pymoo":
        code.pop("pymoo", None)  # only the base class
    return code


def _hex(token: bytes) -> str:
    return blake2b(token, digest_size=8).hexdigest()


def _few(digests: dict[str, str]) -> dict[str, str]:
    """Return at most a few hundred digests; those beyond are one."""
    items = sorted(digests.items())
    rest = items[_MAX_NAMES:]
    if not rest:
        return dict(items)
    more = _hex("\n".join(map(" ".join, rest)).encode())
    return {**dict(items[:_MAX_NAMES]), "problem (everything else)": more}


def doubts(old: Record | None, new: Content, relatives: Iterable[Record] = ()) -> Doubts:
    """Compare the stored content of a problem, None if version 0.1 stored it, with one at hand.

    `relatives` are the stored contents of problems that may be the same one. They tell which states
    of an attribute belong together, because it went from one to another during a run.
    """
    unseen = {f"{path} ({kind})" for path, kind in new.unseen.items()}
    if old is None:
        return Doubts(unseen=tuple(sorted(unseen)), unsigned=tuple(sorted(new.beyond)))
    unseen |= {f"{path} ({kind})" for path, kind in old["unseen"].items()}

    def changed(kind: str, digests: dict[str, str]) -> tuple[str, ...]:
        stored = old[kind]
        return tuple(
            name
            for name in sorted(stored.keys() | digests.keys())
            if stored.get(name) != digests.get(name)
            and not _linked(kind, name, old, digests.get(name), relatives)
        )

    same_python = old["python"] == python()
    bytecode = changed("bytecode", new.bytecode) if same_python else tuple(sorted(new.bytecode))
    return Doubts(
        changed=changed("seen", new.seen),
        hidden=changed("hidden", new.hidden),
        bytecode=bytecode,
        sources=tuple(f"problem ({name})" for name in changed("sources", new.sources)),
        unseen=tuple(sorted(unseen)),
    )


def _linked(
    kind: str, name: str, old: Record, digest: str | None, relatives: Iterable[Record]
) -> bool:
    """Return whether an attribute has gone from the stored state to the one at hand by itself."""

    def states(record: Record) -> set[str | None]:
        return {record[kind].get(name), *record.get("states", {}).get(name, ())}

    if kind not in ("seen", "hidden"):
        return False
    left = [states(record) for record in relatives]
    reached: set[str | None] = {digest}
    while found := [group for group in left if group & reached]:
        left = [group for group in left if not group & reached]
        reached.update(*found)
    return bool(states(old) & reached)


def compare(
    stored: Sequence[Signature], wanted: Signature, before: Signature, content: Content, name: str
) -> list[tuple[list[str], Doubts]]:
    """Compare stored signatures of problems, with their contents, with the problem at hand.

    Return for each the differences that make it another problem, as lines that begin with `name`,
    and the doubts that remain if there are none. `before` is as in `signature.differences`.
    """
    records = [problem.get(CONTENT) for problem in stored]
    lines = [
        differences(renames.without_content(problem), wanted, name, before) for problem in stored
    ]
    starts = tuple(f"{name}.{part}" for part in ("settings.", "xl:", "xu:", "vars"))
    relatives = [
        record
        for record, changes in zip(records, lines, strict=True)
        if record is not None and all(line.startswith(starts) for line in changes)
    ]
    out = []
    for record, changes in zip(records, lines, strict=True):
        about = doubts(record, content, relatives)
        if record is not None:
            rest = [line for line in changes if not line.startswith(starts)]
            changes = [*rest, *_named(changes, about.changed, name)]
        out.append((changes, replace(about, changed=())))
    return out


def _named(lines: Iterable[str], changed: Iterable[str], name: str) -> Iterator[str]:
    """Yield the lines about each changed attribute, or one that only names it."""
    for path in changed:
        attribute = path.removeprefix("problem.")
        starts = tuple(
            f"{name}.{home}{attribute}{end}" for home in ("settings.", "") for end in ":."
        )
        shown = [line for line in lines if line.startswith(starts)]
        yield from shown or [f"{name}.settings.{attribute}: its content has changed"]
