"""A client that asks a running vLLM or SGLang server for the routed experts of prompts."""

from __future__ import annotations

import ipaddress
import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import IO
from urllib.parse import urlsplit

from moe_costmodel._checks import count, invalid
from moe_costmodel.traces.recorders.recorded import Recorded, Sizes
from moe_costmodel.traces.recorders.responses import of_responses
from moela.files.fields import object_in, text_in
from moela.files.guard import FACTOR_VARIABLE, brief, invalid_file, limit_of
from moela.files.text import parse_json

__all__ = ["address_of", "ask_server"]


def address_of(url: str) -> str:
    """Return the address of a server: of this machine, or of another one by its full address.

    ``8000``, ``localhost:8000`` and ``http://127.0.0.1:8000`` are on this machine. Another machine
    needs scheme, host and port, so that prompts do not leave this one by a slip.

    Raises
    ------
    ValueError
        If the address is none, or that of another machine and not complete.
    """
    text = url.strip().rstrip("/")
    full = "://" in text
    if text.isascii() and text.isdigit():
        text = f"127.0.0.1:{text}"
    try:
        parts = urlsplit(text if full else f"http://{text}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise invalid(
            "record", "url", url, f"an address such as 127.0.0.1:8000 ({error})"
        ) from None
    if parts.scheme not in ("http", "https") or not host or parts.username is not None:
        raise invalid("record", "url", brief(url), "an address such as http://127.0.0.1:8000")
    if not _is_here(host) and not (full and port is not None):
        expected = (
            f"on this machine, or the full address with scheme and port of another one, such as "
            f"http://{host}:8000, since prompts are sent there"
        )
        raise invalid("record", "url", url, expected)
    where = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{where}:{port or 8000}{parts.path}"


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirection, since it could lead to another machine."""

    def redirect_request(  # type: ignore[no-untyped-def]
        self, request, file, code, message, headers, url
    ) -> None:
        return None


# No proxy either: what is asked of this machine stays on it.
_send = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect).open


def ask_server(
    url: str,
    prompts: Sequence[str],
    *,
    new_tokens: int = 64,
    sizes: Sizes | None = None,
    timeout: float = 120.0,
) -> Recorded:
    """Complete prompts on a server, and return the experts that it routed their tokens to.

    Parameters
    ----------
    url : str
        Address, as for :func:`address_of`.
    prompts : sequence of str
    new_tokens : int
        Tokens to generate for each prompt.
    sizes : Sizes, optional
        Sizes of the model; SGLang's responses do not tell the number of layers and k.
    timeout : float
        Seconds to wait for a response.

    Raises
    ------
    ValueError
        If the server does not answer, answers with an error, or without routed experts.
    """
    new_tokens = count("record", "new_tokens", new_tokens)
    if not prompts:
        raise invalid("record", "prompts", "none", "at least one text")
    address = address_of(url)
    models = object_in(address, "models", _call(f"{address}/v1/models", None, timeout))
    listed = models.get("data")
    if not isinstance(listed, list) or not listed:
        raise invalid_file(address, brief(listed), "a list of models", "data")
    first = object_in(address, "data[0]", listed[0])
    model = text_in(address, "data[0].id", first.get("id"))
    responses = []
    for prompt in prompts:
        body = {
            "model": model, "prompt": prompt, "max_tokens": new_tokens, "temperature": 0,
            "return_routed_experts": True,
        }  # fmt: skip
        responses.append(_call(f"{address}/v1/completions", body, timeout))
        # The first response tells whether the server records at all.
        if len(responses) == 1:
            of_responses(responses, address, sizes or Sizes())
    return of_responses(responses, address, sizes or Sizes())


def _call(url: str, body: dict[str, object] | None, timeout: float) -> object:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    expected = "the address of a running vLLM or SGLang server"
    try:
        with _send(request, timeout=timeout) as response:
            text = _text(response)
    except urllib.error.HTTPError as error:
        words = brief(error.read(300).decode("utf-8", "replace"))
        raise invalid_file(url, f"status {error.code}: {words}", expected) from None
    except (urllib.error.URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        raise invalid_file(url, f"no answer ({reason})", expected) from None
    return parse_json(text, url)


def _text(response: IO[bytes]) -> str:
    most = limit_of("text")
    data = response.read(most + 1)
    if len(data) > most:
        raise ValueError(
            f"The server's answer is longer than {most:,} bytes. Ask for fewer new tokens, shorten "
            f"the prompts, or raise the limit by the environment variable {FACTOR_VARIABLE}."
        )
    return data.decode("utf-8", "replace")
