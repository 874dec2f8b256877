// Documents held against their schema in /openapi.json, and the service's own field errors by member.

import { type OutputUnit, Validator } from "@cfworker/json-schema";
import { type Obj, url } from "./api";

/** What is wrong with a document, by member such as `model.messages[0].role`. */
export type Problems = Map<string, string>;

let document: Promise<Obj> | null = null;

/** The OpenAPI document; read once, and again when that failed. */
function openapi(): Promise<Obj> {
  document ??= fetch(url("/openapi.json"), { credentials: "omit" })
    .then((answer) => {
      if (!answer.ok) throw new Error(`/openapi.json answered ${answer.status}`);
      return answer.json();
    })
    .catch((error) => {
      document = null;
      throw error;
    });
  return document;
}

export interface Checker {
  problems(document: Obj): Problems;
  /** What the schema says of a member of the document. */
  description(path: string): string;
}

export async function checkerOf(name: string): Promise<Checker> {
  const { components } = (await openapi()) as { components: { schemas: Record<string, Obj> } };
  const validator = new Validator({ $ref: `#/components/schemas/${name}`, components } as never, "2020-12", false);
  return {
    problems: (value) => summary(validator.validate(value).errors),
    description: (path) => describe(components.schemas, name, path),
  };
}

const WRAPPERS = new Set(["$ref", "properties", "items", "anyOf", "allOf", "oneOf", "prefixItems", "additionalProperties"]);

/** The innermost errors, one a member. A member that may be null has its other error, not that it is not null. */
function summary(errors: OutputUnit[]): Problems {
  const found: Problems = new Map();
  for (const { keyword, instanceLocation, error } of errors) {
    if (WRAPPERS.has(keyword)) continue;
    if (keyword === "type" && /Expected "null"/.test(error)) continue;
    const missing = keyword === "required" ? /property "([^"]*)"/.exec(error)?.[1] : undefined;
    const path = member(instanceLocation) + (missing ? `${instanceLocation === "#" ? "" : "."}${missing}` : "");
    if (!found.has(path)) found.set(path, missing ? "is required" : plain(error));
  }
  return found;
}

/** The validator's sentences as the service would have them. */
const PLAIN: [RegExp, string][] = [
  [/^Instance type "(.*)" is invalid\. Expected "(.*)"\.$/, "must be of type $2"],
  [/^String is too long \(\d+ > (\d+)\)\.$/, "must be at most $1 characters"],
  [/^String is too short \(\d+ < (\d+)\)\.$/, "must be at least $1 characters"],
  [/ is (?:greater|more) than (?:or equal to )?(-?[\d.]+)\.$/, "must be at most $1"],
  [/ is less than (?:or equal to )?(-?[\d.]+)\.$/, "must be at least $1"],
];

/** Types as a person has them; a member that may be null may also be left out. */
function names(text: string): string {
  return text.split('", "').filter((one) => one !== "null").join(" or ");
}

function plain(error: string): string {
  for (const [sentence, ours] of PLAIN) {
    const found = sentence.exec(error);
    if (found) return ours.replace(/\$(\d)/g, (_, group) => names(found[Number(group)]!));
  }
  return error.replace(/\.$/, "");
}

function member(location: string): string {
  return location
    .split("/")
    .slice(1)
    .map((step) => decodeURIComponent(step).replaceAll("~1", "/").replaceAll("~0", "~"))
    .reduce((path, step) => (/^\d+$/.test(step) ? `${path}[${step}]` : path ? `${path}.${step}` : step), "");
}

function describe(schemas: Record<string, Obj>, name: string, path: string): string {
  let schema: any = schemas[name];
  for (const step of path.split(".")) schema = resolved(schemas, schema)?.properties?.[step];
  return schema?.description ?? "";
}

function resolved(schemas: Record<string, Obj>, schema: any): any {
  const form = schema?.anyOf?.find((one: any) => one.$ref) ?? schema;
  return form?.$ref ? schemas[form.$ref.split("/").pop()] : form;
}

/** The service's texts by the member that each begins with; those that name none under "". */
export function fieldErrors(messages: string[]): Problems {
  const found: Problems = new Map();
  for (const message of messages) {
    const named = /^([A-Za-z_]\w*(?:\[\d+\]|\.\w+)*) (?=must|is|has|can|may|names|needs)(.*)$/s.exec(message);
    const [path, text] = named ? [named[1]!, named[2]!] : ["", message];
    found.set(path, [found.get(path), text].filter(Boolean).join("; "));
  }
  return found;
}
