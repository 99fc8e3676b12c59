"""Every public name has a docstring with all that the reference shows."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path

from numpydoc.docscrape import NumpyDocString

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "docs" / "_ext"))

from public_names import PACKAGES, groups_of, public_names, public_objects  # noqa: E402

PUBLIC = {name: value for name, value in public_objects().items() if callable(value)}
ERRORS = {
    name
    for name, value in PUBLIC.items()
    if inspect.isclass(value) and issubclass(value, Exception)
}
# Users do not construct these objects, but get them from other calls, which their docstrings name.
MADE_BY_OTHERS = {"moe_costmodel.Evaluation", "moe_costmodel.LatencyModel"}


def _sections(name: str) -> NumpyDocString:
    value = PUBLIC[name]
    # A class without a docstring inherits that of its parent.
    own = value.__dict__.get("__doc__") if inspect.isclass(value) else value.__doc__
    assert own, f"{name} has no docstring"
    return NumpyDocString(inspect.cleandoc(own))


def _described(doc: NumpyDocString) -> set[str]:
    """Return the names that a docstring's lists describe; one entry may hold several."""
    entries = [*doc["Parameters"], *doc["Other Parameters"], *doc["Attributes"]]
    return {name.strip().lstrip("*") for entry in entries for name in entry.name.split(",")}


def test_reference_lists_the_public_packages():
    text = (ROOT / "docs" / "reference" / "index.md").read_text()
    assert tuple(re.findall(r"^packages/(.+)$", text, flags=re.MULTILINE)) == PACKAGES


def test_each_package_and_group_has_a_sentence():
    text = (ROOT / "docs" / "reference" / "index.md").read_text()
    assert [name for name in PACKAGES if f"\n- `{name}`: " not in text] == []
    names = {key: v for key, v in public_objects().items() if key.startswith("moe_costmodel.")}
    own = {key: value for key, value in names.items() if key.count(".") == 1}
    groups = groups_of("moe_costmodel", own)
    assert len(groups) > 10
    assert [title for title, sentence, _ in groups if not sentence.endswith(".")] == []
    listed = [name for _, _, members in groups for name in members]
    assert sorted(listed) == sorted(key for key, value in own.items() if callable(value))


def test_summaries_are_one_sentence():
    summaries = {name: " ".join(_sections(name)["Summary"]).strip() for name in PUBLIC}
    assert [name for name, text in summaries.items() if not text.endswith((".", ":", "?"))] == []


def test_parameters_are_described():
    missing = {}
    for name in sorted(set(PUBLIC) - ERRORS - MADE_BY_OTHERS):
        described = _described(_sections(name))
        parameters = inspect.signature(PUBLIC[name]).parameters
        missing[name] = [parameter for parameter in parameters if parameter not in described]
    assert {name: parameters for name, parameters in missing.items() if parameters} == {}


def test_returns_are_described():
    missing = []
    for name, value in PUBLIC.items():
        if inspect.isfunction(value):
            doc = _sections(name)
            annotation = inspect.signature(value).return_annotation
            if not (annotation in (None, "None") or doc["Returns"] or doc["Yields"]):
                missing.append(name)
    assert missing == []


def test_every_name_has_an_example():
    examples = {name: _sections(name)["Examples"] for name in set(PUBLIC) - ERRORS}
    missing = [
        name
        for name, lines in examples.items()
        if not any(line.lstrip().startswith(">>> ") for line in lines)
    ]
    assert sorted(missing) == []


def test_public_methods_have_docstrings():
    missing = []
    for name, kind in PUBLIC.items():
        for method, value in vars(kind).items() if inspect.isclass(kind) else ():
            bare = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
            if not method.startswith("_") and inspect.isfunction(bare) and not bare.__doc__:
                missing.append(f"{name}.{method}")
    assert missing == []


def _docstrings(name: str) -> dict[str, str]:
    """Return the docstrings of a public object and of its public methods, by name."""
    value, texts = PUBLIC[name], {name: PUBLIC[name].__doc__ or ""}
    for member, bound in vars(value).items() if inspect.isclass(value) else ():
        bare = bound.fget if isinstance(bound, property) else getattr(bound, "__func__", bound)
        if not member.startswith("_") and inspect.isfunction(bare):
            texts[f"{name}.{member}"] = bare.__doc__ or ""
    return texts


def test_docstrings_refer_to_names_that_have_a_page():
    # "See module.function" tells nothing to a reader of the site if only public names have a page.
    pages = {f"{package}.{name}" for package, names in public_names().items() for name in names}
    pages |= set(PACKAGES)
    members = {f"{name}.{member}" for name, value in PUBLIC.items() for member in dir(value)}
    reference = re.compile(r"(?<!`)`~?((?:moela|problems|moe_costmodel)(?:\.\w+)+)`(?!`)")
    lost = {}
    for name, value in PUBLIC.items():
        near = {key.rpartition(".")[2] for key in pages} | set(dir(value))
        for where, text in _docstrings(name).items():
            names = set(reference.findall(text)) - pages - members
            short = re.findall(r"[Ss]ee (?::\w+:)?`~?(\w+)[\w.]*`", text)
            names |= {word for word in short if word not in near and word not in PACKAGES}
            lost[where] = sorted(names)
    assert {where: names for where, names in lost.items() if names} == {}
