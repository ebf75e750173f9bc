// What the tests of this folder share: the linter, the tools beside it, and a run over the example.
//
// bin/test sets the variables. Without one of them a test fails and says what is missing: a report that nobody checked must not look like one that was.

import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
export const root = join(here, "../../../..");
export const snapshots = join(here, "../snapshots");
export const example = join(root, "examples/shape_service");
/** Small, with what may go wrong on the way from a finding to where it is shown. */
export const polyglot = join(root, "lints/racefree_cli/tests/surfaces/project");

/** The path in an environment variable that bin/test sets. */
export function given(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: these tests are run by bin/test, which installs what they need`);
  return value;
}

const tools = createRequire(join(given("RACEFREE_REPORT_TOOLS"), "package.json"));

/** A package of the folder of tools. */
export const tool = (name) => tools(name);
export const toolPath = (name) => tools.resolve(name);

/** A folder of this run. */
export const folder = mkdtempSync(join(tmpdir(), "racefree-reports-"));

/** What the linter says of a project, in one format. */
export function report(format, project = example) {
  const path = join(folder, `${basename(project)}.${format}`);
  const run = spawnSync(given("RACEFREE_LINTER"), ["check", project, "--format", format, "--output", path], { encoding: "utf8" });
  if (run.status > 1 || run.stderr !== "") throw new Error(`racefree ended with ${run.status}: ${run.stderr}`);
  return path;
}

export const json = (path) => JSON.parse(readFileSync(path, "utf8"));
