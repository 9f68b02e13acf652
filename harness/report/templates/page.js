"use strict";
// Draws the plots, brings the page into its state for paper, and unpacks what is too long to stand in the page as it is.
(() => {
  const options = { ast: true, actions: false, renderer: "svg", mode: "vega-lite", defaultStyle: true };
  const waiting = new Set(document.querySelectorAll(".plot")); // in the page's order
  let unfinished = waiting.size;

  const draw = async (place) => {
    const source = document.querySelector(`script[data-for="${place.id}"]`);
    const { view } = await window.vegaEmbed(place, JSON.parse(source.textContent), options);
    place.style.minHeight = "";
    const slider = document.querySelector(`input[data-plot="${place.id}"]`);
    if (!slider) return;
    const steps = slider.dataset.steps.split(" ").map(Number);
    const output = document.querySelector(`output[for="${slider.id}"]`);
    const follow = () => {
      const requests = steps[Number(slider.value)];
      output.textContent = requests.toLocaleString("en");
      slider.setAttribute("aria-valuetext", `${requests} requests on one connection`);
      view.signal("requests", requests).runAsync();
    };
    slider.addEventListener("input", follow);
    follow();
  };

  const begin = async (place) => {
    if (!waiting.delete(place)) return;
    await draw(place);
    unfinished -= 1;
    if (!unfinished) document.documentElement.dataset.drawn = "true";
  };

  // One after the other, so that the page answers in between: first what the reader comes near, then, whenever there is
  // time, the next of the others. Nothing depends on the reader's getting there: paper shows all of them.
  let turn = Promise.resolve();
  const soon = (place) => {
    turn = turn.then(() => begin(place));
    return turn;
  };
  const whenIdle = window.requestIdleCallback || ((step) => setTimeout(step, 50));
  const drawNext = () => {
    const [place] = waiting;
    if (place) soon(place).then(() => whenIdle(drawNext));
  };
  const start = () => {
    if ("IntersectionObserver" in window) {
      const near = new IntersectionObserver(
        (seen) => {
          for (const { target } of seen.filter((one) => one.isIntersecting)) {
            near.unobserve(target);
            soon(target);
          }
        },
        { rootMargin: "50% 0px" },
      );
      for (const place of waiting) near.observe(place);
    }
    whenIdle(drawNext);
  };
  if (!unfinished) document.documentElement.dataset.drawn = "true";
  requestAnimationFrame(() => setTimeout(start, 0));

  // What is drawn or shown late moves what is below it, and not every browser keeps in place what is in view: a link's
  // target is held there until the reader does something, or everything must have come.
  const held = location.hash && document.getElementById(location.hash.slice(1));
  if (held && "ResizeObserver" in window) {
    const growing = new ResizeObserver(() => held.scrollIntoView({ behavior: "instant" }));
    growing.observe(document.querySelector("main"));
    const release = () => growing.disconnect();
    const acts = ["wheel", "touchmove", "keydown", "pointerdown", "hashchange", "beforeprint"];
    for (const act of acts) addEventListener(act, release, { once: true, passive: true });
    setTimeout(release, 5000);
  }

  // On paper nothing can be unfolded, or drawn later; what was folded is folded again afterwards. What is packed stays
  // so unless the reader has unfolded it: it would be hundreds of pages, and says where its figures are.
  let unfolded = [];
  const toPaper = () => {
    for (const place of [...waiting]) begin(place);
    const folded = [...document.querySelectorAll("details:not([open]):not(.packed)")];
    for (const details of folded) details.open = true;
    unfolded.push(...folded);
  };
  const toScreen = () => {
    for (const details of unfolded) details.open = false;
    unfolded = [];
  };
  addEventListener("beforeprint", toPaper);
  addEventListener("afterprint", toScreen);
  matchMedia("print").addEventListener("change", (medium) => (medium.matches ? toPaper() : toScreen()));

  // The text of a script element that holds base64 of zlib.
  const unpacked = (element) => {
    const packed = Uint8Array.from(atob(element.textContent), (character) => character.charCodeAt(0));
    return new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"))).text();
  };
  if (!("DecompressionStream" in window)) return; // the page says what is missing and where it is

  // Long tables, once they are unfolded. Whoever works on tables hears "unpacked" from the details element.
  const unpack = async (details) => {
    const source = details.querySelector(":scope > .packed-html");
    if (!source) return;
    source.remove();
    const html = await unpacked(source);
    details.querySelector(":scope > .packed-note").hidden = true;
    details.insertAdjacentHTML("beforeend", html);
    details.dispatchEvent(new CustomEvent("unpacked", { bubbles: true }));
  };
  const long = [...document.querySelectorAll("details.packed")];
  for (const details of long) details.addEventListener("toggle", () => details.open && unpack(details));

  // A link to something that is still packed.
  const follow = async () => {
    const name = location.hash.slice(1);
    if (!name || document.getElementById(name)) return;
    for (const details of long) {
      await unpack(details);
      const target = document.getElementById(name);
      if (!target) continue;
      details.open = true;
      target.scrollIntoView({ behavior: "instant" });
      return;
    }
  };
  addEventListener("hashchange", follow);

  for (const link of document.querySelectorAll("a[data-packed]")) {
    link.closest("[hidden]").hidden = false;
    link.addEventListener("click", async (event) => {
      if (link.href.startsWith("blob:")) return;
      event.preventDefault();
      const text = await unpacked(document.getElementById(link.dataset.packed));
      link.href = URL.createObjectURL(new Blob([text], { type: link.dataset.kind }));
      link.click();
    });
  }
  follow();
})();
