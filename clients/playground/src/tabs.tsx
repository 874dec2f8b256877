import { useRef } from "preact/hooks";

interface Props<Name extends string> {
  label: string;
  names: readonly Name[];
  chosen: NoInfer<Name>;
  choose(name: NoInfer<Name>): void;
  small?: boolean;
}

/** A row of tabs; the arrow keys, Home and End move between them. */
export function Tabs<Name extends string>({ label, names, chosen, choose, small }: Props<Name>) {
  const list = useRef<HTMLDivElement>(null);
  const onKey = (event: KeyboardEvent) => {
    const at = names.indexOf(chosen);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1 + names.length, Home: 0, End: names.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const next = names[to % names.length]!;
    choose(next);
    (list.current!.children[to % names.length] as HTMLElement).focus();
  };
  return (
    <div class={small ? "tabs small-tabs" : "tabs"} role="tablist" aria-label={label} ref={list} onKeyDown={onKey}>
      {names.map((name) => (
        <button
          type="button"
          role="tab"
          aria-selected={name === chosen}
          tabIndex={name === chosen ? 0 : -1}
          onClick={() => choose(name)}
        >
          {name}
        </button>
      ))}
    </div>
  );
}
