"use strict";
// Draws each plot from the specification beside it, one after the other, once the page has been painted.
(() => {
  const options = { ast: true, actions: false, renderer: "svg", mode: "vega-lite", defaultStyle: true };

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

  const drawAll = async () => {
    for (const place of document.querySelectorAll(".plot")) await draw(place);
    document.documentElement.dataset.drawn = "true";
  };
  requestAnimationFrame(() => setTimeout(drawAll, 0));

  // On paper nothing can be unfolded; what was folded is folded again afterwards.
  let unfolded = [];
  addEventListener("beforeprint", () => {
    unfolded = [...document.querySelectorAll("details:not([open]):not(.long)")];
    for (const details of unfolded) details.open = true;
  });
  addEventListener("afterprint", () => {
    for (const details of unfolded) details.open = false;
  });
})();
