"""Models saved in a folder: loaded whole, or refused with the name of the weight at fault."""

import json

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("tokenizers")

from safetensors.torch import load_file, save_file  # noqa: E402

from moe_costmodel.traces.saved_model import load_saved_model  # noqa: E402
from tests.moe_costmodel.tiny_models import build, switch  # noqa: E402


def saved(model, folder):
    import tokenizers
    import transformers

    words = tokenizers.models.WordLevel({"[UNK]": 0, "a": 1}, unk_token="[UNK]")
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizers.Tokenizer(words))
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    return folder


def weights(folder):
    (path,) = folder.glob("*.safetensors")
    return path, load_file(path)


# The second one has tied embeddings, which are saved once.
@pytest.mark.filterwarnings("ignore")  # the models' own constructors warn
@pytest.mark.parametrize("make", [lambda: build("mixtral"), switch])
def test_models_load_as_they_were_saved(tmp_path, make):
    model = make()
    loaded, tokenizer = load_saved_model(saved(model, tmp_path))
    assert tokenizer("a")["input_ids"][0] == 1
    before, after = model.state_dict(), loaded.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_missing_weights_are_not_drawn_at_random(tmp_path):
    path, tensors = weights(saved(build("mixtral"), tmp_path))
    tensors.pop("lm_head.weight")
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"'lm_head\.weight' must be saved in") as caught:
        load_saved_model(tmp_path)
    assert str(tmp_path / "config.json") in str(caught.value)
    assert str(path) in str(caught.value)


def test_damaged_weights_are_named(tmp_path):
    path, _ = weights(saved(build("mixtral"), tmp_path))
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(ValueError, match="safetensors: field 'header' must be a complete"):
        load_saved_model(tmp_path)


def test_sizes_that_differ_are_named(tmp_path):
    path = saved(build("mixtral"), tmp_path) / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["intermediate_size"] += 2
    path.write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(ValueError, match=r"down_proj' must be of the shape \(8, \d+, \d+\)"):
        load_saved_model(tmp_path)
