"""Creates on the first start of a data folder an org `dev`, a key of each kind, and an assistant on the
offline model."""

import os
from pathlib import Path
from typing import Any

import orjson

from server.storage.sqlite.modes import make_private
from server.storage.store import Store

ORG = "dev"
DEMO = {
    "name": "demo",
    "model": {
        "provider": "offline",
        "model": "offline-1",
        "messages": [
            {"role": "system", "content": "You are the demo assistant of Parley. Today is {{date}}."}
        ],
    },
}


async def first_start(store: Store, folder: Path) -> dict[str, Any] | None:
    """Create them in a database without orgs, and write `dev-keys.json`; None when an org exists, whatever
    its name."""
    if await store.keys.has_orgs():
        return None
    keys = {kind: await store.keys.create(ORG, kind) for kind in ("api", "secret", "publishable")}
    org_id = keys["api"].org_id
    assistant = await store.assistants.create(org_id, DEMO)
    made = {"org": org_id, **{kind: key.key for kind, key in keys.items()}, "assistantId": assistant.id}
    _write(folder, made)
    return made


def _write(folder: Path, made: dict[str, Any]) -> None:
    make_private(folder)
    path = folder / "dev-keys.json"
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(orjson.dumps(made, option=orjson.OPT_INDENT_2) + b"\n")
