// A formula or a table wider than its column scrolls; the keyboard has to reach it then.
(() => {
  const wide = 'mjx-container[display="true"], .bd-article table, .pst-scrollable-table-container';
  const reach = () => {
    for (const box of document.querySelectorAll(wide)) {
      const scrolls = box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight;
      if (scrolls) box.setAttribute("tabindex", "0");
      else box.removeAttribute("tabindex");
    }
  };
  addEventListener("load", async () => {
    await window.MathJax?.startup?.promise;
    reach();
    addEventListener("resize", reach);
  });
})();
