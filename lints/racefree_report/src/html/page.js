"use strict";
// Filters over what the page already holds. Without this script everything is shown.
(() => {
  const form = document.getElementById("filters");
  if (!form) return;
  const status = document.getElementById("shown");
  const none = document.getElementById("none");
  const articles = [...document.querySelectorAll("article")].map((element) => ({
    element,
    rule: element.dataset.rule,
    tier: element.dataset.tier,
    path: element.dataset.path.toLowerCase(),
    text: element.textContent.toLowerCase(),
    entry: document.querySelector(`nav a[href="#${element.id}"]`).parentElement,
  }));
  const groups = [...document.querySelectorAll("nav section")];

  const apply = () => {
    const wanted = new FormData(form);
    const words = wanted.get("text").toLowerCase().split(/\s+/).filter(Boolean);
    const path = wanted.get("path").trim().toLowerCase();
    const rule = wanted.get("rule");
    const tiers = wanted.getAll("tier");
    let shown = 0;
    for (const article of articles) {
      const fits =
        tiers.includes(article.tier) &&
        (rule === "" || article.rule === rule) &&
        article.path.includes(path) &&
        words.every((word) => article.text.includes(word));
      article.element.hidden = !fits;
      article.entry.hidden = !fits;
      if (fits) shown += 1;
    }
    for (const group of groups) group.hidden = !group.querySelector("li:not([hidden])");
    none.hidden = shown > 0;
    status.textContent = `${shown} of ${articles.length} shown`;
  };

  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  // A link into a finding that the filters hide, or to a rule's folded page, must lead there.
  const reveal = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    const article = target.closest("article");
    if (article?.hidden) {
      form.reset();
      apply();
    }
    if (target.matches("details")) target.open = true;
    target.scrollIntoView();
  };
  addEventListener("hashchange", reveal);
  const folded = () => document.querySelectorAll("details:not([open])");
  let unfolded = [];
  addEventListener("beforeprint", () => {
    unfolded = [...folded()];
    for (const details of unfolded) details.open = true;
  });
  addEventListener("afterprint", () => {
    for (const details of unfolded) details.open = false;
  });
  form.hidden = false;
  apply();
  reveal();
})();
