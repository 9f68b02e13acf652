"use strict";
// Draws each plot from the specification beside it: first what the reader comes near.
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
  addEventListener("paper", () => {
    for (const place of [...waiting]) begin(place);
  });
})();
