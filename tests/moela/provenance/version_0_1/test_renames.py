"""Tables of renamed classes, and the uniqueness of class names without their modules."""

import ast
from collections import defaultdict
from pathlib import Path

import pytest

from moela.provenance import renames, signature, version_0_1

ROOT = Path(renames.__file__).parents[2]


def public_classes():
    """Return the files of every public class of ours, by the name that it is signed with."""
    files = defaultdict(list)
    for package in renames.PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    files[f"{package}.{node.name}"].append(path)
    return files


def test_no_two_public_classes_are_signed_alike():
    shared = {name for name, paths in public_classes().items() if len(paths) > 1}
    assert shared == set()


def test_every_class_of_version_0_1_has_a_successor():
    today = {renames.RENAMED_CLASSES.get(name, name) for name in public_classes()}
    merged = {old for several in renames.MERGED_CLASSES.values() for old in several}
    assert not set(version_0_1.CLASSES) - today - merged, "add the new names to RENAMED_CLASSES"


# ------------------------------------------------------------------------------ a class, renamed


class Old:
    """A class of version 0.1."""

    __module__ = "moela.somewhere"

    def __init__(self, n_neighbours=10, fast=True, parts=()):
        self.n_neighbours = n_neighbours
        self.fast = fast
        self.size = n_neighbours * 2
        self.parts = parts


class New:
    """The class today: an attribute renamed, one new, one dropped, one made private."""

    __module__ = "moela.somewhere"

    def __init__(self, n_neighbors=10, models="default", parts=()):
        self.n_neighbors = n_neighbors
        self.models = models
        self.parts = parts
        self._size = n_neighbors * 2


class Derived(New):
    """A user's class."""


class OldDerived(Old):
    """The user's class when it was signed."""


@pytest.fixture
def tables(monkeypatch):
    """The tables, filled for the classes above."""
    for table, key, value in (
        (renames.RENAMED_CLASSES, "moela.New", "moela.Old"),
        (renames.RENAMED, "moela.New", {"n_neighbors": "n_neighbours"}),
        (renames.ADDED, "moela.New", {"models": "default"}),
        (renames.DROPPED, "moela.New", {"fast": True, "size": renames.ANY}),
    ):
        monkeypatch.setitem(table, key, value)


def as_stored(old):
    """Return the signature of an object as version 0.1 wrote it: a class by its module."""
    stored = signature.of_algorithm(old, old=True)
    assert stored["class"] == f"{type(old).__module__}.{type(old).__qualname__}"
    return stored


def differences(stored, new):
    now, before = (signature.of_algorithm(new, old=old) for old in (False, True))
    return signature.differences(stored, now, "algorithm", before)


@pytest.mark.usefixtures("tables")
def test_the_same_settings_under_new_names_do_not_differ():
    assert differences(as_stored(Old()), New()) == []
    assert differences(as_stored(Old(5)), New(5)) == []


@pytest.mark.usefixtures("tables")
def test_differences_have_the_names_of_today():
    assert differences(as_stored(Old(5)), New()) == ["algorithm.settings.n_neighbors: 5 -> 10"]
    assert differences(as_stored(Old(fast=False)), New()) == [
        "algorithm.settings.fast: False -> None"
    ]
    for models in (None, "own"):
        assert differences(as_stored(Old()), New(models=models)) == [
            f"algorithm.settings.models: 'default' -> {models!r}"
        ]


@pytest.mark.usefixtures("tables")
def test_digests_are_made_with_the_old_names(monkeypatch):
    monkeypatch.setitem(renames.DROPPED, "moela.New", {"fast": True})
    monkeypatch.delattr(Old, "__init__")
    monkeypatch.delattr(New, "__init__")

    def old(n):
        made = Old()
        made.__dict__.update(n_neighbours=n, fast=True)
        return made

    def new(n):
        made = New()
        made.__dict__.update(n_neighbors=n, models="default")
        return made

    holder = old(1)
    holder.parts = [old(n) for n in range(20)]
    stored = as_stored(holder)
    assert stored["settings"]["parts"].startswith("digest ")
    today = new(1)
    today.parts = [new(n) for n in range(20)]
    assert differences(stored, today) == []
    today.parts = [new(n) for n in range(21)]
    assert [line.partition(":")[0] for line in differences(stored, today)] == [
        "algorithm.settings.parts"
    ]


@pytest.mark.usefixtures("tables")
def test_a_line_holds_for_a_class_derived_by_a_user():
    stored = as_stored(OldDerived(5))
    stored["class"] = f"{Derived.__module__}.Derived"
    assert differences(stored, Derived(5)) == []
    assert differences(stored, Derived(6)) == ["algorithm.settings.n_neighbors: 5 -> 6"]
