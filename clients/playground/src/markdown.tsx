// Markdown as elements. marked reads it; HTML in it is shown as text, and nothing is ever set as HTML.

import { Lexer, type Token, type Tokens } from "marked";
import { memo } from "preact/compat";
import type { ComponentChildren, VNode } from "preact";
import { Copy } from "./copy";

export const Markdown = memo(({ text }: { text: string }) => <div class="prose">{blocks(Lexer.lex(text))}</div>);

function blocks(tokens: Token[]): ComponentChildren[] {
  return tokens.map(block);
}

function block(token: Token): ComponentChildren {
  switch (token.type) {
    case "heading":
      return heading(token as Tokens.Heading);
    case "paragraph":
      return <p>{inline(token.tokens)}</p>;
    case "text":
      return token.tokens ? inline(token.tokens) : token.text;
    case "code":
      return <Code text={token.text} language={token.lang ?? ""} />;
    case "blockquote":
      return <blockquote>{blocks(token.tokens ?? [])}</blockquote>;
    case "list":
      return list(token as Tokens.List);
    case "table":
      return table(token as Tokens.Table);
    case "hr":
      return <hr />;
    case "space":
    case "def":
      return null;
    default:
      return <p>{token.raw}</p>;
  }
}

/** Headings of an answer stand below those of the page. */
function heading(token: Tokens.Heading): VNode {
  const children = inline(token.tokens);
  return token.depth <= 2 ? <h4>{children}</h4> : token.depth === 3 ? <h5>{children}</h5> : <h6>{children}</h6>;
}

function list(token: Tokens.List): VNode {
  const items = token.items.map((item) => <li>{blocks(item.tokens)}</li>);
  return token.ordered ? <ol start={Number(token.start) || 1}>{items}</ol> : <ul>{items}</ul>;
}

function table(token: Tokens.Table): VNode {
  return (
    <div class="scroll-x" tabIndex={0} role="group" aria-label="Table">
      <table>
        <thead>
          <tr>
            {token.header.map((cell) => (
              <th>{inline(cell.tokens)}</th>
            ))}
          </tr>
        </thead>
        <tbody>
          {token.rows.map((row) => (
            <tr>
              {row.map((cell) => (
                <td>{inline(cell.tokens)}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function inline(tokens: Token[] | undefined): ComponentChildren[] {
  return (tokens ?? []).map((token) => {
    switch (token.type) {
      case "strong":
        return <strong>{inline(token.tokens)}</strong>;
      case "em":
        return <em>{inline(token.tokens)}</em>;
      case "del":
        return <del>{inline(token.tokens)}</del>;
      case "codespan":
        return <code>{token.text}</code>;
      case "br":
        return <br />;
      case "link":
        return link(token as Tokens.Link);
      case "escape":
        return token.text;
      case "text":
        return token.tokens ? inline(token.tokens) : token.text;
      default:
        return token.raw;
    }
  });
}

/** Only web addresses are links; no other scheme runs from an answer. */
function link(token: Tokens.Link): ComponentChildren {
  if (!/^https?:/i.test(token.href)) return token.raw;
  return (
    <a href={token.href} target="_blank" rel="noreferrer noopener nofollow">
      {inline(token.tokens)}
    </a>
  );
}

export function Code({ text, language = "", label = "Code" }: { text: string; language?: string; label?: string }) {
  return (
    <div class="code">
      <div class="code-bar">
        <span>{language}</span>
        <Copy text={text} what={label.toLowerCase()} />
      </div>
      <pre tabIndex={0} aria-label={label}>
        <code>{text}</code>
      </pre>
    </div>
  );
}
