import argparse
import json
from types import SimpleNamespace

import pytest

from moe_costmodel import RoutingTrace
from moela import cli
from moela.commands import measure
from moela.commands import trace as trace_command

COMMANDS = {"measure": measure, "trace": trace_command}

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from moe_costmodel.measure import kernels  # noqa: E402
from tests.moe_costmodel import tiny_models  # noqa: E402


def run(name, *words):
    parser = argparse.ArgumentParser()
    COMMANDS[name].configure(parser)
    COMMANDS[name].run(parser.parse_args([str(word) for word in words]))


def test_describe(trace, tmp_path, capsys):
    path = trace.save(tmp_path / "t.npz")
    picture = tmp_path / "d.png"
    options = ("--size", 2, "--against", path, "--plot", picture)
    run("trace", "describe", path, *options)
    printed = capsys.readouterr().out
    assert "2 layers of 8 experts, top-2" in printed
    assert "0.000 of the load moves" in printed
    run("trace", "describe", path, *options, "--json")
    content = json.loads(capsys.readouterr().out)
    assert content["drift"] == [0.0, 0.0]
    assert len(content["inactive"]) == 2
    assert picture.stat().st_size > 1000


def test_describe_the_example(capsys):
    run("trace", "describe")
    assert "6 layers of 32 experts, top-4" in capsys.readouterr().out


def test_convert(trace, tmp_path):
    source = tmp_path / "c.json"
    source.write_text(json.dumps({"logical_count": [[1, 2], [3, 4]]}))
    run("trace", "convert", source, tmp_path / "c.npz", "--uncompressed")
    assert RoutingTrace.load(tmp_path / "c.npz").loads().tolist() == [[[1, 2], [3, 4]]]


def test_record_excerpts_of_the_example(tmp_path):
    out = tmp_path / "r.npz"
    run("trace", "record", "example", out, "--sequences", 2, "--length", 40)
    assert RoutingTrace.load(out).sequence_lengths.tolist() == [40, 40]


def test_what_is_no_trace_and_has_no_sizes_is_named(tmp_path, assert_rejected):
    path = tmp_path / "empty.json"
    path.write_text("{}")
    assert_rejected(["trace", "describe", path], "'logical_count'", "Got an empty object")
    loads = RoutingTrace.from_counts([[[1, 2, 3]]]).save(tmp_path / "loads.npz")
    assert_rejected(["trace", "describe", loads, "--size", "2"], "--size must be left out")


def test_record_the_example_on_a_text(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("def double(x):\n    return 2 * x\n" * 8)
    out = tmp_path / "r.npz"
    options = ("--text", text, "--length", 40, "--sequences", 3)
    run("trace", "record", "example", out, *options)
    trace = RoutingTrace.load(out)
    assert trace.sequence_lengths.tolist() == [40, 40, 40]
    assert trace.has_weights
    with pytest.raises(ValueError, match="'model'"):
        run("trace", "record", "someone/some-model", out, "--text", text)


def save_tokenizer(folder):
    tokenizers = pytest.importorskip("tokenizers")
    words = {word: i for i, word in enumerate(["[UNK]", "a", "b", "c"])}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)


def test_record_a_saved_model(tmp_path):
    folder = tmp_path / "model"
    save_tokenizer(folder)
    tiny_models.build("mixtral").save_pretrained(folder)
    text = tmp_path / "text.txt"
    text.write_text("a b c a b c a")
    out = tmp_path / "r.npz"
    run("trace", "record", folder, out, "--text", text, "--length", 5)
    assert RoutingTrace.load(out).sequence_lengths.tolist() == [5, 2]


@pytest.mark.filterwarnings("ignore")  # the model's constructor warns
def test_record_both_halves_of_an_encoder_decoder_model(tmp_path):
    folder = tmp_path / "model"
    save_tokenizer(folder)
    tiny_models.switch().save_pretrained(folder)
    text = tmp_path / "text.txt"
    text.write_text("a b c a b c a")
    options = ("--text", text, "--length", 5, "--new-tokens", 3)
    run("trace", "record", folder, tmp_path / "e.npz", *options)
    assert RoutingTrace.load(tmp_path / "e.npz").sequence_lengths.tolist() == [5, 2]
    run("trace", "record", folder, tmp_path / "d.npz", *options, "--part", "decoder")
    assert RoutingTrace.load(tmp_path / "d.npz").sequence_lengths.tolist() == [4, 4]


def test_measure(tmp_path, capsys, monkeypatch):
    out = tmp_path / "k.json"
    # Time stands still, so that the budget lasts for every kind on a busy machine, too.
    monkeypatch.setattr(kernels, "time", SimpleNamespace(perf_counter=lambda: 0.0))
    options = ("--budget-s", 0.5, "--no-exchange", "--quiet", "--clock", "cpu")
    run("measure", "--out", out, "--shape", "4,2,16,8,gated", *options)
    assert "slow_to_fast" in capsys.readouterr().out
    content = json.loads(out.read_text())
    kinds = {record["kind"] for record in content["records"]}
    assert {"layer", "products", "gating", "copy", "rest", "buffered"} <= kinds
    assert all(len(record["repeats"]) >= 5 for record in content["records"])
    assert content["hardware"]["versions"]["torch"] == torch.__version__
    with pytest.raises(SystemExit):
        run("measure", "--shape", "4,2")


@pytest.mark.parametrize(("message", "said"), [((), "interrupted"), (("saved",), "saved")])
def test_an_interrupted_command_says_so(capsys, monkeypatch, message, said):
    def interrupted(arguments):
        raise KeyboardInterrupt(*message)

    monkeypatch.setattr(measure, "run", interrupted)
    assert cli.main(["measure"]) == 130
    assert capsys.readouterr().err == f"moela: {said}\n"
