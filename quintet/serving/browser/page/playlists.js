// Playlists: made by dragging songs or with a button, kept with the library, exported as M3U.
import { ask, find, make } from "./api.js";
import { artist, songs, title } from "./songs.js";

let lists = {}, open = null, rowOf = new Map();

export async function start() {
  find("list-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const name = find("list-name").value.trim();
    if (!name) return;
    if (!(name in lists)) lists[name] = [];
    open = name;
    find("list-name").value = "";
    await keep();
  });
}

export async function load() {
  rowOf = new Map(songs.id.map((id, row) => [id, row]));
  lists = await ask("/api/playlists");
  open = Object.keys(lists)[0] ?? null;
  render();
}

export async function add(row, name = open) {
  if (name === null) name = "My playlist";
  if (!(name in lists)) lists[name] = [];
  open = name;
  lists[name].push(songs.id[row]);
  await keep();
  find("summary").textContent = `“${title(row)}” is in “${name}”.`;
}

// Where a song that is dragged can be dropped.
export function showTargets(isShown) {
  const box = find("drop");
  box.hidden = !isShown;
  if (!isShown) return;
  const names = Object.keys(lists);
  box.replaceChildren(...(names.length ? names : ["My playlist"]).map((name) => target(make("div", { class: "target" }, name), name)));
}

function target(element, name) {
  element.addEventListener("dragover", (event) => { event.preventDefault(); element.classList.add("over"); });
  element.addEventListener("dragleave", () => element.classList.remove("over"));
  element.addEventListener("drop", (event) => {
    event.preventDefault();
    element.classList.remove("over");
    const row = rowOf.get(event.dataTransfer.getData("text/plain"));
    if (row !== undefined) add(row, name);
  });
  return element;
}

async function keep() {
  try {
    lists = await ask("/api/playlists", lists);
    find("list-state").textContent = "";
  } catch (error) { find("list-state").textContent = error.message; }
  render();
}

function render() {
  const boxes = Object.entries(lists).map(([name, ids]) => {
    const items = ids.map((id, at) => {
      const row = rowOf.get(id);
      const text = row === undefined ? "a song that is gone" : `${title(row)} · ${artist(row)}`;
      const move = (by) => { const other = at + by; if (other >= 0 && other < ids.length) { [ids[at], ids[other]] = [ids[other], ids[at]]; keep(); } };
      return make("li", {}, make("div", { class: "entry" }, make("span", {}, text), make("span", { class: "tools" },
        make("button", { type: "button", "aria-label": `Move ${text} up`, onclick: () => move(-1) }, "↑"),
        make("button", { type: "button", "aria-label": `Move ${text} down`, onclick: () => move(1) }, "↓"),
        make("button", { type: "button", "aria-label": `Remove ${text}`, onclick: () => { ids.splice(at, 1); keep(); } }, "×"))));
    });
    return target(make("article", { class: "playlist", "aria-label": name },
      make("header", {}, make("h3", {}, name), make("span", { class: "hint" }, `${ids.length} songs`),
        make("button", { type: "button", "aria-pressed": String(name === open), onclick: () => { open = name; render(); } }, name === open ? "Songs go here" : "Put songs here"),
        make("button", { type: "button", onclick: () => save(name) }, "Export"),
        make("button", { type: "button", onclick: () => { delete lists[name]; if (open === name) open = null; keep(); } }, "Delete")),
      make("ol", {}, ...items)), name);
  });
  find("list-all").replaceChildren(...(boxes.length ? boxes
    : [make("p", { class: "hint" }, "None yet. Drag songs from the list to the bottom of the page, or choose a song and “Add to playlist” (key p).")]));
}

async function save(name) {
  try {
    const text = await ask("/api/playlists/export", { name, ids: lists[name] });
    const link = make("a", { href: URL.createObjectURL(new Blob([text], { type: "audio/x-mpegurl" })), download: `${name}.m3u8` });
    link.click();
    URL.revokeObjectURL(link.href);
  } catch (error) { find("list-state").textContent = error.message; }
}
