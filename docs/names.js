/* names for the theme's landmarks beside blocks of code, and keys for wide tables, which scroll */
const complete = () => {
  document.querySelectorAll(".md-code__nav:not([aria-label])").forEach((nav, k) => nav.setAttribute("aria-label", `Code block ${k + 1}`));
  document.querySelectorAll(".md-typeset__scrollwrap:not([tabindex])").forEach((box) => {
    if (box.scrollWidth > box.clientWidth) box.setAttribute("tabindex", "0");
  });
};
new MutationObserver(complete).observe(document.documentElement, { childList: true, subtree: true });
addEventListener("resize", complete);
