// Builds the pages that Envoy serves into the folder named by the one argument.

import { copyFile, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { build } from "esbuild";

const target = process.argv[2];
await mkdir(target, { recursive: true });
await build({
  entryPoints: {
    playground: "src/main.tsx",
    style: "src/style.css",
    docs: "src/docs.ts",
    "docs-style": "src/docs.css",
  },
  outdir: target,
  entryNames: "[name]",
  bundle: true,
  minify: true,
  format: "esm",
  target: ["chrome123", "firefox120", "safari17.5"],
  jsx: "automatic",
  jsxImportSource: "preact",
  legalComments: "eof",
  charset: "utf8",
  logLevel: "warning",
});
for (const name of ["index.html", "docs.html", "icon.svg"]) await copyFile(join("src", name), join(target, name));

const { dependencies } = JSON.parse(await readFile("package.json", "utf8"));
// Of packages that come without the text of theirs, which is the MIT license.
const licenses = { "@scalar/api-reference": "licenses/scalar.txt", "@cfworker/json-schema": "licenses/cfworker.txt" };
for (const name of Object.keys(dependencies).filter((one) => !(one in licenses))) {
  const folder = join("node_modules", name);
  const file = (await readdir(folder)).find((one) => /^licen[sc]e/i.test(one));
  if (file === undefined) throw new Error(`${name} has no license`);
  licenses[name] = join(folder, file);
}
const texts = Object.entries(licenses).map(async ([name, file]) => `${name}\n\n${(await readFile(file, "utf8")).trim()}\n`);
await writeFile(join(target, "licenses.txt"), (await Promise.all(texts)).join("\n---\n\n"));
