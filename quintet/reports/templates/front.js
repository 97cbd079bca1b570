(() => {
  "use strict";
  const all = (selector) => [...document.querySelectorAll(selector)];
  const chapters = all("details.chapter");
  const reveal = () => {
    const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let node = target; node; node = node.parentElement) if (node.tagName === "DETAILS") node.open = true;
    const own = target && target.closest("summary");
    if (own) own.parentElement.open = true;
    if (target) target.scrollIntoView();
  };
  addEventListener("hashchange", reveal);
  document.querySelectorAll('a[href^="#"]').forEach((a) => a.addEventListener("click", () => { if (a.hash === location.hash) reveal(); }));
  reveal();
  const unfold = document.querySelector(".unfold");
  unfold.addEventListener("click", () => {
    const open = chapters.some((chapter) => !chapter.open);
    chapters.forEach((chapter) => { chapter.open = open; });
    unfold.textContent = open ? "Fold all" : "Unfold all";
  });
  let folded = [];
  addEventListener("beforeprint", () => { folded = all("details").filter((d) => !d.open); folded.forEach((d) => { d.open = true; }); });
  addEventListener("afterprint", () => folded.forEach((d) => { d.open = false; }));

  const bar = document.querySelector(".picked-bar");
  const spans = all(".reasons li[data-by]").map((li) => {
    const fill = li.querySelector(".fill"), reach = li.querySelector(".reach"), zero = li.querySelector(".zero"), value = li.querySelector(".value");
    return { by: JSON.parse(li.dataset.by), fill, reach, zero, value, whole: [fill.style.left, fill.style.width, zero.style.left, value.textContent] };
  });
  const name = (element) => element.textContent.trim();
  let current = "";
  const pick = (chosen) => {
    current = chosen === current ? "" : chosen;
    const any = current !== "";
    bar.hidden = !any;
    bar.querySelector("span").textContent = any ? "Shown for " + current : "";
    all(".pick").forEach((b) => b.setAttribute("aria-pressed", String(b.dataset.pick === current)));
    all(".strip li").forEach((li) => li.classList.toggle("faded", any && li.dataset.class !== current));
    all(".matrix tbody tr").forEach((tr) => [...tr.cells].forEach((cell) => cell.classList.toggle("dim", any && tr.dataset.class !== current && cell.dataset.column !== current)));
    all(".mistakes li").forEach((li) => { li.hidden = any ? li.dataset.label !== current && li.dataset.predicted !== current : !("shown" in li.dataset); });
    all(".picked-note").forEach((note) => { note.textContent = any ? "· " + current : ""; });
    spans.forEach((s) => {
      const own = any && s.by[current];
      const [left, width, zero, text] = own ? [own[0] + "%", own[1] + "%", own[2] + "%", own[3]] : s.whole;
      s.fill.style.left = left; s.fill.style.width = width; s.zero.style.left = zero; s.value.textContent = text;
      if (s.reach) s.reach.hidden = Boolean(own);
    });
    all(".chapter tbody tr, .mini").forEach((row) => {
      const head = row.querySelector("th, caption");
      row.classList.toggle("picked", any && head !== null && (name(head) === current || name(head).startsWith(current + " ")));
    });
    all(".plot .hot").forEach((dot) => {
      const title = dot.querySelector("title");
      dot.classList.toggle("faded", any && title !== null && title.textContent.includes(": ") && !title.textContent.includes(current));
    });
  };
  const commands = JSON.parse(document.getElementById("explain").textContent);
  const close = () => { all(".command").forEach((p) => p.remove()); all(".ask").forEach((b) => b.setAttribute("aria-expanded", "false")); };
  const element = (tag, text, more = {}) => Object.assign(document.createElement(tag), { textContent: text, ...more });
  all(".ask").forEach((button) => button.addEventListener("click", () => {
    const isOpen = button.getAttribute("aria-expanded") === "true";
    close();
    if (isOpen) return;
    button.setAttribute("aria-expanded", "true");
    const [command, page] = commands[button.dataset.clip];
    const code = element("code", command), copy = element("button", "Copy", { type: "button" });
    copy.addEventListener("click", async () => {
      try { await navigator.clipboard.writeText(command); copy.textContent = "Copied"; } catch { getSelection().selectAllChildren(code); }
    });
    const note = element("p", "Run this in the folder of this page:", { className: "command" });
    note.append(code, copy, " then open ", element("a", "the explanation", { href: page + "index.html" }), ".");
    button.closest("li").append(note);
  }));
  all(".pick").forEach((button) => button.addEventListener("click", () => pick(button.dataset.pick)));
  bar.querySelector("button").addEventListener("click", () => pick(current));
})();
