// The page of a library: it joins the map, the list, the player and the rest.
import { ask, find, make, paint } from "./api.js";
import * as learn from "./learn.js";
import * as list from "./list.js";
import * as map from "./map.js";
import * as player from "./player.js";
import * as playlists from "./playlists.js";
import * as song from "./song.js";
import { colour, groups, load, loadTexts, onChange, set, songs, texts } from "./songs.js";
import * as tags from "./tags.js";

const MOST_GROUPS = 200;
const HOVER_MS = 160, TYPING_MS = 120, ASKING_MS = 350;

function theme(name) {
  document.documentElement.dataset.theme = name;
  find("theme").textContent = name === "dark" ? "Light" : "Dark";
  try { localStorage.setItem("quintet-theme", name); } catch { /* private window */ }
}

function select(row) {
  list.select(row);
  map.mark(row);
  song.show(row);
}

function play(row) {
  select(row);
  player.play(row);
}

function showGroups() {
  const { names, counts, order } = groups();
  const items = order.slice(0, MOST_GROUPS).map((code) => make("li", {},
    make("button", { type: "button", "aria-pressed": String(songs.chosen === names[code]), onclick: () => set({ chosen: songs.chosen === names[code] ? null : names[code] }) },
      paint(make("span", { class: "swatch" }), colour(code)),
      make("span", { class: "name" }, names[code]), make("span", { class: "count" }, counts[code].toLocaleString("en")))));
  if (order.length > MOST_GROUPS) items.push(make("li", { class: "hint" }, `and ${(order.length - MOST_GROUPS).toLocaleString("en")} smaller ones: search for them`));
  find("groups").replaceChildren(...items);
}

function refresh() {
  showGroups();
  if (songs.hasTexts) learn.showCorrections();
  list.refresh();
  map.paint();
}

function later(milliseconds, work) {
  let timer = 0;
  return (...values) => { clearTimeout(timer); timer = setTimeout(() => work(...values), milliseconds); };
}

async function restrict() {
  const text = find("condition").value.trim(), state = find("condition-state");
  if (!text) { state.textContent = ""; set({ where: null }); return; }
  try {
    const { rows } = await ask(`/api/where?condition=${encodeURIComponent(text)}`);
    state.className = "hint";
    state.textContent = `${rows.length.toLocaleString("en")} songs meet it.`;
    set({ where: rows });
  } catch (error) {
    state.className = "hint bad";
    state.textContent = error.message;
  }
}

function showView(name) {
  for (const view of document.querySelectorAll(".view")) view.hidden = view.id !== name;
  for (const button of document.querySelectorAll("[data-view]")) button.setAttribute("aria-pressed", String(button.dataset.view === name));
}

function listen() {
  for (const button of document.querySelectorAll("[data-view]")) button.addEventListener("click", () => showView(button.dataset.view));
  find("theme").addEventListener("click", () => { theme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"); refresh(); player.show(); });
  find("help").addEventListener("click", () => find("keys").showModal());
  find("search").addEventListener("input", later(TYPING_MS, () => set({ search: find("search").value })));
  find("condition").addEventListener("input", later(ASKING_MS, restrict));
  find("group").addEventListener("change", () => set({ group: find("group").value, chosen: null }));
  find("sort").addEventListener("change", () => set({ sort: find("sort").value }));
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && song.shown() >= 0) { song.close(); return; }
    const inField = event.target.matches("input, select, textarea, button, a") || event.ctrlKey || event.metaKey || event.altKey;
    if (event.key === "/" && !event.target.matches("input, select")) { event.preventDefault(); find("search").focus(); }
    if (inField || find("keys").open) return;
    if (event.key === " ") { event.preventDefault(); player.toggle(); }
    else if (event.key === "s" && song.shown() >= 0) find("more-like").click();
    else if (event.key === "p" && song.shown() >= 0) playlists.add(song.shown());
  });
}

// The songs anew, after another model has predicted them.
async function reload() {
  songs.state = await ask("/api/state");
  learn.showScore();
  song.close();
  Object.assign(songs, { group: "verdict", chosen: null });
  find("group").value = "verdict";
  await load();
  await loadTexts();
}

const idle = (work) => (window.requestIdleCallback ?? setTimeout)(work);

async function begin() {
  const columns = load(), state = ask("/api/state");  // on their way while the rest starts
  let kept = null;
  try { kept = localStorage.getItem("quintet-theme"); } catch { /* private window */ }
  theme(kept ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));
  onChange(refresh);
  const hovered = later(HOVER_MS, (row) => { if (find("hover-play").checked) player.play(row); });
  map.start({ point: hovered, play });
  const points = map.load();
  listen();
  list.start({ select, play, drag: playlists.showTargets });
  player.start({ started: list.setPlaying });
  song.start({ select, play, enlist: (row) => playlists.add(row) });
  tags.start();
  playlists.start();
  songs.state = await state;
  if (!songs.state.model) songs.group = find("group").value = "genre";  // nothing is predicted
  document.body.dataset.library = songs.state.name;
  document.title = songs.state.name;
  find("name").textContent = songs.state.name;
  find("summary").textContent = `${songs.state.n.toLocaleString("en")} songs`
    + (songs.state.failures ? `, ${songs.state.failures.toLocaleString("en")} files without one` : "");
  tags.showJournals();
  learn.showScore();
  await Promise.all([columns, points]);
  map.paint();
  await map.drawn();
  await loadTexts();
  await Promise.all([map.wait(), playlists.load(), learn.start({ reload })]);
  idle(texts);
}

begin().catch((error) => { find("summary").textContent = error.message; find("summary").className = "bad"; });
