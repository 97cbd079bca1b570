// The songs: columns from the server, groups of them, and which of them are shown.
import { ask } from "./api.js";

const EMPTY = "none";
const OTHERS = -1;
const PALETTES = {
  light: ["#0072b2", "#c85200", "#00845f", "#b0528a", "#946400", "#6f7f00", "#6b4fa0", "#c0392b"],
  dark: ["#5fb2ee", "#f28b4b", "#3fc79b", "#e39ac4", "#e0b23e", "#b5d96b", "#b9a2ee", "#ff8f7a"],
};
const OTHER_COLOURS = { light: "#9aa1a9", dark: "#69727d" };

export const songs = { n: 0, visible: new Int32Array(0), group: "verdict", chosen: null, sort: "", search: "", where: null };
const listeners = [];
const cache = new Map();
let haystack = [];

export const onChange = (listener) => listeners.push(listener);

export async function load() {
  Object.assign(songs, await ask("/api/songs"));
  cache.clear();
  haystack = new Array(songs.n);
  for (let row = 0; row < songs.n; row++) {
    haystack[row] = [
      songs.title[row], name("artist", row), name("album", row), name("genre", row), verdict(row), songs.path[row],
    ].join("\n").toLowerCase();
  }
  refresh();
}

export const name = (column, row) => {
  const code = songs[column].codes[row];
  return code < 0 ? "" : songs[column].values[code];
};
export const verdict = (row) => songs.corrected[row] ?? name("verdict", row);
export const title = (row) => songs.title[row] || songs.path[row].split("/").pop();
export const artist = (row) => name("artist", row) || songs.path[row].split("/").slice(0, -1).join("/");

function label(kind, row) {
  if (kind === "verdict") return verdict(row) || EMPTY;
  if (kind === "tempo") {
    const tempo = songs.tempo[row];
    if (tempo < 0) return EMPTY;
    const from = Math.floor(tempo / 20) * 20;
    return `${from}–${from + 19}`;
  }
  if (kind === "confidence") {
    const p = songs.verdict_probability[row];
    if (p < 0) return EMPTY;
    const from = Math.min(90, Math.floor(p * 10 + 1e-9) * 10);
    return `${from}–${from + 10} %`;
  }
  return name(kind, row) || EMPTY;
}

// Groups of a kind: the code of each song, and names, counts and colours by code.
export function groups(kind = songs.group) {
  if (cache.has(kind)) return cache.get(kind);
  const codes = new Int32Array(songs.n), names = [], counts = [], known = new Map();
  for (let row = 0; row < songs.n; row++) {
    const text = label(kind, row);
    let code = known.get(text);
    if (code === undefined) {
      code = names.length;
      known.set(text, code);
      names.push(text);
      counts.push(0);
    }
    codes[row] = code;
    counts[code]++;
  }
  const order = names.map((_, code) => code);
  const isNumeric = kind === "tempo" || kind === "confidence";
  order.sort((a, b) => (names[a] === EMPTY) - (names[b] === EMPTY)
    || (isNumeric ? parseFloat(names[a]) - parseFloat(names[b]) : counts[b] - counts[a] || names[a].localeCompare(names[b])));
  const places = new Int32Array(names.length).fill(OTHERS);
  order.filter((code) => names[code] !== EMPTY).slice(0, 8).forEach((code, place) => { places[code] = place; });
  const found = { codes, names, counts, order, places };
  cache.set(kind, found);
  return found;
}

export function colour(code) {
  const theme = document.documentElement.dataset.theme === "dark" ? "dark" : "light";
  const place = groups().places[code];
  return place === OTHERS ? OTHER_COLOURS[theme] : PALETTES[theme][place];
}

export function set(changes) {
  Object.assign(songs, changes);
  refresh();
}

export function correct(rows, text) {
  for (const row of rows) {
    if (text) songs.corrected[row] = text;
    else delete songs.corrected[row];
  }
  cache.clear();
  refresh();
}

function refresh() {
  const words = songs.search.toLowerCase().split(/\s+/).filter(Boolean);
  const { codes, names } = groups();
  const chosen = songs.chosen === null ? -1 : names.indexOf(songs.chosen);
  const found = [];
  const consider = (row) => {
    if (chosen >= 0 && codes[row] !== chosen) return;
    for (const word of words) if (!haystack[row].includes(word)) return;
    found.push(row);
  };
  if (songs.where) songs.where.forEach(consider);
  else for (let row = 0; row < songs.n; row++) consider(row);
  if (songs.sort === "title" || songs.sort === "artist") {
    const text = songs.sort === "title" ? title : artist;
    const keys = new Map(found.map((row) => [row, text(row).toLowerCase()]));
    found.sort((a, b) => (keys.get(a) < keys.get(b) ? -1 : keys.get(a) > keys.get(b) ? 1 : a - b));
  } else if (songs.sort) {
    const values = songs[songs.sort];
    const sign = songs.sort === "tempo" ? 1 : -1;
    found.sort((a, b) => (values[a] < 0) - (values[b] < 0) || sign * (values[a] - values[b]) || a - b);
  }
  songs.visible = Int32Array.from(found);
  listeners.forEach((listener) => listener());
}
