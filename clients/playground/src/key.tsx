import { useState } from "preact/hooks";
import { call, useKey } from "./api";
import { Copy } from "./copy";
import { Failure, type Failed } from "./failure";
import { Icon, Logo } from "./icons";
import { shown } from "./stream";
import type { Assistant } from "./types";

const DEV_KEY = `python3 -c "import json; print(json.load(open('data/dev-keys.json'))['api'])"`;
const NEW_KEY = ".venv/bin/parley keys create --org dev --kind api";

/** Asks for a key and tries it. It is kept in memory: a reload asks again. */
export function KeyForm({ opened }: { opened: (assistants: Assistant[]) => void }) {
  const [key, setKey] = useState("");
  const [busy, setBusy] = useState(false);
  const [failed, setFailed] = useState<Failed | null>(null);

  const enter = async (event: Event) => {
    event.preventDefault();
    const given = key.trim();
    const wrong = refused(given);
    if (wrong) return setFailed({ messages: [wrong] });
    setBusy(true);
    setFailed(null);
    useKey(given);
    try {
      opened(await call<Assistant[]>("GET", "/assistant?limit=1000"));
    } catch (error) {
      setFailed(shown(error));
      setBusy(false);
    }
  };

  return (
    <main class="gate">
      <form class="card" onSubmit={enter}>
        <Logo />
        <h1>Parley playground</h1>
        <p class="faint">Chat with an assistant, watch every event of the answer, and copy the request into your code.</p>
        <label for="key">API key</label>
        <input
          id="key"
          class="mono"
          type="password"
          autocomplete="off"
          spellcheck={false}
          placeholder="api_…"
          autofocus
          value={key}
          onInput={(event) => setKey(event.currentTarget.value)}
          aria-describedby="key-hint"
          aria-invalid={failed !== null}
        />
        <p id="key-hint" class="faint small">
          Kept in this tab's memory only. A reload forgets it.
        </p>
        {failed && <Failure failed={failed} />}
        <button type="submit" class="primary wide" disabled={busy}>
          {busy ? "Opening…" : "Open the playground"}
        </button>
        <details open>
          <summary>Where do I find a key?</summary>
          <p>
            The first start of a server writes development keys to <code>data/dev-keys.json</code>. In the folder that you
            started it in:
          </p>
          <Command text={DEV_KEY} what="the command that prints the key" />
          <p>Any other key comes from the operator of the server:</p>
          <Command text={NEW_KEY} what="the command that makes a key" />
        </details>
        <p class="links">
          <a href="docs">API reference</a>
          <a href="openapi.json">openapi.json</a>
        </p>
      </form>
    </main>
  );
}

function Command({ text, what }: { text: string; what: string }) {
  return (
    <div class="command">
      <code>{text}</code>
      <Copy text={text} what={what} />
    </div>
  );
}

/** Why a key cannot open this page; keys of the other kinds reach `/chat` in another form. */
function refused(key: string): string | null {
  if (!key) return "Enter a key.";
  if (/^(sk|pk)_/.test(key))
    return `Keys that begin with ${key.slice(0, 3)} reach /chat in the form of the agents door. The playground needs an api key (api_…).`;
  return /^[!-~]+$/.test(key) ? null : "A key has visible ASCII characters only.";
}

export function ForgetKey({ forget }: { forget: () => void }) {
  return (
    <button type="button" class="plain" onClick={forget}>
      <Icon name="out" />
      Forget the key
    </button>
  );
}
