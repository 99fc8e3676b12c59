"""Models as transformers builds them, without memory for their weights."""

import pytest


def built(config, kind=None, **others):
    """Return the parameters of a model of transformers, and its config as it is stored there.

    Corrections of the scores of routers count, which are buffers in transformers. Without a class
    for the model, the test is skipped.
    """
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    content = config | others
    kind = kind or content.get("model_type")
    content = {name: value for name, value in content.items() if name != "model_type"}
    try:
        made = transformers.AutoConfig.for_model(kind, **content)
    except ValueError:
        pytest.skip("a later transformers has this class")
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(made)
    found = sum(p.numel() for p in model.parameters())
    found += sum(b.numel() for name, b in model.named_buffers() if name.endswith("bias"))
    return found, made.to_dict()
