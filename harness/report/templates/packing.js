"use strict";
// Unpacks what is too long to stand in the page as it is: base64 of zlib, as harness/report/packing.py writes it.
const packing = (() => {
  const isPossible = "DecompressionStream" in window; // else the page says what is missing and where it is

  const unpack = (base64) => {
    const packed = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    return new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate")));
  };

  // A long table, once it is wanted. Whoever works on tables hears "unpacked" from the details element.
  const fill = async (details) => {
    const source = details.querySelector(":scope > .packed-html");
    if (!isPossible || !source) return;
    source.remove();
    const html = await unpack(source.textContent).text();
    details.querySelector(":scope > .packed-note").hidden = true;
    details.insertAdjacentHTML("beforeend", html);
    details.dispatchEvent(new CustomEvent("unpacked", { bubbles: true }));
  };
  for (const details of document.querySelectorAll("details.packed")) {
    details.addEventListener("toggle", () => details.open && fill(details));
  }

  for (const link of isPossible ? document.querySelectorAll("a[data-packed]") : []) {
    link.closest("[hidden]").hidden = false;
    link.addEventListener("click", async (event) => {
      if (link.href.startsWith("blob:")) return;
      event.preventDefault();
      const text = await unpack(document.getElementById(link.dataset.packed).textContent).text();
      link.href = URL.createObjectURL(new Blob([text], { type: link.dataset.kind }));
      link.click();
    });
  }

  return { isPossible, unpack, fill };
})();
