"""Flags of serving engines, read from their packages on PyPI, for the tests of exports.

`python -m tests.benchmarks.engine_flags` downloads SGLang, vLLM, KTransformers' SGLang and
llama-cpp-python (600 MB, without dependencies), and reads their command lines from the sources by
`ast`. It writes `tests/moe_costmodel/plans/data/engine_flags.json`: of each engine its version, the
flags that our exports use, the architectures that it serves, and those whose models read a
placement of experts. Nothing of the packages is run. TensorRT-LLM's package on PyPI holds no
sources, and llama-cpp-python lacks the newest flags of llama.cpp: `--trtllm serve.py`,
`--trtllm-models supported-models.md` and `--llamacpp README.md` take those files from their
repositories; without them the rows of the committed table are kept.

Ends with one line an engine: `bar: flags of our exports that ENGINE knows, N of N, all`.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from zipfile import ZipFile

from moe_costmodel import Layout
from moe_costmodel.plans.engines.registry import engine_command
from moe_costmodel.plans.engines.settings import ServerSettings

TABLE = Path(__file__).parents[1] / "moe_costmodel" / "plans" / "data" / "engine_flags.json"
PACKAGES = {"sglang": "sglang", "vllm": "vllm", "ktransformers": "sglang-kt",
            "llamacpp": "llama-cpp-python"}  # fmt: skip
CLASSES = {
    "mixtral": "MixtralForCausalLM", "olmoe": "OlmoeForCausalLM",
    "qwen2_moe": "Qwen2MoeForCausalLM", "qwen3_moe": "Qwen3MoeForCausalLM",
    "qwen3_next": "Qwen3NextForCausalLM", "qwen3_5_moe": "Qwen3_5MoeForConditionalGeneration",
    "deepseek_v2": "DeepseekV2ForCausalLM", "deepseek_v3": "DeepseekV3ForCausalLM",
    "deepseek_v32": "DeepseekV32ForCausalLM", "kimi_k2": "DeepseekV3ForCausalLM",
    "glm4_moe": "Glm4MoeForCausalLM", "glm4_moe_lite": "Glm4MoeLiteForCausalLM",
    "glm_moe_dsa": "GlmMoeDsaForCausalLM", "minimax_m2": "MiniMaxM2ForCausalLM",
    "gpt_oss": "GptOssForCausalLM", "bailing_moe": "BailingMoeV2ForCausalLM",
    "dots1": "Dots1ForCausalLM", "ernie4_5_moe": "Ernie4_5_MoeForCausalLM",
    "exaone_moe": "ExaoneMoeForCausalLM", "flex_olmo": "FlexOlmoForCausalLM",
    "granitemoe": "GraniteMoeForCausalLM", "granitemoeshared": "GraniteMoeSharedForCausalLM",
    "hunyuan_v1_moe": "HunYuanMoEV1ForCausalLM", "llama4_text": "Llama4ForCausalLM",
    "phimoe": "PhiMoEForCausalLM", "solar_open": "SolarOpenForCausalLM",
    "deepseek_v4": "DeepseekV4ForCausalLM", "mimo_v2_flash": "MiMoV2FlashForCausalLM",
    "minimax_m3": "MiniMaxM3SparseForCausalLM", "nemotron_h": "NemotronHForCausalLM",
    "gemma4": "Gemma4ForCausalLM", "kimi_linear": "KimiLinearForCausalLM",
    "kimi_k3": "KimiK3ForConditionalGeneration", "step3p5": "Step3p5ForCausalLM",
    "glm5_next": "Glm5NextForConditionalGeneration",
    "mistral4": "Mistral3ForConditionalGeneration", "hy_v3": "HYV3ForCausalLM",
    "afmoe": "AfmoeForCausalLM", "axk1": "AXK1ForCausalLM",
    "cohere2_moe": "Cohere2MoeForCausalLM", "granitemoe_swa": "GraniteMoeSWAForCausalLM",
    "granitemoehybrid": "GraniteMoeHybridForCausalLM", "hy_v4": "HYV4ForCausalLM",
    "jamba": "JambaForCausalLM", "laguna": "LagunaForCausalLM", "lfm2_moe": "Lfm2MoeForCausalLM",
    "llama": "LlamaForCausalLM", "longcat_flash": "LongcatFlashForCausalLM",
    "mellum": "MellumForCausalLM", "minimax": "MiniMaxForCausalLM", "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM",
    "qwen3_5": "Qwen3_5ForConditionalGeneration", "sarvam_mla": "SarvamMLAForCausalLM",
    "sarvam_moe": "SarvamMoEForCausalLM", "minicpm5_moe": "MiniCPM5MoeForCausalLM",
    "param2moe": "Param2MoEForCausalLM",
}  # fmt: skip
# Other names of these classes, among them those of the same models with images.
OTHERS = {
    "bailing_moe": ["BailingMoeForCausalLM"],
    "hunyuan_v1_moe": ["HunYuanMoEForCausalLM"],
    "minimax": ["MiniMaxText01ForCausalLM", "MiniMaxM1ForCausalLM"],
    "step3p5": ["Step3p7ForConditionalGeneration"],
}
KINDS = {"int": "int", "float": "float", "str": "str", "bool": "flag"}
Flags = dict[str, dict[str, object]]


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
    if (folder / package).is_dir():
        return next((folder / package).iterdir())
    source = package == "llama-cpp-python"
    words = ["--no-binary", ":all:"] if source else [
        "--only-binary", ":all:", "--python-version", "3.12",
        *(w for n in (28, 31, 34, 35) for w in ("--platform", f"manylinux_2_{n}_x86_64")),
    ]  # fmt: skip
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *words]
    subprocess.run([*command, "-d", str(folder / package), package], check=True)
    return next((folder / package).iterdir())


def sources(path: Path, wanted: str) -> dict[str, str]:
    """Return the texts of a package's files whose names match."""
    if path.suffix == ".whl":
        with ZipFile(path) as archive:
            names = [n for n in archive.namelist() if re.search(wanted, n)]
            return {n: archive.read(n).decode("utf-8-sig") for n in names}
    found = {}
    with tarfile.open(path) as archive:
        for member in archive:
            if re.search(wanted, member.name):
                file = archive.extractfile(member)
                assert file is not None
                found[member.name] = file.read().decode()
    return found


def version(path: Path) -> str:
    return path.name.split("-")[1].removesuffix(".tar.gz")


def words_of(node: ast.AST | None) -> list[str]:
    """Return the texts of a literal list, empty if it is none."""
    try:
        value = ast.literal_eval(node) if node is not None else []
    except ValueError:
        return []
    return [str(v) for v in value] if isinstance(value, list | tuple) else []


def kind_of(annotation: str) -> dict[str, object]:
    """Return the kind of value, and its choices, of an annotation such as Optional[int]."""
    literal = re.search(r"Literal\[(.*?)\]", annotation)
    if literal:
        return {"kind": "str", "choices": re.findall(r"'([^']*)'", literal.group(1))}
    word = re.search(r"\b(int|float|bool|str)\b", annotation)
    return {"kind": KINDS[word.group(1)] if word else "str"}


def declared(texts: Iterable[str]) -> Flags:
    """Return the flags of SGLang's annotated fields."""
    found: Flags = {}
    nodes = (n for text in texts for n in ast.walk(ast.parse(text)))
    for node in nodes:
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        subscript = node.annotation
        if not isinstance(subscript, ast.Subscript) or not isinstance(subscript.slice, ast.Tuple):
            continue
        kind, *others = subscript.slice.elts
        names, about = ["--" + node.target.id.replace("_", "-")], kind_of(ast.unparse(kind))
        for call in others:
            if isinstance(call, ast.Call):
                given = {k.arg: k.value for k in call.keywords}
                names = words_of(ast.List([given["cli_name"]])) if "cli_name" in given else names
                names = [] if "no_cli" in given else names + words_of(given.get("aliases"))
                choices = words_of(given.get("choices"))
                about |= {"choices": choices} if choices else {}
        found |= dict.fromkeys(names, about)
    return found


def added(texts: Iterable[str], kinds: dict[str, dict[str, object]] | None = None) -> Flags:
    """Return the flags of calls of `add_argument` or `click.option`.

    `kinds` holds what fields of configurations say, for flags that are added by their field.
    """
    found: Flags = {}
    for node in (n for text in texts for n in ast.walk(ast.parse(text))):
        name = node.func.attr if isinstance(node, ast.Call) and isinstance(
            node.func, ast.Attribute) else ""  # fmt: skip
        if not isinstance(node, ast.Call) or name not in ("add_argument", "option"):
            continue
        names = [a.value for a in node.args if isinstance(a, ast.Constant)]
        flags = [n for n in names if isinstance(n, str) and n.startswith("--")]
        given = {k.arg: k.value for k in node.keywords}
        about: dict[str, object] = {"kind": "str"}
        if "type" in given:
            about = kind_of(ast.unparse(given["type"]))
        if "store" in ast.unparse(given.get("action", ast.Constant(""))) or "is_flag" in given:
            about = {"kind": "flag"}
        choices = words_of(given.get("choices"))
        about |= {"choices": choices} if choices else {}
        # vLLM: --flag, **group_kwargs["field"]
        field = re.search(r"\['(\w+)'\]", ast.unparse(given[None])) if None in given else None
        if field and kinds and field.group(1) in kinds:
            about = kinds[field.group(1)]
        found |= dict.fromkeys(flags, about)
    return found


def fields(texts: Iterable[str]) -> dict[str, dict[str, object]]:
    """Return the kinds of the annotated fields of vLLM's configurations."""
    nodes = [n for text in texts for n in ast.walk(ast.parse(text))]
    alias = {
        ast.unparse(n.targets[0]): ast.unparse(n.value) for n in nodes if isinstance(n, ast.Assign)
    }
    found = {}
    for node in nodes:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            annotation = ast.unparse(node.annotation)
            text = alias.get(annotation.partition(" ")[0], annotation)
            found.setdefault(node.target.id, kind_of(text))
    return found


def from_readme(text: str) -> Flags:
    """Return the flags of the tables in llama.cpp's README of its server."""
    found: Flags = {}
    for cell in re.findall(r"^\| `(-[^`]*)` \|", text, flags=re.MULTILINE):
        names = re.findall(r"(?<!\S)--[\w-]+", cell)
        value = "" if cell.split()[-1].startswith("-") else cell.split()[-1]
        about: dict[str, object] = {"kind": "str" if value else "flag"}
        if value == "N":
            about = {"kind": "int"}
        if value.startswith("{"):
            about["choices"] = value.strip("{}").split(",")
        found |= dict.fromkeys(names, about)
    return found


def stem(name: str) -> str:
    """Return the part of a class's name that engines spell alike."""
    return re.sub("For(CausalLM|ConditionalGeneration)$", "", name).lower()


def served(names: Iterable[str]) -> list[str]:
    """Return the architectures whose classes are among some names."""
    known = {stem(name) for name in names}
    return sorted(
        key
        for key, name in CLASSES.items()
        if known & {stem(other) for other in (name, *OTHERS.get(key, ()))}
    )


def entries(texts: Iterable[str]) -> set[str]:
    """Return the classes that SGLang's files of models name as their entries."""
    found = set()
    for node in (n for text in texts for n in ast.parse(text).body):
        targets = node.targets if isinstance(node, ast.Assign) else []
        if any(ast.unparse(target) == "EntryClass" for target in targets):
            found |= {n.id for n in ast.walk(node.value) if isinstance(n, ast.Name)}
    return found


def registered(text: str) -> dict[str, set[str]]:
    """Return the names of classes in each table of vLLM's registry of models."""
    found = {}
    for node in ast.parse(text).body:
        value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
        if isinstance(value, ast.Dict):
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            keys = [key.value for key in value.keys if isinstance(key, ast.Constant)]
            found[ast.unparse(target)] = {key for key in keys if isinstance(key, str)}
    return found


def converted(texts: Iterable[str]) -> set[str]:
    """Return the classes that llama.cpp converts: `@ModelBase.register("MixtralForCausalLM")`."""
    found: set[str] = set()
    for text in texts:
        for names in re.findall(r"ModelBase\.register\((.*?)\)", text, flags=re.DOTALL):
            found |= set(re.findall(r"\"(\w+)\"", names))
    return found


def with_trait(texts: Iterable[str], trait: str) -> list[str]:
    """Return the architectures whose class, or one that it derives from, has a trait.

    The trait is a base class, or a method.
    """
    bases: dict[str, set[str]] = {}
    for node in (n for text in texts for n in ast.walk(ast.parse(text))):
        if isinstance(node, ast.ClassDef):
            methods = {n.name for n in node.body if isinstance(n, ast.FunctionDef)}
            named = {ast.unparse(base).rpartition(".")[2] for base in node.bases}
            bases[node.name] = bases.get(node.name, set()) | methods | named

    def has(name: str, seen: frozenset[str] = frozenset()) -> bool:
        return name == trait or any(
            has(base, seen | {name}) for base in bases.get(name, ()) if base not in seen
        )

    return sorted(key for key, name in CLASSES.items() if has(name))


def read(folder: Path, arguments: argparse.Namespace) -> dict[str, dict[str, object]]:
    """Return the table: of each engine its version, source, flags, and architectures."""
    found: dict[str, dict[str, object]] = {}
    path = fetch("sglang", folder)
    texts = sources(path, r"srt/(arg_groups/fields/.*|server_args)\.py$").values()
    models = list(sources(path, r"srt/models/.*\.py$").values())
    trait = "get_model_config_for_expert_location"
    found["sglang"] = row(
        f"sglang {version(path)} (PyPI)", "sglang", declared(texts) | added(texts)
    )
    found["sglang"]["reads_location"] = with_trait(models, trait)
    found["sglang"]["serves"] = served(entries(models))
    path = fetch("vllm", folder)
    kinds = fields(sources(path, r"^vllm/config/\w+\.py$").values())
    texts = sources(path, r"^vllm/(engine/arg_utils|entrypoints/common/cli_args)\.py$").values()
    models = sources(path, r"^vllm/(models|model_executor/models)/.*\.py$").values()
    headless = added(sources(path, r"^vllm/entrypoints/cli/serve\.py$").values())
    flags = headless | added(texts, kinds)
    found["vllm"] = row(f"vllm {version(path)} (PyPI)", "vllm", flags)
    found["vllm"]["redundant_experts"] = with_trait(models, "MixtureOfExperts")
    (text,) = sources(path, r"^vllm/model_executor/models/registry\.py$").values()
    tables = registered(text)
    own = tables["_TEXT_GENERATION_MODELS"] | tables["_MULTIMODAL_MODELS"]
    found["vllm"]["serves"] = served(own)
    found["vllm"]["by_transformers"] = served(tables["_TRANSFORMERS_SUPPORTED_MODELS"] - own)
    path = fetch("sglang-kt", folder)
    flags = added(sources(path, r"srt/server_args\.py$").values())
    found["ktransformers"] = row(f"sglang-kt {version(path)} (PyPI)", "ktransformers", flags)
    models = sources(path, r"srt/models/.*\.py$").values()
    found["ktransformers"]["serves"] = served(entries(models))
    committed = json.loads(TABLE.read_text(encoding="utf-8")) if TABLE.is_file() else {}
    found["llamacpp"] = committed.get("llamacpp", {})
    path = fetch("llama-cpp-python", folder)
    texts = sources(path, r"llama\.cpp/tools/server/README\.md$").values()
    source = f"llama.cpp in llama-cpp-python {version(path)} (PyPI)"
    flags = from_readme("\n".join(texts))
    if arguments.llamacpp:
        newer = from_readme(Path(arguments.llamacpp).read_text(encoding="utf-8"))
        new = [flag for flag in used("llamacpp") if flag not in flags and flag in newer]
        source += f"; {', '.join(new)}: {arguments.llamacpp_source}"
        flags = newer | flags
    if arguments.llamacpp or not found["llamacpp"]:
        found["llamacpp"] = row(source, "llamacpp", flags)
    texts = sources(path, r"llama\.cpp/(conversion/\w+|convert_hf_to_gguf)\.py$").values()
    found["llamacpp"]["serves"] = served(converted(texts))
    found["trtllm"] = committed.get("trtllm", {})
    if arguments.trtllm:
        text = Path(arguments.trtllm).read_text(encoding="utf-8")
        kept = found["trtllm"].get("serves", [])
        found["trtllm"] = row(arguments.trtllm_source, "trtllm", added([text])) | {"serves": kept}
    if arguments.trtllm_models:
        text = Path(arguments.trtllm_models).read_text(encoding="utf-8")
        found["trtllm"]["serves"] = served(re.findall(r"^\| `(\w+)`", text, flags=re.MULTILINE))
    return found


def row(source: str, engine: str, flags: Flags) -> dict[str, object]:
    """Return the row of an engine, with the flags that our exports use."""
    return {"source": source, "flags": {f: flags[f] for f in used(engine) if f in flags}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="compare with the committed table")
    parser.add_argument("--packages", type=Path, help="folder to download into")
    parser.add_argument("--trtllm", help="tensorrt_llm/commands/serve.py")
    parser.add_argument("--trtllm-source", default="TensorRT-LLM, tensorrt_llm/commands/serve.py")
    parser.add_argument("--trtllm-models", help="docs/source/models/supported-models.md")
    parser.add_argument("--llamacpp", help="tools/server/README.md")
    parser.add_argument("--llamacpp-source", default="llama.cpp, tools/server/README.md")
    arguments = parser.parse_args()
    if arguments.quick:
        found = json.loads(TABLE.read_text(encoding="utf-8"))
    else:
        with tempfile.TemporaryDirectory() as scratch:
            found = read(arguments.packages or Path(scratch), arguments)
        TABLE.parent.mkdir(exist_ok=True)
        text = json.dumps(found, indent=1)
        # One line a flag.
        text = re.sub(
            r"\{\s*(\"kind\"[^}]*?)\s*\}", lambda m: "{" + " ".join(m[1].split()) + "}", text
        )
        TABLE.write_text(text + "\n", encoding="utf-8")
    for engine, about in found.items():
        flags = used(engine)
        unknown = [flag for flag in flags if flag not in about.get("flags", {})]
        known = len(flags) - len(unknown)
        words = f" (unknown: {', '.join(unknown)})" if unknown else ""
        print(f"{engine}: {about.get('source', 'no source')}{words}")
        print(f"bar: flags of our exports that {engine} knows, {known} of {len(flags)}, all")


if __name__ == "__main__":
    main()
