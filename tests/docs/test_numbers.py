"""Every number on the pages that people read first has a script and a page of evidence."""

from __future__ import annotations

import re

import pytest

from tests.docs import evidence, numbers
from tests.docs.blocks import ROOT, text_of

PAGES = (numbers.README, numbers.INDEX, numbers.CHOOSE)


def prose(page: str) -> str:
    """Return the words of a page in one line: without code, comments and options of directives."""
    words, fence = [], ""
    for line in re.sub(r"<!--.*?-->", "", text_of(ROOT / page), flags=re.DOTALL).splitlines():
        if line.startswith("```"):
            fence = "" if fence else line
        elif not (fence and "{" not in fence) and not line.startswith(":"):
            words.append(re.sub(r"^\d+\. ", "", line))
        elif line.startswith(":::{grid-item-card}"):
            words.append(line.partition("} ")[2])
    return " ".join(" ".join(words).split())


def matches(number: str, value: float) -> bool:
    """Whether a value, or its percent, is written as this number."""
    digits = len(number.partition(".")[2])
    unit = 10.0**-digits
    target = evidence.value_of(number)
    return any(abs(x - target) <= 0.5 * unit * (1 + 1e-9) for x in (value, 100 * value))


@pytest.mark.parametrize("page", PAGES)
def test_each_number_is_in_a_claim(page):
    text = prose(page)
    for claim in sorted(numbers.CLAIMS, key=lambda claim: -len(claim.text)):
        if page in claim.pages:
            text = text.replace(claim.text, " ")
    left = re.sub(r"`[^`]*`", " ", re.sub(r"\]\([^)]*\)", "]", text))
    assert [
        left[max(0, found.start() - 40) : found.end() + 20]
        for found in evidence.NUMBER.finditer(left)
    ] == []


@pytest.mark.parametrize("claim", numbers.CLAIMS, ids=lambda claim: claim.text[:40])
def test_the_evidence_says_so(claim):
    for page in claim.pages:
        assert claim.text in prose(page)
    page = text_of(ROOT / claim.evidence)
    assert [passage for passage in claim.passages if passage not in page] == []
    values = [
        evidence.value_of(number)
        for passage in claim.passages
        for number in evidence.numbers_of(passage)
    ]
    if claim.derived is not None:
        values += claim.derived(page)
    written = evidence.numbers_of(re.sub(r"`[^`]*`|\]\([^)]*\)", " ", claim.text))
    assert written
    assert [n for n in written if not any(matches(n, value) for value in values)] == []


@pytest.mark.parametrize("claim", numbers.CLAIMS, ids=lambda claim: claim.text[:40])
def test_the_script_exists_and_is_named(claim):
    if claim.script is None:
        return
    module = ROOT / "tests" / "benchmarks" / claim.script.partition(" ")[0]
    assert module.is_dir() or module.with_suffix(".py").exists()
    assert re.search(rf"\b{claim.script}\b", text_of(ROOT / claim.evidence))


def test_a_changed_number_is_noticed():
    claim = next(claim for claim in numbers.CLAIMS if claim.text == "6 to 25 %")
    values = claim.derived(text_of(ROOT / claim.evidence))
    assert all(any(matches(n, v) for v in values) for n in ("6", "25"))
    assert not any(matches("37", value) for value in values)
