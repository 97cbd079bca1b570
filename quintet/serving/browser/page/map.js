// The map of all songs: one point each, drawn by WebGL, or on a plain canvas where there is none.
import { askColumns, find } from "./api.js";
import { artist, colour, groups, songs, title } from "./songs.js";

const STEPS = 65534, NO_PLACE = 65535, CELLS = 128, REACH = 14, MARGIN = 0.04, TOP = 56, BOTTOM = 40;
const VERTEX = `
attribute vec2 place; attribute vec4 paint; uniform vec2 scale, shift; uniform float size; varying vec4 shade;
void main() { gl_Position = vec4(place * scale + shift, 0.0, 1.0); gl_PointSize = size * (paint.a > 0.5 ? 1.0 : 0.6); shade = paint; }`;
const FRAGMENT = `
precision mediump float; varying vec4 shade;
void main() { vec2 d = gl_PointCoord - 0.5; float r = length(d); if (r > 0.5) discard;
  float edge = smoothstep(0.5, 0.38, r); gl_FragColor = vec4(shade.rgb, 1.0) * edge * shade.a; }`;

const canvas = find("map");
let gl, program, buffers, plain, waiting = false, onPoint = () => {}, onPlay = () => {};
let x = new Float32Array(0), y = new Float32Array(0), cells = null, shown = new Uint8Array(0), marked = -1, pointed = -1, isPainted = false;
let zoom = 1, centre = [0.5, 0.5];

export function start({ point, play }) {
  onPoint = point;
  onPlay = play;
  gl = canvas.getContext("webgl", { antialias: false, premultipliedAlpha: true, preserveDrawingBuffer: true });
  if (gl) prepare();
  else plain = canvas.getContext("2d");
  new ResizeObserver(draw).observe(canvas);
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
  if (gl) {
    gl.bindBuffer(gl.ARRAY_BUFFER, buffers.place);
    gl.bufferData(gl.ARRAY_BUFFER, places, gl.STATIC_DRAW);
  }
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
  if (gl && n) {
    const { codes, names } = groups();
    const table = names.map((_, code) => rgb(colour(code)));
    const paints = new Uint8Array(4 * n);
    for (let row = 0; row < n; row++) {
      const shade = table[codes[row]];
      paints[4 * row] = shade[0]; paints[4 * row + 1] = shade[1]; paints[4 * row + 2] = shade[2];
      paints[4 * row + 3] = shown[row] ? 230 : 22;
    }
    isPainted = true;
    gl.bindBuffer(gl.ARRAY_BUFFER, buffers.paint);
    gl.bufferData(gl.ARRAY_BUFFER, paints, gl.DYNAMIC_DRAW);
  }
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

const rgb = (text) => [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16));

function prepare() {
  program = gl.createProgram();
  for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, text);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  gl.useProgram(program);
  gl.enable(gl.BLEND);
  gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  buffers = { place: gl.createBuffer(), paint: gl.createBuffer() };
}

// From the map to the canvas: scale and shift of each axis, in pixels of the canvas. Tools are above, a sentence below.
function view() {
  const ratio = window.devicePixelRatio || 1, high = canvas.height - (TOP + BOTTOM) * ratio;
  const scale = [canvas.width * (1 - 2 * MARGIN) * zoom, high * zoom];
  return { scale, shift: [canvas.width / 2 - centre[0] * scale[0], TOP * ratio + high / 2 - centre[1] * scale[1]] };
}

// A promise of the next drawing.
export const drawn = () => new Promise((done) => { requestAnimationFrame(() => requestAnimationFrame(done)); });

function draw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    const ratio = window.devicePixelRatio || 1;
    const width = Math.round(canvas.clientWidth * ratio), height = Math.round(canvas.clientHeight * ratio);
    if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
    if (width && height) (gl ? drawGl : drawPlain)(ratio);
    if (x.length === songs.n) spots();
    if (x.length === songs.n && (isPainted || plain || !songs.n)) document.body.dataset.mapDrawn = String(x.length);
  });
}

const pointSize = (ratio) => ratio * Math.max(2.2, Math.min(11, 90 / Math.sqrt(Math.max(1, x.length)) * 3)) * Math.sqrt(Math.min(zoom, 9));

function drawGl(ratio) {
  const { scale, shift } = view();
  gl.viewport(0, 0, canvas.width, canvas.height);
  gl.clearColor(0, 0, 0, 0);
  gl.clear(gl.COLOR_BUFFER_BIT);
  if (!x.length || !isPainted) return;
  for (const [name, buffer, size, kind] of [["place", buffers.place, 2, gl.FLOAT], ["paint", buffers.paint, 4, gl.UNSIGNED_BYTE]]) {
    const at = gl.getAttribLocation(program, name);
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
    gl.enableVertexAttribArray(at);
    gl.vertexAttribPointer(at, size, kind, name === "paint", 0, 0);
  }
  gl.uniform2f(gl.getUniformLocation(program, "scale"), 2 * scale[0] / canvas.width, -2 * scale[1] / canvas.height);
  gl.uniform2f(gl.getUniformLocation(program, "shift"), 2 * shift[0] / canvas.width - 1, 1 - 2 * shift[1] / canvas.height);
  gl.uniform1f(gl.getUniformLocation(program, "size"), pointSize(ratio));
  gl.drawArrays(gl.POINTS, 0, x.length);
}

function drawPlain(ratio) {
  const { scale, shift } = view();
  plain.clearRect(0, 0, canvas.width, canvas.height);
  if (x.length !== songs.n) return;
  const { codes } = groups();
  const size = pointSize(ratio);
  for (let row = 0; row < x.length; row++) {
    plain.globalAlpha = shown[row] ? 0.9 : 0.08;
    plain.fillStyle = colour(codes[row]);
    plain.beginPath();
    plain.arc(x[row] * scale[0] + shift[0], y[row] * scale[1] + shift[1], size / 2, 0, 7);
    plain.fill();
  }
}

function screen(row) {
  const ratio = window.devicePixelRatio || 1, { scale, shift } = view();
  return [(x[row] * scale[0] + shift[0]) / ratio, (y[row] * scale[1] + shift[1]) / ratio];
}

// The nearest shown song within reach of a point of the canvas, in CSS pixels.
function nearest(px, py) {
  const ratio = window.devicePixelRatio || 1, { scale, shift } = view();
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
  box.style.left = `${Math.max(0, Math.min(px + 12, canvas.clientWidth - box.offsetWidth - 6))}px`;
  box.style.top = `${Math.max(0, Math.min(py + 12, canvas.clientHeight - box.offsetHeight - 6))}px`;
}

function point(row) {
  if (row === pointed) return;
  pointed = row;
  tip(row);
  spots();
  if (row >= 0) onPoint(row);
}

export function zoomBy(factor, px = canvas.clientWidth / 2, py = canvas.clientHeight / 2) {
  const ratio = window.devicePixelRatio || 1, before = view();
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
  const at = (event) => { const box = canvas.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
  canvas.addEventListener("wheel", (event) => { event.preventDefault(); zoomBy(event.deltaY < 0 ? 1.25 : 0.8, ...at(event)); }, { passive: false });
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, at(event));
    moved = 0;
    spread = 0;
  });
  canvas.addEventListener("pointermove", (event) => {
    const now = at(event), before = fingers.get(event.pointerId);
    if (!before) { point(nearest(...now)); return; }
    const ratio = window.devicePixelRatio || 1, { scale } = view();
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
  canvas.addEventListener("pointerup", end);
  canvas.addEventListener("pointercancel", end);
  canvas.addEventListener("pointerleave", () => point(-1));
  canvas.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (steps[event.key]) {
      event.preventDefault();
      const from = pointed >= 0 ? pointed : marked >= 0 ? marked : songs.visible[0] ?? -1;
      const to = from < 0 ? -1 : pointed < 0 && marked < 0 ? from : towards(from, ...steps[event.key]);
      if (to >= 0) { point(to); canvas.setAttribute("aria-description", `${title(to)}, ${artist(to)}`); }
    } else if (event.key === "Enter" && pointed >= 0) onPlay(pointed);
    else if (event.key === "+") zoomBy(1.25);
    else if (event.key === "-") zoomBy(0.8);
  });
  find("zoom-in").addEventListener("click", () => zoomBy(1.5));
  find("zoom-out").addEventListener("click", () => zoomBy(1 / 1.5));
  find("zoom-all").addEventListener("click", showAll);
}
