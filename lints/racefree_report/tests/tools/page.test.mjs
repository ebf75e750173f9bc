// The page in a real browser: filters, keyboard, lanes, paper, and what it is to those who do not see it.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";

import { example, folder, given, json, polyglot, report, snapshots, tool, toolPath } from "./setting.mjs";

const address = pathToFileURL(report("html")).href;
const snapshot = pathToFileURL(join(snapshots, "report.html")).href;
const findings = json(report("json")).findings;
const WIDE = { width: 1280, height: 900 };
const NARROW = { width: 400, height: 800 };
let browser;

before(async () => {
  browser = await tool("playwright-core").chromium.launch({
    executablePath: given("RACEFREE_CHROMIUM"),
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
});
after(() => browser?.close());

/** Opens a page, gives it to `use`, and fails on anything the page complained of or asked a network for. */
async function visit(options, use, url = address) {
  const context = await browser.newContext({ viewport: WIDE, ...options });
  const page = await context.newPage();
  const complaints = [];
  page.on("console", (message) => complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("request", (request) => request.url().split("#")[0] === url.split("#")[0] || complaints.push(request.url()));
  await page.goto(url);
  await use(page);
  await context.close();
  assert.deepEqual(complaints, []);
}

const shown = (page) => page.locator("article:visible").count();

test("every finding has an article, a way to it, and its words", () =>
  visit({}, async (page) => {
    assert.equal(await shown(page), findings.length);
    assert.equal(await page.locator("nav a").count(), findings.length);
    for (const finding of findings) {
      const article = page.locator(`#f-${finding.fingerprint}`);
      assert.equal((await article.locator("h2").textContent()).replace(/^\d+ /, ""), finding.message.replaceAll("`", ""));
      assert.equal(await article.locator("mark.loses").count() > 0, true);
    }
  }));

for (const project of [example, polyglot]) {
  test(`the page of ${basename(project)} tells of the same findings, and marks what they are about`, () =>
    visit(
      {},
      async (page) => {
        const expected = json(report("json", project)).findings.map(({ fingerprint, rule, tier, path, range: { start, end } }) => {
          const lines = readFileSync(join(project, path), "utf8").split("\n");
          const marked = start.line === end.line && [...lines[start.line - 1]].slice(start.column - 1, end.column - 1).join("");
          return [`f-${fingerprint}`, rule, tier, path, `${path}:${start.line}:${start.column}`, marked];
        });
        assert.ok(expected.every((finding) => finding.at(-1)), "each lies in one line");
        const told = await page.locator("article").evaluateAll((articles) =>
          articles.map((article) => {
            const { rule, tier, path } = article.dataset;
            const marked = [...article.querySelector(".line:has(mark.loses)").querySelectorAll("mark.loses")].map((mark) => mark.textContent).join("");
            return [article.id, rule, tier, path, article.querySelector(".facts .path").textContent, marked];
          }),
        );
        assert.deepEqual(told, expected);
      },
      pathToFileURL(report("html", project)).href,
    ));
}

test("filters show what fits, and say how much", () =>
  visit({}, async (page) => {
    const status = () => page.locator("#shown").textContent();
    const is = async (expected) => {
      assert.equal(await shown(page), expected);
      assert.equal(await page.locator("nav li:visible").count(), expected);
      assert.equal(await status(), `${expected} of ${findings.length} shown`);
    };
    await is(findings.length);
    const certain = findings.filter((finding) => finding.tier === "certain").length;
    await page.getByRole("checkbox", { name: "likely" }).uncheck();
    await is(certain);
    await page.getByRole("checkbox", { name: "likely" }).check();
    await page.getByRole("combobox", { name: "Rule" }).selectOption("nil_pid_call");
    await is(findings.filter((finding) => finding.rule === "nil_pid_call").length);
    await page.getByRole("combobox", { name: "Rule" }).selectOption("");
    await page.getByRole("searchbox", { name: "Path" }).fill("Storage");
    await is(findings.filter((finding) => finding.path.includes("storage")).length);
    await page.getByRole("searchbox", { name: "Text" }).fill("no such words");
    await is(0);
    assert.equal(await page.locator("#none").isVisible(), true);
    const hidden = findings.find((finding) => !finding.path.includes("storage"));
    await page.goto(`${address}#f-${hidden.fingerprint}`);
    await is(findings.length);
  }));

test("everything but the filters is there without JavaScript", () =>
  visit({ javaScriptEnabled: false }, async (page) => {
    assert.equal(await shown(page), findings.length);
    assert.equal(await page.locator("#filters").isVisible(), false);
    assert.equal(await page.locator("#none").isVisible(), false);
  }));

test("the keyboard alone gets everywhere", () =>
  visit({}, async (page) => {
    const focused = () => page.evaluate(() => document.activeElement.name || document.activeElement.className || document.activeElement.tagName);
    const order = [];
    for (let at = 0; at < 6; at += 1) {
      await page.keyboard.press("Tab");
      order.push(await focused());
    }
    assert.deepEqual(order, ["skip", "text", "path", "rule", "tier", "tier"]);
    await page.locator(".skip").focus();
    assert.ok((await page.locator(".skip").boundingBox()).x >= 0, "the skip link is seen when it has the focus");
    await page.keyboard.press("Enter");
    assert.equal(await page.evaluate(() => document.activeElement.id), "findings");
    await page.keyboard.press("Tab");
    assert.equal(await focused(), "rule", "the next stop is the first finding");
    await page.keyboard.press("Enter");
    const rule = `#rule-${findings[0].rule}`;
    await page.waitForFunction((id) => document.querySelector(id).open, rule);
    await page.locator("nav a").first().focus();
    const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
    assert.equal(outline, "solid", "what has the focus is seen");
  }));

/** Boxes of the steps and arrows of one finding. */
const drawing = (page, id) =>
  page.evaluate((id) => {
    const box = (element) => {
      const { x, y, width, height } = element.getBoundingClientRect();
      return { x: Math.round(x), y, width, height };
    };
    return [...document.querySelectorAll(`#${id} .step`)].map((step) => {
      const arrow = step.querySelector(".arrow");
      return {
        who: step.querySelector(".who").textContent,
        card: box(step.querySelector(".card")),
        arrow: arrow && arrow.offsetWidth > 0 ? { ...box(arrow), isRightwards: arrow.classList.contains("rightwards") } : null,
      };
    });
  }, id);

test("each process has a lane of its own, time runs down, and arrows go from lane to lane", () =>
  visit({}, async (page) => {
    let arrows = 0;
    for (const finding of findings) {
      const steps = await drawing(page, `f-${finding.fingerprint}`);
      assert.deepEqual(steps.map((step) => step.who), finding.trace.map((step) => step.process));
      const lanes = new Map(steps.map((step) => [step.who, step.card.x]));
      assert.equal(new Set(lanes.values()).size, lanes.size, "no two processes share a lane");
      assert.ok(steps.every((step) => step.card.x === lanes.get(step.who)), "a process stays in its lane");
      for (const [at, step] of steps.entries()) {
        if (at > 0) assert.ok(step.card.y >= steps[at - 1].card.y + steps[at - 1].card.height, "each step is below the one before");
        const signal = finding.trace[at].signal;
        const to = signal && lanes.get(signal.to);
        assert.equal(step.arrow !== null, to !== undefined && to !== step.card.x, `${finding.rule} step ${at + 1}`);
        if (!step.arrow) continue;
        arrows += 1;
        const [left, right] = [Math.min(step.card.x, to), Math.max(step.card.x, to)];
        assert.equal(step.arrow.isRightwards, to === right);
        assert.ok(Math.abs(step.arrow.x - left) < 20 && Math.abs(step.arrow.x + step.arrow.width - right) < 20, "it ends at both lanes");
      }
    }
    assert.ok(arrows > 5);
  }));

test("a narrow window gets a list that names the processes, and nothing sticks out", () =>
  visit({ viewport: NARROW }, async (page) => {
    const steps = await drawing(page, `f-${findings[1].fingerprint}`);
    assert.equal(new Set(steps.map((step) => step.card.x)).size, 1);
    assert.ok(steps.every((step) => step.arrow === null));
    assert.ok((await page.locator(".who").first().boundingBox()).height > 10);
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
  }));

for (const [name, options, url] of [
  ["in light", { colorScheme: "light" }, address],
  ["in dark", { colorScheme: "dark" }, address],
  ["in a narrow window", { viewport: NARROW }, address],
  ["with everything that a report can hold", {}, snapshot],
]) {
  test(`axe finds nothing to complain of ${name}`, () =>
    visit(
      options,
      async (page) => {
        await page.evaluate(() => document.querySelectorAll("details").forEach((details) => (details.open = true)));
        await page.evaluate(readFileSync(toolPath("axe-core/axe.min.js"), "utf8"));
        const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
        const { violations, passes } = await page.evaluate((tags) => axe.run(document, { runOnly: tags }), tags);
        assert.deepEqual(violations.map((violation) => `${violation.id}: ${violation.nodes.map((node) => node.html).slice(0, 3).join(" ")}`), []);
        assert.ok(passes.some((pass) => pass.id === "color-contrast"), "contrast was measured");
      },
      url,
    ));
}

test("a screen reader hears the steps as a list, in order, with who takes them", () =>
  visit({}, async (page) => {
    const finding = findings.find((finding) => finding.trace.some((step) => step.signal));
    const heard = await page.locator(`#f-${finding.fingerprint} .interleaving`).ariaSnapshot();
    const words = heard.replaceAll(/\s+/g, " ");
    assert.equal([...heard.matchAll(/- listitem/g)].length, finding.trace.length);
    let from = 0;
    for (const step of finding.trace) {
      const at = words.indexOf(step.message.split("`")[0].trim(), from);
      assert.ok(at >= from, `${step.message} is not in: ${words}`);
      assert.ok(words.includes(step.process));
      from = at;
    }
    const sent = finding.trace.find((step) => step.signal).signal;
    assert.ok(words.includes(`→ ${sent.kind} to ${sent.to}`), words);
  }));

test("paper has the findings and the rules' pages, and no filters", () =>
  visit({}, async (page) => {
    await page.emulateMedia({ media: "print" });
    assert.equal(await page.locator("#filters").isVisible(), false);
    assert.equal(await page.locator("nav").isVisible(), false);
    assert.equal(await shown(page), findings.length);
    const pdf = await page.pdf({ path: join(folder, "races.pdf"), format: "A4" });
    assert.ok(pdf.length > 50_000);
  }));
