(() => {
  "use strict";
  document.documentElement.classList.add("scripted");

  // Choices become part of the address, so that it shows the same view again.
  document.addEventListener("change", (event) => {
    const input = event.target;
    if (input.name === "masks") {
      const address = new URL(location.href);
      address.searchParams.set("masks", input.value);
      history.replaceState(null, "", address);
    }
    if (input.form?.hasAttribute("data-auto")) submit(input.form);
    choose();
  });

  // The list: filters act at once, and compare needs two runs.
  let waiting = 0;
  const submit = (form) => {
    clearTimeout(waiting);
    const fields = [...new FormData(form)].filter(([, value]) => value !== "");
    load(`${form.getAttribute("action")}?${new URLSearchParams(fields)}`);
  };
  const load = async (address, quiet = false) => {
    try {
      const answer = await fetch(address, { headers: { accept: "text/html" } });
      if (!answer.ok) throw new Error(answer.statusText);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const chosen = new Set([...document.querySelectorAll("#runs input:checked")].map((box) => box.value));
      for (const part of [".above p", "#runs", ".pager"]) {
        const now = document.querySelector(part);
        const next = page.querySelector(part);
        if (now && next) now.replaceWith(next);
        else if (now && part === ".pager") now.remove();
        else if (next) document.querySelector("main").append(next);
      }
      for (const box of document.querySelectorAll("#runs input")) box.checked = chosen.has(box.value);
      if (!quiet) history.replaceState(null, "", address);
      choose();
      resume();
    } catch {
      if (!quiet) location.assign(address);
    }
  };
  // A search over runs that were not all read yet resumes until they are.
  const resume = () => {
    if (document.querySelector("#runs[data-progress]")) waiting = setTimeout(() => load(location.href, true), 100);
  };
  const choose = () => {
    const button = document.querySelector("[data-needs-two]");
    if (!button) return;
    const count = document.querySelectorAll("#runs input:checked").length;
    button.disabled = count < 2 || count > 6;
    button.textContent = count > 6 ? "Compare at most six runs" : count ? `Compare ${count} chosen run${count > 1 ? "s" : ""}` : "Choose runs to compare";
  };
  document.addEventListener("input", (event) => {
    if (event.target.type !== "search" || !event.target.form?.hasAttribute("data-auto")) return;
    clearTimeout(waiting);
    waiting = setTimeout(submit, 200, event.target.form);
  });
  addEventListener("pageshow", choose);
  resume();
  setInterval(() => {
    if (document.querySelector("#runs[data-refresh]") && document.visibilityState === "visible" && !document.activeElement?.closest("#runs")) load(location.href, true);
  }, 4000);

  // A run that goes on: its turns come in as they happen.
  const live = document.body.dataset.live;
  if (!live) return;
  const state = document.getElementById("live");
  const html = (text) => {
    const holder = document.createElement("template");
    holder.innerHTML = text;
    return holder.content;
  };
  const put = (now, next) => {
    const open = new Set([...now.querySelectorAll("details[open] > summary")].map((s) => s.textContent));
    for (const summary of next.querySelectorAll("details > summary")) if (open.has(summary.textContent)) summary.parentElement.open = true;
    now.replaceWith(next);
  };
  const source = new EventSource(live);
  source.onopen = () => { state.textContent = "live"; state.classList.remove("lost"); };
  source.onerror = () => { state.textContent = "connection lost, trying again"; state.classList.add("lost"); };
  source.addEventListener("gone", (event) => { source.close(); state.textContent = JSON.parse(event.data).reason; state.classList.add("lost"); });
  source.onmessage = (event) => {
    const change = JSON.parse(event.data);
    for (const [id, text] of Object.entries(change.turns)) {
      const next = html(text).firstElementChild;
      const now = document.getElementById(id);
      if (now) put(now, next);
      else document.querySelector(".timeline").append(next);
      state.textContent = id.replace("-", " ");
    }
    document.querySelector("#experiments > .lead")?.remove();
    if (change.claim) {
      const chosen = document.querySelector('input[name="masks"]:checked')?.value;
      document.querySelector(".hero").replaceChildren(html(change.claim));
      if (chosen) document.getElementById(`masks-${chosen}`)?.click();
    }
    if (change.evidence) put(document.getElementById("evidence"), html(change.evidence).firstElementChild);
    // Verdict and notes come with the end: the whole page is there then.
    if (change.ended) { source.close(); location.reload(); }
  };
})();
