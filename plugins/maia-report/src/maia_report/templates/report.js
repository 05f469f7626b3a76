(() => {
  "use strict";
  const viewer = document.getElementById("viewer");
  const stage = viewer.querySelector(".stage");
  const caption = viewer.querySelector(".caption");
  const mask = viewer.querySelector('[data-do="mask"]');
  const all = () => [...document.querySelectorAll("a.pic, button.pic")].filter((pic) => !viewer.contains(pic));
  const text = { dark: "Masks: darken", outline: "Masks: outline", off: "Masks: off", map: "Masks: map" };
  let pictures = [];
  let place = 0;

  // Pictures of several runs that stand for the same thing are enlarged side by side.
  const together = (pic) => pic.dataset.lockstep ? pictures.filter((p) => p.dataset.lockstep === pic.dataset.lockstep) : [pic];
  const enlarged = (pic) => {
    const large = document.createElement("div");
    large.className = pic.className.replace("small", "") + " large";
    large.append(...pic.cloneNode(true).childNodes);
    const image = large.querySelector("img:not(.veil)");
    if (image) image.src = pic.href;
    large.querySelectorAll("img").forEach((img) => { img.loading = "eager"; });
    return large;
  };
  const choices = () => [...document.querySelectorAll('input[name="masks"]')];
  const name = () => {
    const chosen = choices().find((choice) => choice.checked);
    mask.hidden = !chosen || !stage.querySelector(".veil");
    mask.textContent = text[chosen?.value] ?? "";
  };
  const show = (to) => {
    place = (to + pictures.length) % pictures.length;
    const group = together(pictures[place]);
    stage.replaceChildren(...group.map((pic) => {
      const figure = document.createElement("figure");
      const words = document.createElement("figcaption");
      words.textContent = pic.dataset.caption;
      figure.append(enlarged(pic), words);
      return figure;
    }));
    viewer.classList.toggle("several", group.length > 1);
    caption.textContent = `${place + 1} of ${pictures.length}`;
    viewer.setAttribute("aria-label", pictures[place].dataset.caption);
    name();
  };
  // The next picture that is not shown already.
  const move = (by) => {
    const group = together(pictures[place]);
    let to = place;
    do { to = (to + by + pictures.length) % pictures.length; } while (group.includes(pictures[to]) && group.length < pictures.length && to !== place);
    show(to);
  };
  const acts = {
    back: () => move(-1),
    on: () => move(1),
    mask: () => {
      const known = choices();
      const next = known[(known.findIndex((choice) => choice.checked) + 1) % known.length];
      next?.click();
      name();
    },
    close: () => viewer.close(),
  };

  document.addEventListener("click", (event) => {
    const picture = event.target.closest("a.pic, button.pic");
    if (picture && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
      event.preventDefault();
      pictures = all();
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
