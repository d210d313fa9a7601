// A formula wider than its column scrolls; the keyboard has to reach it then.
(() => {
  const reach = () => {
    for (const formula of document.querySelectorAll('mjx-container[display="true"]')) {
      const scrolls =
        formula.scrollWidth > formula.clientWidth || formula.scrollHeight > formula.clientHeight;
      if (scrolls) formula.setAttribute("tabindex", "0");
      else formula.removeAttribute("tabindex");
    }
  };
  addEventListener("load", async () => {
    await window.MathJax?.startup?.promise;
    reach();
    addEventListener("resize", reach);
  });
})();
