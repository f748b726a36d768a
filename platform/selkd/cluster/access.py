"""Who may talk to a Ray cluster: the token that is sent, and whether the cluster asks for one."""

import os
from pathlib import Path

import requests

from selkd.cluster.head import Head
from selkd.config import Workspace
from selkd.errors import UserError

PATIENCE = (3.05, 10.0)
"""Seconds to connect, and to wait for an answer."""
OPEN = (
    "{address} asks for no token: whoever reaches it can run any code there, and such dashboards have been exploited "
    "widely (CVE-2023-48022). Start the cluster with RAY_AUTH_MODE=token, as `selkd cluster up` does."
)


def token_of(address: str, workspace: Workspace) -> str | None:
    """The token of our own head; for others what Ray takes: RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH, ~/.ray/auth_token."""
    head = Head.of(workspace)
    if head and head.address == address:
        return head.token.read_text().strip()
    if token := os.environ.get("RAY_AUTH_TOKEN", "").strip():
        return token
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    path = Path(named) if named else Path.home() / ".ray" / "auth_token"
    if named and not path.is_file():
        raise UserError(f"RAY_AUTH_TOKEN_PATH: {named} is no file.")
    return path.read_text().strip() if path.is_file() else None


def headers_of(token: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


def is_open(address: str) -> bool:
    """Whether the cluster answers anybody. Refused when it does not answer at all."""
    try:
        answer = requests.get(f"{address}/api/jobs/", timeout=PATIENCE)
    except requests.RequestException as error:
        raise UserError(
            f"where.ray: no answer from {address} ({type(error).__name__}). Is the cluster up "
            "(`selkd cluster status`), and its dashboard reachable from here?"
        ) from None
    return answer.status_code == requests.codes.ok
