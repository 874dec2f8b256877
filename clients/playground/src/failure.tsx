import { Icon } from "./icons";

export interface Failed {
  messages: string[];
  status?: number;
  requestId?: string | null;
  retryAfter?: string | null;
}

/** An error as the service states it, with the id that names the request in its log. */
export function Failure({ failed, again }: { failed: Failed; again?: (() => void) | undefined }) {
  return (
    <div class="failure" role="alert">
      <Icon name="warn" />
      <div>
        {failed.messages.map((message) => (
          <p>{message}</p>
        ))}
        {failed.retryAfter && <p>Try again in {failed.retryAfter} s.</p>}
        {(failed.status || failed.requestId) && (
          <p class="faint small">
            {failed.status ? `HTTP ${failed.status}` : ""}
            {failed.status && failed.requestId ? " · " : ""}
            {failed.requestId ? <span class="mono">request {failed.requestId}</span> : ""}
          </p>
        )}
        {again && (
          <button type="button" class="plain" onClick={again}>
            Try again
          </button>
        )}
      </div>
    </div>
  );
}
