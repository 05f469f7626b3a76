(() => {
  "use strict";
  const viewer = document.getElementById("viewer");
  const stage = viewer.querySelector(".stage");
  const caption = viewer.querySelector(".caption");
  const lift = viewer.querySelector('[data-do="mask"]');
  const pictures = [...document.querySelectorAll("button.pic")];
  let place = 0;
  let lifted = false;

  const show = (to) => {
    place = (to + pictures.length) % pictures.length;
    const copy = pictures[place].cloneNode(true);
    const large = document.createElement("div");
    large.className = copy.className.replace("small", "") + " large";
    large.append(...copy.childNodes);
    stage.replaceChildren(large);
    caption.textContent = pictures[place].dataset.caption;
    const veil = large.querySelector(".veil");
    if (veil) veil.hidden = lifted;
    lift.hidden = !veil;
    lift.textContent = lifted ? "Show mask" : "Lift mask";
    viewer.setAttribute("aria-label", caption.textContent);
  };
  const acts = {
    back: () => show(place - 1),
    on: () => show(place + 1),
    mask: () => { lifted = !lifted; show(place); },
    close: () => viewer.close(),
  };

  document.addEventListener("click", (event) => {
    const picture = event.target.closest("button.pic");
    if (picture) {
      lifted = document.getElementById("unmasked")?.checked ?? false;
      show(pictures.indexOf(picture));
      viewer.showModal();
    } else if (event.target === viewer) viewer.close();
    else acts[event.target.dataset?.do]?.();
  });
  viewer.addEventListener("keydown", (event) => {
    const act = { ArrowLeft: "back", ArrowRight: "on", m: "mask" }[event.key];
    if (act) acts[act]();
  });
  viewer.addEventListener("close", () => pictures[place]?.focus());
  addEventListener("beforeprint", () => document.querySelectorAll("details.program").forEach((d) => { d.open = true; }));
})();
