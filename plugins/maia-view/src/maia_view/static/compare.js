// Pages in files: lays out the runs that the address names, each from a file of its own, as the server does.
(() => {
  "use strict";
  const page = document.getElementById("side-by-side");
  if (!page || !globalThis.maiaRuns) return;
  const LETTER = /⁂/g;
  const most = Number(page.dataset.most);
  const known = new Map(globalThis.maiaRuns.map((run) => [run.key, run]));
  const asked = new URLSearchParams(location.search || location.hash.slice(1));
  const keys = [...new Set([...new URLSearchParams(location.hash.slice(1)).getAll("run"), ...asked.getAll("run")])].filter((key) => known.has(key)).slice(0, most);
  const make = (tag, text = "", name = "") => {
    const element = document.createElement(tag);
    if (text) element.textContent = text;
    if (name) element.className = name;
    return element;
  };
  // The files hold templates' output, in which every text is escaped.
  const html = (text, letter) => {
    const holder = document.createElement("template");
    holder.innerHTML = text.replace(LETTER, letter);
    return holder.content;
  };
  const letterOf = (run) => make("b", run.letter, `letter ${run.letter}`);

  const choose = () => {
    document.getElementById("choose").hidden = false;
    const form = document.getElementById("choose-form");
    const list = form.querySelector("ul");
    for (const run of globalThis.maiaRuns) {
      const label = make("label");
      const box = make("input");
      box.type = "checkbox";
      box.name = "run";
      box.value = run.key;
      box.checked = keys.includes(run.key);
      label.append(box, make("b", run.label || "no answer"), make("span", `${run.unit}, ${run.backbone}`), make("span", run.verdict || run.status, `state ${(run.verdict || run.status).replaceAll(" ", "-")}`));
      const item = make("li");
      item.append(label);
      list.append(item);
    }
    const items = [...list.children];
    document.getElementById("choose-search").addEventListener("input", (event) => {
      const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
      items.forEach((item, at) => { item.hidden = !words.every((word) => globalThis.maiaRuns[at].text.includes(word)); });
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const chosen = [...form.querySelectorAll("input:checked")].map((box) => ["run", box.value]).slice(0, most);
      if (chosen.length > 1) location.assign(`?${new URLSearchParams(chosen)}`);
    });
  };

  const found = new Map();
  globalThis.maiaRun = (key, data) => found.set(key, data);
  const load = (key) => new Promise((done) => {
    const script = make("script");
    script.onload = script.onerror = done;
    script.src = `${key}.js`;
    document.head.append(script);
  });

  // Positions in a row are percent of the run's own axis, with 2.5 percent free at either end.
  const MARGIN = 2.5;
  const number = (value) => (value === null ? "–" : Number(value.toPrecision(3)).toString());
  const rounded = (low, high) => {
    const rough = (high - low) / 6;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough * (1 - 1e-9));
    const ticks = [];
    for (let n = Math.ceil(low / step - 1e-9); n <= Math.floor(high / step + 1e-9); n += 1) ticks.push(n * step);
    return ticks;
  };
  const plots = (runs, relative) => {
    const place = document.getElementById("plots");
    const unit = (run) => (relative ? run.unit : 1);
    const low = Math.min(...runs.map((run) => run.axis[0] / unit(run)));
    const high = Math.max(...runs.map((run) => run.axis[1] / unit(run)));
    const to = (value) => MARGIN + (100 - 2 * MARGIN) * (value - low) / (high - low);
    const drawn = (run, row, title) => {
      const part = html(row.html, run.letter).firstElementChild;
      const [from, until] = run.axis;
      for (const mark of part.querySelectorAll(".strip .dot, .strip .mean, .strip .interval")) {
        for (const name of ["cx", "x1", "x2"]) {
          if (!mark.hasAttribute(name)) continue;
          const value = from + (parseFloat(mark.getAttribute(name)) - MARGIN) / (100 - 2 * MARGIN) * (until - from);
          mark.setAttribute(name, `${to(value / unit(run))}%`);
        }
      }
      part.querySelector(".label").textContent = title;
      part.querySelector(".value b").textContent = number(row.mean === null ? null : row.mean / unit(run));
      return part;
    };
    const titles = new Map();
    for (const run of runs) for (const row of run.rows) titles.set(row.title, [...(titles.get(row.title) ?? []), [run, row]]);
    const best = (rows) => Math.max(...rows.map(([run, row]) => (row.mean ?? -Infinity) / unit(run)));
    const shared = [...titles].filter(([, rows]) => rows.length > 1)
      .sort(([, a], [, b]) => b[0][1].exemplars - a[0][1].exemplars || best(b) - best(a)).slice(0, 14);
    const groups = shared.map(([title, rows]) => [title, rows.map(([run, row]) => drawn(run, row, `${run.letter}  ${run.label || run.ref}`))]);
    for (const run of runs) {
      const own = run.rows.filter((row) => titles.get(row.title).length === 1).slice(0, 6);
      if (own.length) groups.push([`Only ${run.letter}: highest of ${run.conditions} conditions`, own.map((row) => drawn(run, row, row.title))]);
    }
    const axis = html('<div class="row axis" aria-hidden="true"><div class="label"></div><svg class="strip" width="100%" height="22"></svg><div class="value"><small>mean</small></div></div>', "").firstElementChild;
    for (const tick of rounded(low, high)) {
      const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
      const text = document.createElementNS("http://www.w3.org/2000/svg", "text");
      for (const [name, value] of [["class", "tick"], ["x1", `${to(tick)}%`], ["x2", `${to(tick)}%`], ["y1", 0], ["y2", 5]]) line.setAttribute(name, value);
      for (const [name, value] of [["x", `${to(tick)}%`], ["y", 18], ["text-anchor", "middle"]]) text.setAttribute(name, value);
      text.textContent = number(tick);
      axis.querySelector("svg").append(line, text);
    }
    place.replaceChildren(...groups.flatMap(([title, rows]) => {
      const plot = make("div", "", "plot");
      plot.append(...rows);
      return [make("h3", title), plot];
    }));
    place.querySelector(".plot:last-of-type")?.append(axis);
    document.getElementById("axis-text").textContent = `${relative ? "On one axis, in units of each run’s mean exemplar: units and models differ in what an activation of 1 means." : "On one axis, as they were measured."} Conditions that several runs measured stand first.`;
    for (const link of document.querySelectorAll("[data-scale]")) link.toggleAttribute("aria-current", link.dataset.scale === (relative ? "relative" : "raw"));
  };

  const table = (name, first, runs, rows) => {
    const target = page.querySelector(`table.${name}`);
    const heads = [make("th", first), ...runs.map((run) => { const cell = make("th"); cell.append(letterOf(run), ` ${name === "turns" ? run.backbone : ""}`); return cell; })];
    for (const cell of heads) cell.scope = "col";
    target.tHead.rows[0].append(...heads);
    target.tBodies[0].append(...rows);
  };
  const lay = (runs) => {
    page.hidden = false;
    page.querySelector("h1").textContent = `${runs.length} runs side by side`;
    document.getElementById("heads").append(...runs.map((run) => html(run.head, run.letter)));
    document.getElementById("exemplars").append(...runs.map((run) => html(run.exemplars, run.letter)));
    const tests = new Map();
    for (const run of runs) for (const [title, text] of run.tests) tests.set(title, [...(tests.get(title) ?? []), [run, text]]);
    const place = document.getElementById("tests");
    place.hidden = !tests.size;
    for (const [title, lanes] of [...tests].sort(([, a], [, b]) => b.length - a.length)) {
      const heading = make("h3", title);
      if (lanes.length === 1) heading.append(" ", make("small", `only ${lanes[0][0].letter}`));
      const strip = make("div", "", "lanes scroll");
      strip.tabIndex = 0;
      strip.setAttribute("role", "region");
      strip.setAttribute("aria-label", title);
      // The same test of several runs is enlarged side by side: its pictures have the same name in each.
      strip.append(...lanes.map(([run, text]) => html(text.replaceAll('data-lockstep="⁂', 'data-lockstep="t'), run.letter)));
      place.append(heading, strip);
    }
    const longest = Math.max(0, ...runs.map((run) => run.turns.length));
    table("turns", "turn", runs, Array.from({ length: longest }, (_, at) => {
      const row = make("tr");
      const head = make("th", String(at + 1));
      head.scope = "row";
      row.append(head, ...runs.map((run) => {
        const cell = make("td");
        const [kind, stated] = run.turns[at] ?? ["", []];
        if (kind) {
          const link = make("a", kind, "kind");
          link.href = `../runs/${run.key}/index.html#turn-${at + 1}`;
          cell.append(link);
        }
        if (stated.length) {
          const list = make("ul");
          for (const text of stated) {
            const isNew = !run.turns.slice(0, at).some(([, before]) => before.includes(text));
            const item = make("li", "", isNew ? "new" : "");
            if (isNew) item.append(make("span", "new: ", "hidden"));
            item.append(text);
            list.append(item);
          }
          cell.append(list);
        }
        return cell;
      }));
      return row;
    }));
    const settings = [...new Set(runs.flatMap((run) => Object.keys(run.facts)))].sort(new Intl.Collator("en", { numeric: true }).compare)
      .map((name) => [name, runs.map((run) => run.facts[name] ?? "–")]).filter(([, values]) => new Set(values).size > 1).slice(0, 80);
    table("differs", "setting", runs, settings.map(([name, values]) => {
      const row = make("tr");
      const head = make("th", name);
      head.scope = "row";
      row.append(head, ...values.map((value) => make("td", value)));
      return row;
    }));
    const chosen = asked.get("scale");
    plots(runs, chosen ? chosen === "relative" : new Set(runs.map((run) => run.ref)).size > 1);
    for (const link of document.querySelectorAll("[data-scale]")) {
      link.addEventListener("click", (event) => {
        event.preventDefault();
        asked.set("scale", link.dataset.scale);
        plots(runs, link.dataset.scale === "relative");
        history.replaceState(null, "", `#${asked}`);
      });
    }
  };

  if (keys.length < 2) { choose(); return; }
  Promise.all(keys.map(load)).then(() => {
    const runs = keys.filter((key) => found.has(key)).map((key, at) => ({ ...found.get(key), key, letter: String.fromCharCode(65 + at) }));
    for (const key of keys.filter((one) => !found.has(one))) document.getElementById("problems").append(make("p", `${known.get(key).unit}: its file is missing in this folder.`, "warning"));
    if (runs.length > 1) lay(runs);
    else choose();
  });
})();
