"""Responses with routed experts that are damaged, and servers that answer otherwise."""

import base64
import json

import numpy as np
import pytest

from moe_costmodel.traces.recorders.client import ask_server
from moe_costmodel.traces.recorders.recorded import Sizes
from moe_costmodel.traces.recorders.responses import of_responses
from moela.files.guard import FACTOR_VARIABLE

# 3 tokens, 2 layers, 2 of 6 experts each.
IDS = np.array([[[0, 1], [2, 3]], [[4, 5], [0, 1]], [[1, 0], [5, 2]]])


def packed(dtype="int16", shape=IDS.shape, data=None):
    data = IDS.astype(np.dtype(dtype).newbyteorder("<")).tobytes() if data is None else data
    text = base64.b64encode(data).decode()
    return {"dtype": dtype, "shape": list(shape), "data": text}


def read(routed, sizes=None, **more):
    return of_responses([{"choices": [{"routed_experts": routed}], **more}], "a", sizes or Sizes())


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "int64"])
def test_all_types_of_integers_are_read(dtype):
    np.testing.assert_array_equal(read(packed(dtype)).ids, IDS)


def test_a_response_may_hold_the_prompt_alone():
    found = of_responses(
        [{"prompt_routed_experts": IDS.tolist(), "choices": [{"text": "x"}, {"text": "y"}]}],
        "a", Sizes(),
    )  # fmt: skip
    # Both choices have the same prompt.
    assert found.lengths == [3, 3]
    np.testing.assert_array_equal(found.ids, np.concatenate([IDS, IDS]))


def test_each_choice_goes_on_from_the_prompt():
    prompt, answers = IDS[:1], (IDS[1:], IDS[2:])
    content = {
        "prompt_routed_experts": prompt.tolist(),
        "choices": [{"routed_experts": answer.tolist()} for answer in answers],
    }
    found = of_responses([content], "a", Sizes())
    assert found.lengths == [3, 2]
    np.testing.assert_array_equal(found.ids[:3], IDS)
    np.testing.assert_array_equal(found.ids[3:], IDS[[0, 2]])


@pytest.mark.parametrize(
    ("routed", "message"),
    [
        (packed(shape=(3, 4)), r"routed_experts\.shape' must be three sizes"),
        (packed("float32"), r"routed_experts\.dtype' must be a type of integers.*float32"),
        (packed(data=b"123"), r"\.data' must be whole numbers of 2 bytes.*3 bytes"),
        (packed(shape=(4, 2, 2)), r"\.data' must be those of shape \(4, 2, 2\).*12 numbers"),
        ("****", "nested lists, or base64"),
    ],
)
def test_damaged_arrays_are_named(routed, message):
    with pytest.raises(ValueError, match=message) as error:
        read(routed)
    assert "choices[0].routed_experts" in str(error.value)


def test_sizes_of_other_responses_and_prompts_are_compared():
    with pytest.raises(ValueError, match=r"of the layers and k of the prompt, \(1, 2\)"):
        read(IDS.tolist(), prompt_routed_experts=IDS[:, :1].tolist())
    with pytest.raises(ValueError, match="of 3 layers and k = 2, as in all others"):
        read(IDS.tolist(), Sizes(n_layers=3))
    with pytest.raises(ValueError, match="below the model's 4 experts"):
        read(IDS.tolist(), Sizes(n_experts=4))


# ------------------------------------------------------------------------------------------ servers


def test_a_redirection_is_not_followed(serve):
    other, address = serve()
    kind, url = serve(status=302, headers_=(("Location", f"{address}/v1/models"),))
    with pytest.raises(ValueError, match="status 302"):
        ask_server(url, ["a prompt"])
    assert (kind.asked, other.asked) == (1, 0)


def test_no_proxy_is_asked(serve, monkeypatch):
    proxy, address = serve()
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, address)
    kind, url = serve(body=json.dumps({"data": []}).encode())
    with pytest.raises(ValueError, match="'data' must be a list of models"):
        ask_server(url, ["a prompt"])
    assert (kind.asked, proxy.asked) == (1, 0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"status": 503, "body": b"overloaded"},
            "a running vLLM or SGLang server.*status 503: 'overloaded'",
        ),
        ({"body": b"{}"}, "'data' must be a list of models"),
        ({"body": b"<html>"}, "JSON"),
    ],
)
def test_answers_of_another_kind_are_named_with_the_address(serve, settings, message):
    _, url = serve(**settings)
    with pytest.raises(ValueError, match=message) as error:
        ask_server(url, ["a prompt"])
    assert url in str(error.value)


def test_an_answer_without_end_is_not_read(serve, monkeypatch):
    _, url = serve(body=b"[" + b" " * 100 + b"]")
    monkeypatch.setenv(FACTOR_VARIABLE, "0.000001")
    with pytest.raises(ValueError, match=r"longer than 33 bytes. Ask for fewer new tokens"):
        ask_server(url, ["a prompt"])
