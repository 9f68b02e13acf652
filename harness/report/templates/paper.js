"use strict";
// Brings the page into its state for paper, where nothing can be unfolded, and back. Whoever has more to do for it hears
// "paper" from the window. What is packed stays so unless the reader has unfolded it: it would be hundreds of pages, and
// says where its figures are.
(() => {
  let unfolded = [];
  const toPaper = () => {
    const folded = [...document.querySelectorAll("details:not([open]):not(.packed)")];
    for (const details of folded) details.open = true;
    unfolded.push(...folded);
    dispatchEvent(new Event("paper"));
  };
  const toScreen = () => {
    for (const details of unfolded) details.open = false;
    unfolded = [];
  };
  addEventListener("beforeprint", toPaper);
  addEventListener("afterprint", toScreen);
  matchMedia("print").addEventListener("change", (medium) => (medium.matches ? toPaper() : toScreen()));
})();
