"""Flags of serving engines, read from their packages on PyPI, for the tests of exports.

`python -m tests.benchmarks.engine_flags` downloads SGLang, vLLM, KTransformers' SGLang and
llama-cpp-python (600 MB, without dependencies), and reads their command lines from the sources by
`ast`. It writes `tests/moe_costmodel/plans/data/engine_flags.json`: of each engine its version, the
flags that our exports use, the architectures that it serves, and those whose models read a
placement of experts. Nothing of the packages is run. TensorRT-LLM's package on PyPI holds no
sources: `--trtllm` takes files of its repository; without them its row of the committed table is
kept. So is that of llama.cpp, as long as llama-cpp-python lacks flags that we use.

Ends with one line an engine: `bar: flags of our exports that ENGINE knows, N of N, all`.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tarfile
import tempfile
from argparse import Namespace
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from moe_costmodel import Layout
from moe_costmodel.models.families import ARCHITECTURES
from moe_costmodel.plans.engines.registry import engine_command
from moe_costmodel.plans.engines.settings import ServerSettings
from tests.benchmarks import harness

TABLE = Path(__file__).parents[1] / "moe_costmodel" / "plans" / "data" / "engine_flags.json"
# Classes whose names are not that of the architecture, among them those of the same models with
# images, without "ForCausalLM" and "ForConditionalGeneration".
CLASSES = {
    "bailing_moe": ["BailingMoeV2", "BailingMoe"],
    "hunyuan_v1_moe": ["HunYuanMoEV1", "HunYuanMoE"],
    "kimi_k2": ["DeepseekV3"],
    "llama4_text": ["Llama4"],
    "minimax": ["MiniMax", "MiniMaxText01", "MiniMaxM1"],
    "minimax_m3": ["MiniMaxM3Sparse"],
    "mistral4": ["Mistral3"],
    "step3p5": ["Step3p5", "Step3p7"],
}
KINDS = {"int": "int", "float": "float", "str": "str", "bool": "flag"}
About = dict[str, Any]
Flags = dict[str, About]


def cases() -> Iterator[ServerSettings]:
    """Yield settings that together use every flag of our exports."""
    more = {"model": "m", "sequences": 64, "chunk_tokens": 2048, "context": 5120, "kv_dtype": "fp8"}
    experts = {"n_experts": 64, "k": 8, "n_moe_layers": 16}
    yield ServerSettings(layout=Layout(dp=16, moe_ep=16), redundant_experts=16, **more, **experts)
    yield ServerSettings(layout=Layout(tp=16, moe_ep=16), **more, **experts)
    yield ServerSettings(layout=Layout(tp=2, dp=2, moe_ep=4, pp=2), redundant_experts=4,
                         location=Path("map.json"), role="decode", **more, **experts)  # fmt: skip
    yield ServerSettings(layout=Layout(tp=2, moe_tp=2, pp=2), role="prefill", **more, **experts)
    yield ServerSettings(layout=Layout(tp=2, moe_tp=2), **more, **experts)
    yield ServerSettings(layout=Layout(pp=2), **more, **experts)
    for size in (1e6, 0.0):
        yield ServerSettings(layout=Layout(), resident_experts=32, expert_bytes=size,
                             **more, **experts)  # fmt: skip


def used(engine: str) -> list[str]:
    """Return all flags that our exports to an engine can hold."""
    flags: set[str] = set()
    with tempfile.TemporaryDirectory() as folder:
        for settings in cases():
            try:
                export = engine_command(settings, engine, folder)
            except ValueError:
                continue  # the engine cannot express this one
            flags |= {word for word in export.flags if word.startswith("--")}
    return sorted(flags)


# --------------------------------------------------------------------------------------- packages


def fetch(package: str, folder: Path) -> Path:
    """Download a package from PyPI, without its dependencies, unless it is in the folder."""
    if not (folder / package).is_dir():
        binary = ["--only-binary", ":all:", "--python-version", "3.12"]
        for minor in (28, 31, 34, 35):
            binary += ["--platform", f"manylinux_2_{minor}_x86_64"]
        words = ["--no-binary", ":all:"] if package == "llama-cpp-python" else binary
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *words]
        subprocess.run([*command, "-d", str(folder / package), package], check=True)
    return next((folder / package).iterdir())


def sources(path: Path, wanted: str) -> list[str]:
    """Return the texts of a package's files whose names match."""
    if path.suffix == ".whl":
        with ZipFile(path) as archive:
            names = [name for name in archive.namelist() if re.search(wanted, name)]
            return [archive.read(name).decode("utf-8-sig") for name in names]
    with tarfile.open(path) as archive:
        members = [member for member in archive if re.search(wanted, member.name)]
        return [archive.extractfile(member).read().decode() for member in members]


def pypi(path: Path) -> str:
    name, version, *_ = path.name.removesuffix(".tar.gz").split("-")
    return f"{name.replace('_', '-')} {version} (PyPI)"


# ------------------------------------------------------------------------------------------ flags


def nodes(texts: Iterable[str], *kinds: type[ast.AST]) -> Iterator[Any]:
    """Yield the nodes of these kinds of all texts."""
    for text in texts:
        yield from (node for node in ast.walk(ast.parse(text)) if isinstance(node, kinds))


def words_of(node: ast.AST | None) -> list[str]:
    """Return the texts of a literal list, empty if it is none."""
    try:
        value = ast.literal_eval(node) if node is not None else []
    except ValueError:
        return []
    return [str(v) for v in value] if isinstance(value, list | tuple) else []


def kind_of(annotation: str) -> About:
    """Return the kind of value, and its choices, of an annotation such as Optional[int]."""
    literal = re.search(r"Literal\[(.*?)\]", annotation)
    if literal:
        return {"kind": "str", "choices": re.findall(r"'([^']*)'", literal.group(1))}
    word = re.search(r"\b(int|float|bool|str)\b", annotation)
    return {"kind": KINDS[word.group(1)] if word else "str"}


def with_choices(about: About, given: dict[str | None, ast.expr]) -> About:
    choices = words_of(given.get("choices"))
    return about | ({"choices": choices} if choices else {})


def declared(texts: Iterable[str]) -> Flags:
    """Return the flags of SGLang's annotated fields."""
    found: Flags = {}
    for node in nodes(texts, ast.AnnAssign):
        kinds = getattr(getattr(node.annotation, "slice", None), "elts", None)
        if not kinds or not isinstance(node.target, ast.Name):
            continue
        names, about = ["--" + node.target.id.replace("_", "-")], kind_of(ast.unparse(kinds[0]))
        for call in (one for one in kinds[1:] if isinstance(one, ast.Call)):
            given = {k.arg: k.value for k in call.keywords}
            names = words_of(ast.List([given["cli_name"]])) if "cli_name" in given else names
            names = [] if "no_cli" in given else names + words_of(given.get("aliases"))
            about = with_choices(about, given)
        found |= dict.fromkeys(names, about)
    return found


def added(texts: Iterable[str], kinds: Flags | None = None) -> Flags:
    """Return the flags of calls of `add_argument` or `click.option`.

    `kinds` holds what fields of configurations say, for flags that are added by their field.
    """
    found: Flags = {}
    for node in nodes(texts, ast.Call):
        if getattr(node.func, "attr", "") not in ("add_argument", "option"):
            continue
        names = [str(a.value) for a in node.args if isinstance(a, ast.Constant)]
        given = {k.arg: k.value for k in node.keywords}
        about = kind_of(ast.unparse(given["type"])) if "type" in given else {"kind": "str"}
        if "store" in ast.unparse(given.get("action", ast.Constant(""))) or "is_flag" in given:
            about = {"kind": "flag"}
        about = with_choices(about, given)
        # vLLM: --flag, **group_kwargs["field"]
        field = re.search(r"\['(\w+)'\]", ast.unparse(given[None])) if None in given else None
        about = (kinds or {}).get(field.group(1), about) if field else about
        found |= dict.fromkeys([name for name in names if name.startswith("--")], about)
    return found


def fields(texts: list[str]) -> Flags:
    """Return the kinds of the annotated fields of vLLM's configurations."""
    alias = {ast.unparse(n.targets[0]): ast.unparse(n.value) for n in nodes(texts, ast.Assign)}
    found: Flags = {}
    for node in nodes(texts, ast.AnnAssign):
        annotation = ast.unparse(node.annotation)
        text = alias.get(annotation.partition(" ")[0], annotation)
        found.setdefault(ast.unparse(node.target), kind_of(text))
    return found


def from_readme(text: str) -> Flags:
    """Return the flags of the tables in llama.cpp's README of its server."""
    found: Flags = {}
    for cell in re.findall(r"^\| `(-[^`]*)` \|", text, flags=re.MULTILINE):
        value = cell.split()[-1]
        about: About = {"kind": "flag" if value[0] == "-" else "int" if value == "N" else "str"}
        if value.startswith("{"):
            about["choices"] = value.strip("{}").split(",")
        found |= dict.fromkeys(re.findall(r"(?<!\S)--[\w-]+", cell), about)
    return found


# ---------------------------------------------------------------------------------- architectures


def stem(name: str) -> str:
    """Return the part of a class's name that engines spell alike."""
    return re.sub("For(CausalLM|ConditionalGeneration)$", "", name).lower().replace("_", "")


def served(names: Iterable[str]) -> list[str]:
    """Return the architectures whose classes are among some names."""
    known = {stem(name) for name in names}
    return sorted(
        key for key in ARCHITECTURES if known & {stem(n) for n in CLASSES.get(key, [key])}
    )


def entries(texts: Iterable[str]) -> set[str]:
    """Return the classes that SGLang's files of models name as their entries."""
    assigned = [n for n in nodes(texts, ast.Assign) if ast.unparse(n.targets[0]) == "EntryClass"]
    return {n.id for a in assigned for n in ast.walk(a.value) if isinstance(n, ast.Name)}


def registered(texts: Iterable[str], *tables: str) -> set[str]:
    """Return the names of classes in some tables of vLLM's registry of models."""
    found: set[str] = set()
    for node in nodes(texts, ast.Assign, ast.AnnAssign):
        target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
        if ast.unparse(target) in tables:
            found |= {str(k.value) for k in node.value.keys if isinstance(k, ast.Constant)}
    return found


def with_trait(texts: Iterable[str], trait: str, entered: set[str]) -> list[str]:
    """Return the architectures with an entered class that has a base or a method of this name.

    Bases of bases count, too.
    """
    bases: dict[str, set[str]] = {}
    for node in nodes(texts, ast.ClassDef):
        own = {n.name for n in node.body if isinstance(n, ast.FunctionDef)}
        own |= {ast.unparse(base).rpartition(".")[2] for base in node.bases}
        bases.setdefault(node.name, set()).update(own)
    having, more = {trait}, {trait}
    while more:
        more = {name for name, own in bases.items() if own & having} - having
        having |= more
    return served(entered & having)


# ------------------------------------------------------------------------------------------ table


def row(source: str, engine: str, flags: Flags) -> About:
    """Return the row of an engine, with the flags that our exports use."""
    return {"source": source, "flags": {f: flags[f] for f in used(engine) if f in flags}}


def read(folder: Path, arguments: Namespace) -> dict[str, About]:
    """Return the table: of each engine its version, source, flags, and architectures."""
    found: dict[str, About] = json.loads(TABLE.read_text(encoding="utf-8"))
    for engine, package in (("sglang", "sglang"), ("ktransformers", "sglang-kt")):
        path = fetch(package, folder)
        texts = sources(path, r"srt/(arg_groups/fields/.*|server_args)\.py$")
        models = sources(path, r"srt/models/.*\.py$")
        # The dense model of this name has images; this class is the base of the one with experts.
        own = entries(models) - {"Qwen3_5ForCausalLM"}
        found[engine] = row(pypi(path), engine, declared(texts) | added(texts))
        if engine == "sglang":
            trait = "get_model_config_for_expert_location"
            found[engine]["reads_location"] = with_trait(models, trait, own)
        found[engine]["serves"] = served(own)
    path = fetch("vllm", folder)
    kinds = fields(sources(path, r"^vllm/config/\w+\.py$"))
    texts = sources(path, r"^vllm/(engine/arg_utils|entrypoints/(common/cli_args|cli/serve))\.py$")
    models = sources(path, r"^vllm/(models|model_executor/models)/.*\.py$")
    text = sources(path, r"^vllm/model_executor/models/registry\.py$")
    own = registered(text, "_TEXT_GENERATION_MODELS", "_MULTIMODAL_MODELS")
    others = registered(text, "_TRANSFORMERS_SUPPORTED_MODELS") - own
    found["vllm"] = row(pypi(path), "vllm", added(texts, kinds)) | {
        "redundant_experts": with_trait(models, "MixtureOfExperts", own),
        "serves": served(own),
        "by_transformers": served(others),
    }
    path = fetch("llama-cpp-python", folder)
    flags = from_readme("\n".join(sources(path, r"llama\.cpp/tools/server/README\.md$")))
    if set(used("llamacpp")) <= set(flags):
        found["llamacpp"] = row(f"llama.cpp in {pypi(path)}", "llamacpp", flags)
    texts = sources(path, r"llama\.cpp/(conversion/\w+|convert_hf_to_gguf)\.py$")
    names = re.findall(r"ModelBase\.register\((.*?)\)", "\n".join(texts), flags=re.DOTALL)
    found["llamacpp"]["serves"] = served(re.findall(r"\"(\w+)\"", " ".join(names)))
    if arguments.trtllm:
        code, models, revision = arguments.trtllm
        flags = added([Path(code).read_text(encoding="utf-8")])
        source = f"TensorRT-LLM, tensorrt_llm/commands/serve.py at {revision}"
        listed = re.findall(r"^\| `(\w+)`", Path(models).read_text(encoding="utf-8"), re.MULTILINE)
        found["trtllm"] = row(source, "trtllm", flags) | {"serves": served(listed)}
    return found


def main() -> None:
    parser = harness.script_parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="compare with the committed table")
    parser.add_argument("--packages", type=Path, help="folder to download into")
    files = ("serve.py", "supported-models.md", "REVISION")
    parser.add_argument("--trtllm", nargs=3, metavar=files, help="files of TensorRT-LLM")
    arguments = parser.parse_args()
    found = json.loads(TABLE.read_text(encoding="utf-8"))
    if not arguments.quick:
        with tempfile.TemporaryDirectory() as scratch:
            found = read(arguments.packages or Path(scratch), arguments)
        # One line a flag.
        one_line = re.compile(r"\{\s*(\"kind\"[^}]*?)\s*\}")
        text = one_line.sub(lambda m: f"{{{' '.join(m[1].split())}}}", json.dumps(found, indent=1))
        TABLE.write_text(text + "\n", encoding="utf-8")
    for engine, about in found.items():
        flags = used(engine)
        unknown = [flag for flag in flags if flag not in about["flags"]]
        print(f"{engine}: {about['source']}; unknown: {', '.join(unknown) or 'none'}")
        known = f"{len(flags) - len(unknown)} of {len(flags)}"
        harness.bar(f"flags of our exports that {engine} knows", known, "all")


if __name__ == "__main__":
    main()
