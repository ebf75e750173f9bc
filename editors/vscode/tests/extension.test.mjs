// The extension as it is packaged: what is in the package, and what it does in a stand-in for VS Code, with the real language client and the real server.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { Module, createRequire } from "node:module";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { text } from "node:stream/consumers";
import { promisify } from "node:util";

import { example, given, json, polyglot, report } from "../../../lints/racefree_report/tests/tools/setting.mjs";

const require = createRequire(import.meta.url);
const { editor } = require("./vscode.cjs");
const build = given("RACEFREE_VSCODE");
const linter = given("RACEFREE_LINTER");
const folder = mkdtempSync(join(tmpdir(), "racefree-vscode-"));
const files = new Map();
// What is waited for may never come.
const limit = { timeout: 300_000 };
const ended = [];

before(async () => {
  const packed = join(folder, "racefree.vsix");
  const run = spawnSync("npm", ["run", "package", "--", "--out", packed], { cwd: build, encoding: "utf8" });
  assert.equal(run.status, 0, run.stdout + run.stderr);
  const yauzl = createRequire(join(build, "package.json"))("yauzl");
  const zip = await promisify(yauzl.open)(packed, { autoClose: false, lazyEntries: false });
  const entries = [];
  zip.on("entry", (entry) => entries.push(entry));
  await new Promise((resolve) => zip.on("end", resolve));
  for (const entry of entries) files.set(entry.fileName, await text(await promisify(zip.openReadStream.bind(zip))(entry)));
  zip.close();
  for (const [name, content] of files) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
});

/** A copy of a project: the server keeps the pages of its rules in it. */
function copied(project) {
  const copy = mkdtempSync(join(folder, "project-"));
  for (const name of ["lib", "mix.exs"]) cpSync(join(project, name), join(copy, name), { recursive: true });
  return copy;
}

/** Activates the packaged extension in an editor that has `project` open. */
async function activated(project, settings) {
  const manifest = json(join(folder, "extension/package.json"));
  const declared = manifest.contributes.configuration.properties;
  const defaults = Object.fromEntries(Object.entries(declared).map(([name, { default: value }]) => [name.replace("racefree.", ""), value]));
  const code = editor(project, { ...defaults, ...settings });
  const main = join(folder, "extension", manifest.main);
  const load = Module._load;
  Module._load = (request, ...rest) => (request === "vscode" ? code.module : load(request, ...rest));
  delete require.cache[main];
  const extension = require(main);
  Module._load = load;
  ended.push(extension.deactivate);
  await extension.activate({ subscriptions: [] });
  return { ...code, deactivate: extension.deactivate };
}
after(() => Promise.all(ended.map((deactivate) => deactivate())));

const units = (line, characters) => [...line].slice(0, characters).join("").length;

/** What the linter reports of a project, in places of the protocol. */
function expected(project) {
  return json(report("json", project))
    .findings.map(({ severity, rule, path, range }) => {
      const lines = readFileSync(join(project, path), "utf8").split("\n");
      const place = ({ line, column }) => `${line - 1}:${units(lines[line - 1], column - 1)}`;
      return `${severity} ${rule} ${place(range.start)}-${place(range.end)} ${path}`;
    })
    .sort();
}

function shown(project, diagnostics) {
  const place = ({ line, character }) => `${line}:${character}`;
  return [...diagnostics]
    .flatMap(([uri, found]) =>
      found.map(({ severity, code, range }) => {
        const rule = typeof code === "object" ? code.value : code;
        const path = fileURLToPath(uri).slice(project.length + 1);
        return `${["error", "warning", "note"][severity]} ${rule} ${place(range.start)}-${place(range.end)} ${path}`;
      }),
    )
    .sort();
}

const total = (diagnostics) => [...diagnostics.values()].flat().length;

test("the package holds the extension and nothing else", () => {
  assert.deepEqual([...files.keys()].sort(), [
    "[Content_Types].xml",
    "extension.vsixmanifest",
    "extension/LICENSE.txt",
    "extension/dist/extension.js",
    "extension/package.json",
    "extension/readme.md",
  ]);
  const { name, version, publisher, engines } = json(join(build, "package.json"));
  const manifest = files.get("extension.vsixmanifest");
  const attributes = Object.fromEntries([.../<Identity ([^>]*)\/>/.exec(manifest)[1].matchAll(/(\w+)="([^"]*)"/g)].map(([, key, value]) => [key, value]));
  assert.deepEqual([attributes.Id, attributes.Version, attributes.Publisher], [name, version, publisher]);
  assert.ok(manifest.includes(`Id="Microsoft.VisualStudio.Code.Engine" Value="${engines.vscode}"`));
});

for (const original of [polyglot, example]) {
  test(`shows what the linter reports of ${basename(original)}`, limit, async () => {
    const project = copied(original);
    const code = await activated(project, { path: linter });
    await code.until((diagnostics) => total(diagnostics) >= expected(project).length);
    assert.deepEqual(shown(project, code.diagnostics), expected(project));
    await code.deactivate();
    assert.equal(total(code.diagnostics), 0);
    assert.deepEqual(code.told, []);
  });
}

test("follows what is typed, and offers the server's actions", limit, async () => {
  const project = copied(polyglot);
  const code = await activated(project, { path: linter, arguments: ["--no-cache", "--threads", "1"] });
  const file = join(project, "lib/broken.ex");
  const document = code.open(file, readFileSync(file, "utf8"));
  const found = () => code.diagnostics.get(String(document.uri)) ?? [];
  await code.until(() => found().length === 1);
  const [{ range }] = found();
  const context = { diagnostics: found(), only: undefined, triggerKind: 1 };
  const token = { isCancellationRequested: false, onCancellationRequested: () => ({ dispose() {} }) };
  const [provider] = code.providers.actions;
  const actions = await provider.provideCodeActions(document, range, context, token);
  assert.deepEqual(actions.map(({ title }) => title), ["Allow nil_pid_call here, with a reason"]);
  assert.deepEqual(actions[0].edit.edits.map(({ uri, range, text }) => [String(uri), range.start.line, text]), [
    [String(document.uri), 1, "  # racefree:allow nil_pid_call - reason\n"],
  ]);
  code.change(document, 1, 1, "  def ask(name), do: {\"🐎\", name}\n");
  await code.until(() => found().length === 0);
  code.change(document, 1, 1, "  def ask(name), do: {\"🐎🐎\", GenServer.call(Process.whereis(name), :ask)}\n");
  await code.until(() => found().length === 1);
  assert.equal(found()[0].range.start.character, range.start.character + 2);
});

test("with a wrong path says so, and starts once it is right", limit, async () => {
  const code = await activated(copied(polyglot), { path: join(folder, "no-such-program") });
  assert.match(code.told.join("\n"), /couldn't create connection to server/);
  assert.equal(total(code.diagnostics), 0);
  code.configure({ path: linter });
  await code.until((diagnostics) => total(diagnostics) === expected(polyglot).length);
});

test("starts one server after another, however often it is asked to", limit, async () => {
  const code = await activated(copied(polyglot), { path: linter });
  assert.deepEqual([...code.commands.keys()], json(join(folder, "extension/package.json")).contributes.commands.map(({ command }) => command));
  const restart = () => code.commands.get("racefree.restart")();
  await Promise.all([restart(), restart(), restart()]);
  await code.until((diagnostics) => total(diagnostics) === expected(polyglot).length);
  assert.equal(code.providers.actions.length, 1);
  assert.deepEqual(code.told, []);
});
