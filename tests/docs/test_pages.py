"""The code, names, numbers, and links on the pages agree with the library."""

from __future__ import annotations

import ast
import logging
import re
from collections import Counter
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import moela
from moela import MinimizeResult, compare
from moela.quality import indicators
from problems.noc import NoC3D, Platform, synthetic_traffic
from problems.noc.evaluation.metrics import UNITS
from problems.noc.simulation import simulate
from tests.docs.blocks import DOCS, RECIPES, ROOT, blocks_of, files_of, run_blocks, text_of

PAGES = [
    *ROOT.glob("*.md"),
    *(page for folder in (".", "benchmarks", "recipes") for page in (DOCS / folder).glob("*.md")),
]


def files_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# -------------------------------------------------------------------------------- code that runs


def test_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_blocks(ROOT / "README.md")
    assert {"bfs.db", "design.json", "front.png", "sink.db", "sink.png"} <= files_in(tmp_path)


def test_the_landing_page_shows_what_the_readme_does():
    readme, index = text_of(ROOT / "README.md"), text_of(DOCS / "index.md")
    program = blocks_of(ROOT / "README.md")[0]
    assert blocks_of(DOCS / "index.md") == [program]
    assert len([line for line in program.splitlines() if line]) == 10
    commands = re.findall(r"<!-- ci: \w+ -->\n(```\n.*?```)", readme, flags=re.DOTALL)
    assert len(commands) == 2
    assert [command for command in commands if command not in index] == []
    for picture in ("sink", "chip", "deployment"):
        assert f"images/{picture}.png" in readme
        assert f"images/{picture}.png" in index


def test_start_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert len(run_blocks(DOCS / "start.md")["result"].front) > 1
    assert capsys.readouterr().out


def test_functions_runs(tmp_path, monkeypatch, capsys):
    pytest.importorskip("pandas")
    monkeypatch.chdir(tmp_path)
    run_blocks(DOCS / "functions.md")
    assert {"sink.db", "front.png", "front.csv"} <= files_in(tmp_path)
    printed = capsys.readouterr().out
    assert "fins    integer, 5 to 25" in printed
    assert "It is the knee" in printed


@pytest.mark.parametrize("page", RECIPES, ids=lambda page: page.stem)
def test_recipe_runs(page, tmp_path, monkeypatch):
    code = "\n".join(blocks_of(page))
    for package in ("pandas", "plotly", "distributed", "optuna"):
        if package in code:
            pytest.importorskip(package)
    if "SiliconModel" in code:
        pytest.importorskip("aiconfigurator_core")
    monkeypatch.chdir(tmp_path)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers[:] = []  # basicConfig does nothing beside those of pytest
    try:
        names = run_blocks(page)
        assert written_by(page) <= files_in(tmp_path)
        if any(name.endswith((".db", ".log")) for name in written_by(page)):
            run_blocks(page)  # again, since nothing that it has left may stop it
    finally:
        for handler in root.handlers:
            handler.close()
        root.handlers[:] = handlers
        root.setLevel(level)
    for result in (value for value in names.values() if isinstance(value, MinimizeResult)):
        assert len(result.front) > 0
    if page.stem == "logging":
        lines = Path("progress.log").read_text(encoding="utf-8").splitlines()
        assert sum("done after 100 evaluations" in line for line in lines) == 2


@pytest.mark.few_evaluations
def test_failed_evaluations_are_counted_as_its_recipe_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page = DOCS / "recipes" / "failed_evaluations.md"
    run_blocks(page)
    printed = capsys.readouterr().out
    lines = re.findall(r"^print\(.*# \.\.\. (.+)$", text_of(page), flags=re.MULTILINE)
    assert lines
    assert [line for line in lines if line not in printed] == []


def written_by(page: Path) -> set[str]:
    """Return the names of the files in the code of a page."""
    found = re.findall(r'"(\w+\.(?:csv|db|html|json|log|png))"', "\n".join(blocks_of(page)))
    return set(found) | set(files_of(page))


def test_recipes_share_no_file():
    uses = Counter(name for page in RECIPES for name in written_by(page))
    assert len(uses) > 10
    assert [name for name, n in uses.items() if n > 1] == []


def test_recipes_are_short_and_listed():
    index = text_of(DOCS / "recipes" / "index.md")
    for page in RECIPES:
        title = text_of(page).partition("\n")[0].removeprefix("# ")
        assert f"[{title}]({page.name})" in index
        assert re.search(rf"^{page.stem}$", index, flags=re.MULTILINE)
        assert len("\n".join(blocks_of(page)).splitlines()) <= 32


def test_comparing_runs(tmp_path, monkeypatch, capsys):
    pytest.importorskip("plotly")
    pytest.importorskip("pandas")
    monkeypatch.chdir(tmp_path)
    run_blocks(DOCS / "comparing.md")
    assert {"report.html", "pictures", "runs"} <= files_in(tmp_path)
    assert "largest median hypervolume" in capsys.readouterr().out


def test_noc_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # A tenth of a sweep's cycles is enough to see that the page runs.
    monkeypatch.setattr(simulate, "SWEEP_CYCLES", simulate.SWEEP_CYCLES // 10)
    names = run_blocks(DOCS / "noc.md")
    chip = Platform.load("chip.json")
    assert chip == names["chip"]
    # The limit of the page's command is within reach of its chip.
    traffic = synthetic_traffic("bfs", chip, np.random.default_rng(0))
    NoC3D(traffic, platform=chip, constraints={"temperature": 85.0})
    assert names["problem"].held_out is not None


def test_moe_deployment_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run_blocks(DOCS / "moe_deployment.md")
    assert "gates.png" in files_in(tmp_path)
    assert "What to expect" in capsys.readouterr().out


def test_moe_plans_runs(tmp_path, monkeypatch, capsys):
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    run_blocks(DOCS / "moe_plans.md")
    printed = capsys.readouterr().out
    assert "What to expect" in printed
    assert "--kt-num-gpu-experts" in printed
    assert "plan.json" in files_in(tmp_path)


def test_blocks_import_names_that_exist():
    missing = []
    for page in PAGES:
        for block in blocks_of(page):
            for node in ast.walk(ast.parse(block)):
                if isinstance(node, ast.ImportFrom) and node.module:
                    module = import_module(node.module)
                    missing += [
                        f"{page.name}: {node.module}.{alias.name}"
                        for alias in node.names
                        if not hasattr(module, alias.name)
                    ]
    assert missing == []


def test_blocks_use_numpy_after_its_import():
    early = []
    for page in PAGES:
        known = False
        for block in blocks_of(page):
            known |= "import numpy as np" in block
            if re.search(r"\bnp\.", block) and not known:
                early.append(f"{page.name}: {block[:60]}")
    assert early == []


# --------------------------------------------------------------------------- names and numbers


def test_noc_names_every_metric():
    table = text_of(DOCS / "noc.md").partition("| name |")[2].partition("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", table)) >= set(UNITS)


def test_comparing_names_the_sizes_of_the_library():
    text = text_of(DOCS / "comparing.md")
    for word, limits in (
        ("Exact", indicators.EXACT_UP_TO),
        ("exact", indicators.EXACT_CONTRIBUTIONS_UP_TO),
    ):
        pattern = rf"{word} up to ([\d,]+) points in 5 objectives, (\d+) in 6, (\d+) in 7"
        sizes = re.search(pattern, text).groups()
        assert [int(size.replace(",", "")) for size in sizes] == [limits[m] for m in (5, 6, 7)]


def test_table_of_comparing_can_be_compared(tmp_path):
    (table,) = re.findall(r"```\n(algorithm,.*?)```", text_of(DOCS / "comparing.md"), re.DOTALL)
    (tmp_path / "table.csv").write_text(table, encoding="utf-8")
    comparison = compare(tmp_path / "table.csv")
    assert comparison.algorithms == ["mine", "theirs"]
    assert comparison.scales["problem"].names == ("cost", "delay")
    assert [len(comparison.front(algorithm=name)) for name in comparison.algorithms] == [2, 1]


def test_reasons_on_the_landing_page_stand_in_their_evidence():
    shares = [
        float(share)
        for table in text_of(DOCS / "benchmarks" / "other_libraries.md").split("\n\n")
        if "| share |" in table
        for share in re.findall(r"\| (0\.\d+) \| [\d.]+x \|", table)
    ]
    everything = text_of(DOCS / "benchmarks" / "smooth.md").partition("## All problems")[2]
    ranks = [float(rank) for rank in re.findall(r"^\| .*? \| (\d\.\d\d) \|", everything, re.M)]
    assert len(shares) == 5
    assert len(ranks) == 6  # of the algorithms that take constraints
    for page in (ROOT / "README.md", DOCS / "index.md"):
        text = " ".join(text_of(page).split())
        assert f"{100 * min(shares):.0f} to {100 * max(shares):.0f} %" in text
        assert f"ean rank {ranks[0]:.1f}" in text or f"was {ranks[0]:.1f} over 38" in text
        assert f"the next algorithm had {ranks[1]:.1f}" in text
        assert "1,005" in text
    assert "1,005 kills" in text_of(DOCS / "evaluation.md")


def test_numbers_and_words_are_plain():
    # A number without a digit before its point is easily misread as the end of a sentence.
    unclear = re.compile(r"(?<![\w.])\.\d|\bsome \d|\bbit by bit\b|\bper cent\b")
    found = [
        f"{page.relative_to(ROOT)}: {line}"
        for page in PAGES
        for line in text_of(page).splitlines()
        if unclear.search(line)
    ]
    assert found == []


# ------------------------------------------------------------------------------ links and titles


def test_links_lead_somewhere():
    broken = []
    for page in PAGES:
        # Tutorials become pages when the site is built, each from the script of its name.
        text = re.sub(r"auto_tutorials/(\d\w+)\.rst", r"tutorials/\1.py", text_of(page))
        text = text.replace("auto_tutorials/index.rst", "tutorials/GALLERY_HEADER.rst")
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
            if not target.startswith("http") and not (page.parent / target).exists():
                broken.append(f"{page.relative_to(ROOT)}: {target}")
    assert broken == []


def test_pictures_are_markdown():
    # Sphinx does not copy the file of an HTML tag, so that its picture is missing on the site.
    tagged = [str(page.relative_to(ROOT)) for page in PAGES if "<img" in text_of(page)]
    assert tagged == []


def test_the_version_is_the_same_everywhere():
    assert f"\nversion: {moela.__version__}\n" in text_of(ROOT / "CITATION.cff")
    first = re.search(r"^## (.+)$", text_of(ROOT / "CHANGELOG.md"), flags=re.MULTILINE)
    assert first.group(1) in ("Unreleased", moela.__version__)


def test_titles_differ():
    # The landing page and the README both have the name of the project.
    titles = Counter(
        text_of(page).partition("\n")[0] for page in PAGES if page != ROOT / "README.md"
    )
    assert {title for title, n in titles.items() if n > 1} == set()
