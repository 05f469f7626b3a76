// Pages in files: which rows of the table are shown, and in which order, stands behind the # of the address.
(() => {
  "use strict";
  const table = document.getElementById("lines");
  if (!table || !document.documentElement.dataset.files) return;
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const columns = [...table.tHead.rows[0].cells].map((cell) => cell.dataset.column);
  const apply = () => {
    const asked = new URLSearchParams(location.hash.slice(1));
    const [group, explainer, sort] = ["group", "explainer", "sort"].map((name) => asked.get(name) ?? "");
    const text = (row, name) => (columns.includes(name) ? row.cells[columns.indexOf(name)].textContent : "");
    let count = 0;
    for (const row of rows) {
      const inGroup = !group || group.startsWith("all") || text(row, "unit").startsWith(`${group}:`) || [text(row, "kind"), text(row, "form")].includes(group);
      row.hidden = !(inGroup && (!explainer || text(row, "explainer") === explainer));
      count += !row.hidden;
    }
    document.getElementById("count").textContent = count.toLocaleString("en");
    const at = columns.indexOf(sort);
    if (at >= 0) {
      // Figures from high to low, texts by the alphabet, missing ones last.
      const words = (text) => (text === "" || text === "–" ? null : text.toLowerCase());
      const value = (row) => row.cells[at].dataset.value ?? words(row.cells[at].textContent);
      const known = rows.filter((row) => value(row) !== null);
      const numbers = known.every((row) => row.cells[at].dataset.value !== undefined);
      known.sort((a, b) => (numbers ? Number(value(b)) - Number(value(a)) : value(a) < value(b) ? -1 : value(a) > value(b) ? 1 : 0));
      body.append(...known, ...rows.filter((row) => value(row) === null));
    }
    for (const cell of table.tHead.rows[0].cells) {
      cell.toggleAttribute("aria-sort", false);
      if (cell.dataset.column === sort && sort) cell.setAttribute("aria-sort", "descending");
      if (!cell.dataset.column) continue;
      asked.set("sort", cell.dataset.column);
      cell.firstElementChild.href = `#${asked}`;
    }
  };
  addEventListener("hashchange", apply);
  apply();
})();
