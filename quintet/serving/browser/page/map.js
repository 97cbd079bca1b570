// The map of all songs: one point each. Here are places, colours and what the hand does; picture.js draws.
import { askColumns, find } from "./api.js";
import * as picture from "./picture.js";
import { artist, colour, groups, songs, title } from "./songs.js";

const STEPS = 65534, NO_PLACE = 65535, CELLS = 128, REACH = 14, MARGIN = 0.04, TOP = 56, BOTTOM = 40;
const field = find("map");
let waiting = false, onPoint = () => {}, onPlay = () => {};
let x = new Float32Array(0), y = new Float32Array(0), cells = null, shown = new Uint8Array(0), marked = -1, pointed = -1, isPainted = false;
let zoom = 1, centre = [0.5, 0.5];

export function start({ point, play }) {
  onPoint = point;
  onPlay = play;
  picture.start(find("map-picture"));
  new ResizeObserver(draw).observe(field);
  listen();
}

export async function load() {
  place(await askColumns("/api/map"));
}

// Where t-SNE puts the songs, if the first map was not that yet.
export async function wait() {
  if (!songs.map.drawn) {
    find("map-state").textContent = "The map is being drawn: near songs come nearer.";
    try { place(await askColumns("/api/map?wait=true")); } catch { /* the first map stays */ }
  }
  const without = songs.map.x.reduce((sum, value) => sum + (value === NO_PLACE), 0);
  find("map-state").textContent = without ? `${without.toLocaleString("en")} songs have no features and no place.` : "";
}

function place(map) {
  songs.map = map;
  const n = map.x.length, places = new Float32Array(2 * n);
  x = new Float32Array(n);
  y = new Float32Array(n);
  cells = null;
  for (let row = 0; row < n; row++) {
    places[2 * row] = x[row] = map.x[row] === NO_PLACE ? -9 : map.x[row] / STEPS;
    places[2 * row + 1] = y[row] = map.y[row] === NO_PLACE ? -9 : map.y[row] / STEPS;
  }
  isPainted = false;
  picture.setPlaces(places);
  paint();
}

// Songs by cell of the map, for the pointer; made when it first moves.
function songsByCell() {
  if (cells) return cells;
  cells = new Map();
  for (let row = 0; row < x.length; row++) {
    if (x[row] < 0) continue;
    const cell = cellOf(x[row], y[row]), list = cells.get(cell);
    if (list) list.push(row);
    else cells.set(cell, [row]);
  }
  return cells;
}

const cellOf = (px, py) => Math.min(CELLS - 1, Math.floor(px * CELLS)) * CELLS + Math.min(CELLS - 1, Math.floor(py * CELLS));

// Colours of the points anew: after another grouping, a filter or a theme.
export function paint() {
  const n = x.length;
  if (n !== songs.n) return;  // the songs or their places are not here yet
  shown = new Uint8Array(n);
  for (const row of songs.visible) shown[row] = 1;
  const { codes, names } = groups();
  const table = names.map((_, code) => number(colour(code)));
  const ground = getComputedStyle(field).backgroundColor.match(/\d+/g).reduce((sum, part, at) => sum | part << 8 * at, 0);
  isPainted = true;
  picture.setPaints(Uint32Array.from(codes, (code) => table[code]), shown, ground);
  draw();
}

export function mark(row) {
  marked = row;
  spots();
}

// The song that is chosen and the one under the pointer are elements: the points of all songs stay as they are drawn.
function spots() {
  for (const [name, row] of [["map-marked", marked], ["map-pointed", pointed]]) {
    const spot = find(name);
    spot.hidden = row < 0 || row >= x.length || x[row] < 0;
    if (spot.hidden) continue;
    const [px, py] = screen(row), side = 10 + pointSize(1);
    spot.style.transform = `translate(${px - side / 2}px, ${py - side / 2}px)`;
    spot.style.width = spot.style.height = `${side}px`;
    spot.style.backgroundColor = colour(groups().codes[row]);
  }
}

const number = (text) => [5, 3, 1].reduce((sum, at) => sum << 8 | parseInt(text.slice(at, at + 2), 16), 0);  // #rrggbb as 0xbbggrr

// From the map to the window: its size, and scale and shift of each axis, in pixels of the screen. Tools are above, a
// sentence below. The shift is whole, so that a picture that moves stays sharp.
function view() {
  const ratio = window.devicePixelRatio || 1, width = Math.round(field.clientWidth * ratio), height = Math.round(field.clientHeight * ratio);
  const high = height - (TOP + BOTTOM) * ratio, scale = [width * (1 - 2 * MARGIN) * zoom, high * zoom];
  const shift = [Math.round(width / 2 - centre[0] * scale[0]), Math.round(TOP * ratio + high / 2 - centre[1] * scale[1])];
  return { width, height, ratio, scale, shift, size: pointSize(ratio) };
}

// A promise of the next drawing.
export const drawn = () => new Promise((done) => { requestAnimationFrame(() => requestAnimationFrame(done)); });

function draw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    const now = view();
    if (!now.width || !now.height || !isPainted) return;
    picture.show(now);
    spots();
    document.body.dataset.mapDrawn = String(x.length);
  });
}

const pointSize = (ratio) => ratio * Math.max(2.2, Math.min(11, 90 / Math.sqrt(Math.max(1, x.length)) * 3)) * Math.sqrt(Math.min(zoom, 9));

function screen(row) {
  const { ratio, scale, shift } = view();
  return [(x[row] * scale[0] + shift[0]) / ratio, (y[row] * scale[1] + shift[1]) / ratio];
}

// The nearest shown song within reach of a point of the canvas, in CSS pixels.
function nearest(px, py) {
  const { ratio, scale, shift } = view();
  const mx = (px * ratio - shift[0]) / scale[0], my = (py * ratio - shift[1]) / scale[1];
  const rx = REACH * ratio / scale[0], ry = REACH * ratio / scale[1];
  let best = -1, least = 1;
  const clip = (value) => Math.max(0, Math.min(CELLS - 1, Math.floor(value * CELLS)));
  for (let cx = clip(mx - rx); cx <= clip(mx + rx); cx++) {
    for (let cy = clip(my - ry); cy <= clip(my + ry); cy++) {
      for (const row of songsByCell().get(cx * CELLS + cy) || []) {
        if (!shown[row]) continue;
        const distance = ((x[row] - mx) / rx) ** 2 + ((y[row] - my) / ry) ** 2;
        if (distance < least) { least = distance; best = row; }
      }
    }
  }
  return best;
}

// The nearest shown song in a direction, for the arrow keys.
function towards(row, dx, dy) {
  let best = -1, least = Infinity;
  for (const other of songs.visible) {
    if (other === row || x[other] < 0) continue;
    const ex = x[other] - x[row], ey = y[other] - y[row];
    const along = ex * dx + ey * dy, across = Math.abs(ex * dy) + Math.abs(ey * dx);
    if (along <= 0 || across > along) continue;
    const distance = along + 2 * across;
    if (distance < least) { least = distance; best = other; }
  }
  return best;
}

function tip(row) {
  const box = find("map-tip");
  box.hidden = row < 0;
  if (row < 0) return;
  const [px, py] = screen(row);
  const small = document.createElement("small");
  small.textContent = artist(row);
  box.replaceChildren(title(row), small);
  box.style.left = `${Math.max(0, Math.min(px + 12, field.clientWidth - box.offsetWidth - 6))}px`;
  box.style.top = `${Math.max(0, Math.min(py + 12, field.clientHeight - box.offsetHeight - 6))}px`;
}

function point(row) {
  if (row === pointed) return;
  pointed = row;
  tip(row);
  spots();
  if (row >= 0) onPoint(row);
}

export function zoomBy(factor, px = field.clientWidth / 2, py = field.clientHeight / 2) {
  const before = view(), { ratio } = before;
  const at = [(px * ratio - before.shift[0]) / before.scale[0], (py * ratio - before.shift[1]) / before.scale[1]];
  zoom = Math.max(1, Math.min(60, zoom * factor));
  const after = view();
  const now = [(px * ratio - after.shift[0]) / after.scale[0], (py * ratio - after.shift[1]) / after.scale[1]];
  centre = zoom === 1 ? [0.5, 0.5] : [centre[0] + at[0] - now[0], centre[1] + at[1] - now[1]];
  tip(-1);
  draw();
}

export function showAll() {
  zoom = 1;
  centre = [0.5, 0.5];
  draw();
}

function listen() {
  const fingers = new Map();
  let moved = 0, spread = 0;
  const at = (event) => { const box = field.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
  field.addEventListener("wheel", (event) => { event.preventDefault(); zoomBy(event.deltaY < 0 ? 1.25 : 0.8, ...at(event)); }, { passive: false });
  field.addEventListener("pointerdown", (event) => {
    field.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, at(event));
    moved = 0;
    spread = 0;
  });
  field.addEventListener("pointermove", (event) => {
    const now = at(event), before = fingers.get(event.pointerId);
    if (!before) { point(nearest(...now)); return; }
    const { ratio, scale } = view();
    fingers.set(event.pointerId, now);
    if (fingers.size === 2) {
      const [a, b] = [...fingers.values()];
      const distance = Math.hypot(a[0] - b[0], a[1] - b[1]);
      if (spread) zoomBy(distance / spread, (a[0] + b[0]) / 2, (a[1] + b[1]) / 2);
      spread = distance;
      moved = 99;
      return;
    }
    moved += Math.abs(now[0] - before[0]) + Math.abs(now[1] - before[1]);
    if (moved > 5) {
      centre = [centre[0] - (now[0] - before[0]) * ratio / scale[0], centre[1] - (now[1] - before[1]) * ratio / scale[1]];
      tip(-1);
      draw();
    }
  });
  const end = (event) => {
    if (fingers.delete(event.pointerId) && event.type === "pointerup" && moved <= 5) {
      const row = nearest(...at(event));
      point(row);
      if (row >= 0) onPlay(row);
    }
  };
  field.addEventListener("pointerup", end);
  field.addEventListener("pointercancel", end);
  field.addEventListener("pointerleave", () => point(-1));
  field.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (steps[event.key]) {
      event.preventDefault();
      const from = pointed >= 0 ? pointed : marked >= 0 ? marked : songs.visible[0] ?? -1;
      const to = from < 0 ? -1 : pointed < 0 && marked < 0 ? from : towards(from, ...steps[event.key]);
      if (to >= 0) { point(to); field.setAttribute("aria-description", `${title(to)}, ${artist(to)}`); }
    } else if (event.key === "Enter" && pointed >= 0) onPlay(pointed);
    else if (event.key === "+") zoomBy(1.25);
    else if (event.key === "-") zoomBy(0.8);
  });
  find("zoom-in").addEventListener("click", () => zoomBy(1.5));
  find("zoom-out").addEventListener("click", () => zoomBy(1 / 1.5));
  find("zoom-all").addEventListener("click", showAll);
}
