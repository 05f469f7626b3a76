(() => {
  "use strict";
  const form = document.getElementById("atlas-form");
  let list = document.getElementById("units");
  if (!form || !list) return;
  const inFiles = Boolean(document.documentElement.dataset.files);
  const items = [...list.children];
  const fields = () => new FormData(form);

  // How masks are drawn is a part of each picture's name.
  document.addEventListener("change", (event) => {
    if (event.target.name !== "masks") return;
    for (const image of items.flatMap((item) => [...item.querySelectorAll(".sheet img")])) {
      image.src = image.getAttribute("src").replace(/\.(dark|outline|off)\.webp/, `.${event.target.value}.webp`);
    }
  });

  // With all units of the layer on the page, search, filters and order need no server.
  const whole = form.hasAttribute("data-whole");
  // The same text, compared the same way, as the server's search and its downloads.
  const folded = (words) => words.toLowerCase().replaceAll("ß", "ss").replaceAll("ς", "σ");
  const text = items.map((item) => JSON.parse(item.dataset.text));
  let shown = items;
  const number = (name) => (item) => (item.dataset[name] === undefined ? null : Number(item.dataset[name]));
  const verdicts = ["verified", "partly verified", "not verified"];
  const said = (item) => { const says = item.querySelector(".says"); return says.classList.contains("none") ? null : says.textContent.toLowerCase(); };
  const orders = {
    "": [number("place"), 1], unit: [number("place"), 1], label: [said, 1], fit: [number("fit"), -1], highest: [number("highest"), -1],
    cost: [number("cost"), -1], verdict: [(item) => { const at = verdicts.indexOf(item.dataset.verdict); return at < 0 ? null : at; }, 1],
  };
  // Moving two thousand units takes half a second: those at the top move at once, the others in the pauses. Units that do
  // not fit stay in the hidden lists that showed them before.
  const SLICE = 60;
  let moving = 0;
  const place = () => {
    clearTimeout(moving);
    const next = list.cloneNode(false);
    list.removeAttribute("id");
    list.hidden = true;
    list.before(next);
    list = next;
    const units = shown;
    const move = (from) => {
      next.append(...units.slice(from, from + SLICE));
      if (from + SLICE < units.length) moving = setTimeout(move, 0, from + SLICE);
      else for (const old of document.querySelectorAll("ol.units:not(#units)")) if (!old.childElementCount) old.remove();
    };
    move(0);
  };
  const apply = () => {
    const chosen = fields();
    const words = folded(String(chosen.get("q") ?? "")).split(/\s+/).filter(Boolean);
    const fits = (item, at) => words.every((word) => text[at].includes(word))
      && ["verdict", "status", "mark"].every((name) => !chosen.get(name) || item.dataset[name] === chosen.get(name));
    const [value, sign] = orders[String(chosen.get("sort") ?? "")] ?? orders[""];
    const keyed = items.map((item, at) => [fits(item, at) ? value(item) : undefined, at, item]).filter(([key]) => key !== undefined);
    keyed.sort(([a, i], [b, j]) => (a === null) - (b === null) || (a === null ? i - j : (a < b ? -sign : a > b ? sign : i - j)));
    shown = keyed.map((each) => each[2]);
    place();
    const count = keyed.length;
    document.querySelector("#count b").textContent = count.toLocaleString("en");
    document.getElementById("none").hidden = count > 0;
    const query = new URLSearchParams([...chosen].filter(([, value]) => value !== ""));
    if (inFiles) history.replaceState(null, "", query.size ? `#${query}` : "#");
    else {
      const address = new URL(location.href);
      const masks = address.searchParams.get("masks");
      address.search = query;
      if (masks) address.searchParams.set("masks", masks);
      history.replaceState(null, "", address);
      for (const link of ["csv", "parquet"]) document.getElementById(link).search = query;
    }
  };
  const byMeaning = () => fields().get("by");
  let waiting = 0;
  form.addEventListener("input", () => {
    clearTimeout(waiting);
    if (whole && !byMeaning()) waiting = setTimeout(apply, 120);
  });
  form.addEventListener("change", (event) => { if ((!whole || byMeaning()) && event.target.name !== "q" && event.target.name !== "by") form.requestSubmit(); });
  form.addEventListener("submit", (event) => {
    if (!whole || byMeaning()) return;
    event.preventDefault();
    apply();
  });

  // In files there is no server to filter a table: the shown rows are written here.
  if (!inFiles) return;
  document.getElementById("csv").addEventListener("click", (event) => {
    event.preventDefault();
    const lines = [list, ...shown].map((each) => JSON.parse(each.dataset.csv).replace(/\r\n$/, ""));
    const table = new Blob([lines.join("\r\n") + "\r\n"], { type: "text/csv" });
    const link = document.createElement("a");
    link.href = URL.createObjectURL(table);
    link.download = event.target.download;
    link.click();
    URL.revokeObjectURL(link.href);
  });
  const asked = new URLSearchParams(location.hash.slice(1));
  for (const [name, value] of asked) if (form.elements[name]) form.elements[name].value = value;
  if (asked.size && !document.getElementById(location.hash.slice(1))) apply();
})();
