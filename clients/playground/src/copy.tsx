import { useState } from "preact/hooks";
import { Icon } from "./icons";

/** A button that copies a text, and says so. */
export function Copy({ text, what, label }: { text: string | (() => string); what: string; label?: string }) {
  const [done, setDone] = useState<"" | "Copied" | "Not copied">("");
  const copy = async () => {
    const given = typeof text === "function" ? text() : text;
    setDone((await write(given)) ? "Copied" : "Not copied");
    setTimeout(() => setDone(""), 1600);
  };
  return (
    <button type="button" class="copy" onClick={copy} aria-label={`Copy ${what}`}>
      <Icon name={done === "Copied" ? "check" : "copy"} />
      <span aria-live="polite">{done || label || "Copy"}</span>
    </button>
  );
}

/** Over plain HTTP from another machine there is no clipboard API; the selection does. */
async function write(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}
