// The list of the shown songs. Only the rows in view are in the document.
import { find, make } from "./api.js";
import { artist, name, songs, title, verdict } from "./songs.js";

const HEIGHT = 52, AHEAD = 8;
const box = find("rows"), filler = make("div", { class: "filler", role: "presentation" });
let selected = -1, playingRow = -1, handlers = {}, kept = new Map();

export function start(given) {
  handlers = given;
  box.append(filler);
  box.addEventListener("scroll", render);
  new ResizeObserver(render).observe(box);
  box.addEventListener("keydown", (event) => {
    const at = songs.visible.indexOf(selected), last = songs.visible.length - 1;
    const page = Math.max(1, Math.floor(box.clientHeight / HEIGHT) - 1);
    const to = { ArrowDown: at + 1, ArrowUp: Math.max(0, at - 1), Home: 0, End: last, PageDown: at + page, PageUp: at - page }[event.key];
    if (to !== undefined && last >= 0) {
      event.preventDefault();
      handlers.select(songs.visible[Math.max(0, Math.min(last, to))]);
    } else if (event.key === "Enter" && selected >= 0) handlers.play(selected);
  });
}

export function select(row) {
  selected = row;
  const at = songs.visible.indexOf(row);
  if (at >= 0) {
    const top = at * HEIGHT;
    if (top < box.scrollTop) box.scrollTop = top;
    else if (top + HEIGHT > box.scrollTop + box.clientHeight) box.scrollTop = top + HEIGHT - box.clientHeight;
  }
  render();
}

export function setPlaying(row) {
  playingRow = row;
  render();
}

export function refresh() {
  kept = new Map();
  filler.style.height = `${songs.visible.length * HEIGHT}px`;
  box.scrollTop = 0;
  find("songs").textContent = songs.visible.length === songs.n
    ? `${songs.n.toLocaleString("en")} songs` : `${songs.visible.length.toLocaleString("en")} of ${songs.n.toLocaleString("en")} songs`;
  render();
}

function render() {
  if (!songs.hasTexts) return;
  const first = Math.max(0, Math.floor(box.scrollTop / HEIGHT) - AHEAD);
  const last = Math.min(songs.visible.length, Math.ceil((box.scrollTop + box.clientHeight) / HEIGHT) + AHEAD);
  const now = new Map();
  for (let at = first; at < last; at++) {
    const row = songs.visible[at], element = kept.get(row) ?? rowOf(row, at);  // the same element for a double click
    element.setAttribute("aria-selected", String(row === selected));
    element.classList.toggle("playing", row === playingRow);
    now.set(row, element);
  }
  if (now.size !== kept.size || [...now.keys()].some((row) => !kept.has(row))) filler.replaceChildren(...now.values());
  kept = now;
  if (songs.visible.includes(selected) && find(`row-${selected}`)) box.setAttribute("aria-activedescendant", `row-${selected}`);
  else box.removeAttribute("aria-activedescendant");
}

function rowOf(row, at) {
  const p = songs.verdict_probability[row], isCorrected = row in songs.corrected;
  const facts = [songs.tempo[row] > 0 ? `${Math.round(songs.tempo[row])} bpm` : "", name("key", row)];
  const genre = verdict(row);
  const element = make("div", {
    class: "row", role: "option", id: `row-${row}`, draggable: "true",
    "aria-setsize": songs.visible.length, "aria-posinset": at + 1,
    onclick: () => handlers.select(row), ondblclick: () => handlers.play(row),
    ondragstart: (event) => { event.dataTransfer.setData("text/plain", songs.id[row]); handlers.drag(true); },
    ondragend: () => handlers.drag(false),
  },
    make("span", { class: "title" }, title(row)),
    make("span", { class: "genre" }, genre ? `${genre}${isCorrected ? " ✓" : p >= 0 ? ` ${Math.round(100 * p)} %` : ""}` : ""),
    make("span", { class: "artist" }, artist(row)),
    make("span", { class: "facts" }, facts.filter(Boolean).join(" · ")));
  element.style.top = `${at * HEIGHT}px`;
  return element;
}
