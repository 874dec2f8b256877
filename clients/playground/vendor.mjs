// Puts what vendored.json names into the folder of the first argument: out of that of the second if it is there, unchanged,
// otherwise out of its npm package. It is stored as gzip, in which it is served.

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";

const [target, source] = process.argv.slice(2);
const wanted = JSON.parse(readFileSync("vendored.json"));
const stored = join(source, wanted.as);

function isWanted(content) {
  return createHash("sha256").update(content).digest("hex") === wanted.sha256;
}

function fromPackage() {
  const folder = mkdtempSync(join(tmpdir(), "parley-vendor-"));
  const name = `${wanted.package}@${wanted.version}`;
  const packed = execFileSync("npm", ["pack", "--silent", name], { cwd: folder, encoding: "utf8" }).trim();
  execFileSync("tar", ["xzf", packed, `package/${wanted.file}`], { cwd: folder });
  const content = readFileSync(join(folder, "package", wanted.file));
  if (!isWanted(content)) throw new Error(`${name} has another ${wanted.file} than vendored.json names`);
  return gzipSync(content, { level: 9 });
}

const kept = existsSync(stored) ? readFileSync(stored) : null;
writeFileSync(join(target, wanted.as), kept !== null && isWanted(gunzipSync(kept)) ? kept : fromPackage());
