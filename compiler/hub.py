"""Small text files of public model repositories, over HTTPS, without huggingface_hub.

Imported only when the hub is really asked: urllib.request alone costs more than a whole `ftc validate`.
"""

from __future__ import annotations

import os
from http.client import HTTPException, HTTPMessage
from ssl import SSLError
from typing import IO, Final
from urllib.error import HTTPError
from urllib.parse import quote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from msgspec import Struct

from compiler.checkpoint.chat_format import FILES, template_of_tokenizer

DEFAULT_ENDPOINT: Final = "https://huggingface.co"
TIMEOUT_SECONDS: Final = 3.0
MAX_BYTES: Final = 8 << 20
"""Above the largest tokenizer_config.json in use; a file that goes on is not what was asked for."""

REASONS: Final = {
    401: "it is gated, private or not there: accept its licence on the hub and set HF_TOKEN",
    403: "it is gated or private: accept its licence on the hub and set HF_TOKEN",
    404: "it has no such model, revision or file",
    429: "too many requests",
}


class HubFailure(Struct, frozen=True):
    """Why a file could not be had."""

    reason: str


class _SameHostAuthorization(HTTPRedirectHandler):
    """Follows redirects, but shows the token to the host it was meant for only."""

    def redirect_request(  # noqa: PLR0917 - urllib's signature
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        following = super().redirect_request(req, fp, code, msg, headers, newurl)
        if following is not None and urlsplit(newurl).netloc != urlsplit(req.full_url).netloc:
            following.remove_header("Authorization")
        return following


def read_text(hub_id: str, revision: str, name: str) -> str | HubFailure:
    """The text of one file, or why not. Honours HF_ENDPOINT and HF_TOKEN; no answer waits above `TIMEOUT_SECONDS`."""
    if not endpoint().startswith(("https://", "http://")):
        return HubFailure("HF_ENDPOINT is not an http address")
    try:
        return _get(f"{endpoint()}/{quote(hub_id)}/resolve/{quote(revision, safe='')}/{name}")
    except HTTPError as error:
        return HubFailure(REASONS.get(error.code, f"it answered with {error.code}"))
    except (OSError, HTTPException, ValueError) as error:
        return HubFailure(f"it could not be reached ({type(error).__name__})")


def endpoint() -> str:
    """Where the hub is: huggingface_hub's own variable."""
    return os.environ.get("HF_ENDPOINT", DEFAULT_ENDPOINT).rstrip("/")


def is_out_of_reach() -> bool:
    """Whether nothing answers there. A refusal is an answer, and so is a certificate that only others know."""
    try:
        request = Request(endpoint(), method="HEAD", headers={"User-Agent": "ftc"})  # noqa: S310 - nothing is read
        build_opener().open(request, timeout=TIMEOUT_SECONDS).close()
    except HTTPError:
        return False
    except (OSError, HTTPException, ValueError) as error:
        return not isinstance(getattr(error, "reason", error), SSLError)
    return False


def read_chat_template(hub_id: str, revision: str) -> str | None:
    """The chat template of a repository, from either of the files it may stand in; None where it has none."""
    template, settings = FILES
    text = read_text(hub_id, revision, template)
    if isinstance(text, str):
        return text
    tokenizer = read_text(hub_id, revision, settings)
    return template_of_tokenizer(tokenizer) if isinstance(tokenizer, str) else None


def _get(url: str) -> str | HubFailure:
    request = Request(url, headers={"User-Agent": "ftc"})  # noqa: S310 - the caller lets http and https through only
    token = os.environ.get("HF_TOKEN")
    if token:
        request.add_header("Authorization", f"Bearer {token.strip()}")
    with build_opener(_SameHostAuthorization).open(request, timeout=TIMEOUT_SECONDS) as answer:
        body: bytes = answer.read(MAX_BYTES + 1)
    if len(body) > MAX_BYTES:
        return HubFailure(f"the file is larger than {MAX_BYTES >> 20} MiB")
    return body.decode("utf-8", errors="replace")
