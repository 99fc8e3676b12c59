import base64
import json

import numpy as np
import pytest

from moe_costmodel import RoutingTrace
from moe_costmodel.traces.files import load_trace, read_trace
from moe_costmodel.traces.recorders.client import address_of
from moe_costmodel.traces.recorders.recorded import Sizes
from moela.cli import main

# 5 tokens (3 of the prompt), 2 layers, 2 of 6 experts each.
IDS = np.array(
    [[[0, 1], [2, 3]], [[4, 5], [0, 1]], [[1, 0], [5, 2]], [[3, 2], [1, 4]], [[0, 5], [2, 1]]]
)


def encoded(ids, dtype):
    return base64.b64encode(ids.astype(dtype).tobytes()).decode()


def vllm(ids=IDS, n_prompt=3):
    return {
        "prompt_routed_experts": ids[:n_prompt].tolist(),
        "choices": [{"index": 0, "text": "x", "routed_experts": ids[n_prompt:].tolist()}],
    }


def vllm_base64(ids=IDS):
    data = {"encoding": "base64", "dtype": "int16", "shape": list(ids.shape)}
    return {"choices": [{"routed_experts": {**data, "data": encoded(ids, "<i2")}}]}


def sglang(ids=IDS):
    return {"text": "x", "meta_info": {"routed_experts": encoded(ids, "<i4")}}


def sglang_choice(ids=IDS):
    return {"choices": [{"text": "x", "sgl_ext": {"routed_experts": encoded(ids, "<i4")}}]}


def lab_lines(ids=IDS):
    head = {"record_type": "metadata", "format": "moe-cache-lab.routing-jsonl", "format_version": 1,
            "model_id": "m", "num_experts": 8}  # fmt: skip
    events = [
        {"record_type": "routing_selection", "phase": "generated", "token_position": token,
         "layer": 3 * layer, "selected_experts": ids[token, layer].tolist(),
         "selected_probabilities": [0.5, 0.25]}
        for token in range(len(ids)) for layer in range(ids.shape[1])
    ]  # fmt: skip
    return "\n".join(json.dumps(line) for line in [head, *events])


def llama_rows(ids=IDS, n_prompt=3):
    rows = ["layer,expert"]
    passes = [ids[:n_prompt], *(ids[i : i + 1] for i in range(n_prompt, len(ids)))]
    for tokens in passes:
        for layer in range(ids.shape[1]):
            rows += [f"{layer + 1},{expert}" for expert in tokens[:, layer].ravel()]
    return "\n".join(rows) + "\n"


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("a.json", json.dumps(vllm()), "vLLM response"),
        ("b.json", json.dumps(vllm_base64()), "vLLM response"),
        ("c.json", json.dumps(sglang()), "SGLang response"),
        ("d.jsonl", json.dumps(sglang_choice()), "SGLang response"),
        ("e.jsonl", lab_lines(), "moe-cache-lab JSON lines"),
        ("f.csv", llama_rows(), "llama.cpp CSV"),
    ],
)
def test_the_format_is_found(tmp_path, name, text, kind):
    path = tmp_path / name
    path.write_text(text)
    trace, found = read_trace(path, sizes=Sizes(n_layers=2, k=2))
    assert found == kind
    assert np.array_equal(trace.topk_ids, IDS)
    assert trace.sequence_lengths.tolist() == [5]
    assert trace.has_weights == (name == "e.jsonl")


def test_layers_and_experts_of_the_model(tmp_path):
    (tmp_path / "e.jsonl").write_text(lab_lines())
    trace = load_trace(tmp_path / "e.jsonl")
    assert trace.layers.tolist() == [0, 3]
    assert trace.n_experts == 8
    (tmp_path / "f.csv").write_text(llama_rows())
    trace = load_trace(tmp_path / "f.csv", sizes=Sizes(n_experts=16))
    assert trace.layers.tolist() == [1, 2]
    assert trace.n_experts == 16


def test_several_responses_are_several_sequences(tmp_path):
    path = tmp_path / "r.jsonl"
    path.write_text("\n".join(json.dumps(r) for r in (vllm(), vllm(IDS[::-1], 2), vllm_base64())))
    assert RoutingTrace.load(path).sequence_lengths.tolist() == [5, 5, 5]
    path = tmp_path / "r.json"
    path.write_text(json.dumps([vllm(), vllm()], indent=1))
    assert RoutingTrace.load(path).sequence_lengths.tolist() == [5, 5]


def test_a_csv_with_two_prompts_is_two_sequences(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(llama_rows() + llama_rows().removeprefix("layer,expert\n"))
    assert RoutingTrace.load(path).sequence_lengths.tolist() == [5, 5]


def test_arrays_and_load_lines(tmp_path):
    np.save(tmp_path / "a.npy", IDS.astype(np.int16))
    trace, kind = read_trace(tmp_path / "a.npy")
    assert np.array_equal(trace.topk_ids, IDS)
    assert kind == "array of routed experts"
    counts = [[[1, 2, 0], [0, 3, 0]], [[2, 0, 1], [1, 1, 1]]]
    (tmp_path / "l.jsonl").write_text("\n".join(json.dumps({"expert_load": c}) for c in counts))
    trace, kind = read_trace(tmp_path / "l.jsonl")
    assert trace.is_load_only
    assert trace.loads().tolist() == counts
    assert kind == "vLLM load lines"


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"n_experts": 2}, r"sizes\.n_experts.* the 3 that .*l\.jsonl holds.*Got 2"),
        ({"n_experts": 4}, r"sizes\.n_experts.* the 3 that .*l\.jsonl holds.*Got 4"),
        ({"n_layers": 3}, r"sizes\.n_layers.* the 2 that"),
        ({"k": 2}, r"sizes\.k.*a divisor of each layer's load in .*l\.jsonl, 3\.0 at \(0, 0\)"),
    ],
)
def test_sizes_that_a_file_contradicts_are_named(tmp_path, sizes, words):
    counts = [[[1, 2, 0], [0, 3, 0]], [[2, 0, 1], [1, 1, 1]]]
    path = tmp_path / "l.jsonl"
    path.write_text("\n".join(json.dumps({"expert_load": c}) for c in counts))
    with pytest.raises(ValueError, match=words):
        read_trace(path, sizes=Sizes(**sizes))
    read_trace(path, sizes=Sizes(n_experts=3, n_layers=2, k=3))


@pytest.mark.parametrize("name", ["t.npz", "t.jsonl"])
def test_sizes_of_choices_are_compared_too(tmp_path, name):
    path = tmp_path / name
    path.write_text(lab_lines()) if name == "t.jsonl" else RoutingTrace(IDS, n_experts=6).save(path)
    held = read_trace(path)[0]
    good = {"n_experts": held.n_experts, "n_layers": 2, "k": 2}
    assert read_trace(path, sizes=Sizes(**good))[0].n_experts == held.n_experts
    for field in good:
        with pytest.raises(ValueError, match=rf"sizes\.{field}' .*the {good[field]} that"):
            read_trace(path, sizes=Sizes(**good | {field: 1}))


BAD = {
    "no.json": (json.dumps({"choices": [{"text": "x"}]}), "--enable-return-routed-experts"),
    "k.json": (
        json.dumps([vllm(), vllm(IDS[:, :, :1])]),
        r"\[1\]\..*'.* must be of 2 layers and k = 2",
    ),
    "beyond.json": (json.dumps(vllm()), "expert 5"),
    "ragged.json": (
        json.dumps({"routed_experts": [[[1, 2], [3]]]}),
        "routed_experts.*must be",
    ),
    "beyond.csv": (llama_rows(), "expert 5"),
    "flat.json": (json.dumps(sglang()), "--layers, --top-k"),
    "damaged.json": (json.dumps({"meta_info": {"routed_experts": "%%%"}}), "base64"),
    "other.csv": ("time,price\n1,2\n", "line 1.*layer,expert"),
    "loads.jsonl": ('{"expert_load": [[1]]}\n{"expert_load": [[1, 2]]}', "like the first"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_named(tmp_path, name):
    text, words = BAD[name]
    path = tmp_path / name
    path.write_text(text)
    sizes = Sizes(n_experts=5) if name.startswith("beyond") else None
    with pytest.raises(ValueError, match=words) as error:
        load_trace(path, sizes=sizes)
    assert name in str(error.value)


# --------------------------------------------------------------------------------------- client


def record(tmp_path, url, *words):
    prompts = tmp_path / "p.txt"
    prompts.write_text("one prompt\n\nanother\n")
    out = tmp_path / "t.npz"
    return main(["trace", "record", "--url", url, "--prompts", str(prompts), *words, str(out)])


MODELS = json.dumps({"data": [{"id": "model"}]}).encode()


@pytest.mark.parametrize("routed", [vllm, sglang_choice])
def test_record_asks_a_server(serve, tmp_path, routed, capsys):
    kind, url = serve(body=MODELS, routed=staticmethod(routed))
    assert record(tmp_path, url, "--layers", "2", "--top-k", "2", "--experts", "8") == 0
    trace = RoutingTrace.load(tmp_path / "t.npz")
    assert trace.sequence_lengths.tolist() == [5, 5]
    assert trace.n_experts == 8
    assert "response" in capsys.readouterr().out
    assert [(path, content["prompt"]) for path, content in kind.posted] == [
        ("/v1/completions", "one prompt"),
        ("/v1/completions", "another"),
    ]
    assert all(content["return_routed_experts"] is True for _, content in kind.posted)


def test_a_server_without_the_flag_is_asked_once(serve, tmp_path, capsys):
    kind, url = serve(body=MODELS, routed=lambda self: {"choices": [{"text": "x"}]})
    assert record(tmp_path, url) == 2
    assert "--enable-return-routed-experts" in capsys.readouterr().err
    assert len(kind.posted) == 1


def test_no_server_and_no_prompts(tmp_path, capsys):
    assert record(tmp_path, "http://127.0.0.1:9") == 2
    assert "no answer" in capsys.readouterr().err
    assert main(["trace", "record", "--url", "8000", str(tmp_path / "t.npz")]) == 2
    assert "--prompts" in capsys.readouterr().err


def test_addresses():
    assert address_of("8000") == "http://127.0.0.1:8000"
    assert address_of("localhost:9000/") == "http://localhost:9000"
    assert address_of("http://[::1]:8000") == "http://[::1]:8000"
    assert address_of("http://gpu7:8000") == "http://gpu7:8000"
    for url in ("gpu7:8000", "http://gpu7", "127.0.0.1.example.org"):
        with pytest.raises(ValueError, match="full address"):
            address_of(url)
    for url in ("file:///etc/passwd", "http://user@localhost:8000", "", "http://a:b"):
        with pytest.raises(ValueError, match="address"):
            address_of(url)
