// Pages in files: the list of runs is filtered and sorted by an index that a script tag brings.
(() => {
  "use strict";
  const table = document.getElementById("runs");
  const runs = globalThis.maiaRuns;
  const form = document.querySelector("form.filters");
  if (!table || !runs || !form) return;
  const body = table.tBodies[0];
  const rows = new Map([...body.querySelectorAll('input[name="run"]')].map((box) => [box.value, box.closest("tr")]));
  const order = new Intl.Collator("en", { numeric: true });
  const verdicts = ["not verified", "partly verified", "verified"];
  const compared = (a, b) => (typeof a === "number" ? a - b : order.compare(a, b));
  let sort = "";
  const apply = () => {
    const chosen = new FormData(form);
    const words = String(chosen.get("q") ?? "").toLowerCase().split(/\s+/).filter(Boolean);
    const value = (run, name) => (name === "verdict" ? run.verdict || "not tested" : run[name]);
    const fits = (run) => words.every((word) => run.text.includes(word))
      && [...chosen].every(([name, wanted]) => name === "q" || name === "sort" || !wanted || value(run, name) === wanted);
    const column = sort.replace(/^-/, "");
    // A missing value is null or an empty text; it stands last in either direction.
    const key = (run) => (run[column] === "" || run[column] === "a unit" ? null : column === "verdict" ? verdicts.indexOf(run.verdict) : run[column]);
    let shown = runs.filter(fits);
    if (column) {
      const sign = sort.startsWith("-") ? -1 : 1;
      const known = shown.filter((run) => key(run) !== null).sort((a, b) => sign * compared(key(a), key(b)));
      shown = [...known, ...shown.filter((run) => key(run) === null)];
    }
    for (const row of rows.values()) row.hidden = true;
    for (const run of shown) {
      const row = rows.get(run.key);
      if (row) { row.hidden = false; body.append(row); }
    }
    document.querySelector("#count b").textContent = shown.length.toLocaleString("en");
    for (const cell of table.tHead.rows[0].cells) {
      const link = cell.querySelector("a");
      if (!link) continue;
      const name = new URLSearchParams(new URL(link.href).hash.slice(1)).get("sort")?.replace(/^-/, "");
      cell.removeAttribute("aria-sort");
      if (name === column) cell.setAttribute("aria-sort", sort.startsWith("-") ? "descending" : "ascending");
    }
    const query = new URLSearchParams([...chosen].filter(([name, text]) => text !== "" && name !== "sort"));
    if (sort) query.set("sort", sort);
    history.replaceState(null, "", `#${query}`);
  };
  const read = () => {
    const asked = new URLSearchParams(location.hash.slice(1));
    const now = asked.get("sort") ?? "";
    sort = now && now === sort ? (now.startsWith("-") ? now.slice(1) : `-${now}`) : now;
    for (const [name, text] of asked) if (form.elements[name] && name !== "sort") form.elements[name].value = text;
    apply();
  };
  table.tHead.addEventListener("click", (event) => {
    const link = event.target.closest("a");
    if (!link) return;
    event.preventDefault();
    const wanted = new URLSearchParams(new URL(link.href).hash.slice(1)).get("sort") ?? "";
    sort = wanted.replace(/^-/, "") === sort.replace(/^-/, "") ? (sort.startsWith("-") ? sort.slice(1) : `-${sort}`) : wanted;
    apply();
  });
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => { event.preventDefault(); apply(); });
  addEventListener("hashchange", read);
  if (location.hash.length > 1) read();
})();
