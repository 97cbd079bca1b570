(() => {
  "use strict";
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const button = document.createElement("button");
  const current = () => root.dataset.theme || (system.matches ? "dark" : "light");
  const label = () => { button.textContent = current() === "dark" ? "Light theme" : "Dark theme"; };
  button.type = "button";
  button.addEventListener("click", () => { root.dataset.theme = current() === "dark" ? "light" : "dark"; label(); });
  system.addEventListener("change", label);
  label();
  document.querySelector(".theme-slot").append(button);

  const value = (row, column) => {
    const cell = row.cells[column];
    const raw = (cell?.dataset.value ?? cell?.textContent.trim() ?? "").replace("\u2212", "-");
    const number = parseFloat(raw);
    return raw !== "" && !Number.isNaN(number) ? number : raw === "" ? -Infinity : raw.toLowerCase();
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const head = table.tHead.rows[table.tHead.rows.length - 1];
    const shift = table.tHead.rows.length > 1 ? 1 : 0; // the corner spans both rows of the head
    [...head.cells].forEach((th, index) => {
      const control = document.createElement("button");
      control.type = "button";
      control.append(...[...th.childNodes].filter((node) => node.nodeName !== "A")); // a link does not belong inside a button
      th.prepend(control);
      control.addEventListener("click", () => {
        const column = index + shift;
        const down = th.getAttribute("aria-sort") !== "descending";
        [...head.cells].forEach((other) => other.removeAttribute("aria-sort"));
        th.setAttribute("aria-sort", down ? "descending" : "ascending");
        const rows = [...table.tBodies[0].rows];
        rows.sort((a, b) => { const x = value(a, column), y = value(b, column); return (x < y ? -1 : x > y ? 1 : 0) * (down ? -1 : 1); });
        table.tBodies[0].append(...rows);
      });
    });
  }

  const contents = document.querySelector(".toc details");
  if (matchMedia("(max-width: 1079px)").matches) contents.open = false;
  const links = new Map([...document.querySelectorAll(".toc a")].map((a) => [a.hash.slice(1), a]));
  const observer = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) {
      links.forEach((a) => { a.classList.remove("here"); a.removeAttribute("aria-current"); });
      const link = links.get(entry.target.getAttribute("aria-labelledby"));
      if (link) { link.classList.add("here"); link.setAttribute("aria-current", "true"); }
    }
  }, { rootMargin: "-10% 0px -75% 0px" });
  document.querySelectorAll("main section").forEach((section) => observer.observe(section));
})();
