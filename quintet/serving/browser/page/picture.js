// The picture of all points. It is larger than its window and moves with the map at once. Where the map has moved far or has
// another scale, it is drawn anew in memory, for a few milliseconds in each frame, and takes the place of the old one when
// it is complete. So the map moves smoothly however many points there are, with a graphics card and without.
const MARGIN = 0.5, LEAST_MARGIN = 0.1, MOST_PIXELS = 8e6;  // shares of the window on each side, and pixels of the whole picture
const BUDGET_MS = 5, STRETCH = 500;  // of a frame, and points between two looks at the clock
const FAINT = 0.6, PHASES = 4, SOFT = 0.24;  // size of points that are left out, places of a point in its pixel, share of its edge

let canvas, context, places = new Float32Array(0), paints = new Uint32Array(0), shown = new Uint8Array(0), ground = 0;
// Views of the map: what is wanted, what the picture that is seen was drawn for, and what is being drawn. In pixels of the
// screen: { width, height, ratio: of the window, scale: [x, y], shift: [x, y] of the map, size: of a point, margin: [x, y] }
let wanted = null, complete = null, begun = null;
let pixels = null, image = null, done = 0, isWaiting = false, disks = null;

export function start(element) {
  canvas = element;
  context = canvas.getContext("2d", { alpha: false });
}

// Places of the points in [0, 1]: x and y of each; those outside are not drawn.
export function setPlaces(values) {
  places = values;
  complete = begun = null;
}

// Colour of each point and of the ground, as 0xBBGGRR, and whether each point is shown or only hinted at.
export function setPaints(values, isShown, colourOfGround) {
  [paints, shown, ground] = [values, isShown, colourOfGround];
  complete = begun = null;
}

// Show the map as a view says.
export function show(view) {
  wanted = view;
  if (!complete || !isSameWindow(complete, view)) {
    begin(view);
    add(Infinity);
    end();
  } else if (!begun && isStale(complete, view)) {
    begin(view);
    next();
  }
  move();
}

const isSameWindow = (a, b) => a.width === b.width && a.height === b.height && a.ratio === b.ratio;

const isStale = (drawn, view) => drawn.scale[0] !== view.scale[0]
  || [0, 1].some((axis) => Math.abs(drawn.shift[axis] - view.shift[axis]) > drawn.margin[axis] / 2);

// Let the picture stand where the view wants it.
function move() {
  const k = [0, 1].map((axis) => wanted.scale[axis] / complete.scale[axis]);
  const [left, top] = [0, 1].map((axis) => (wanted.shift[axis] - (complete.shift[axis] + complete.margin[axis]) * k[axis]) / wanted.ratio);
  canvas.style.transform = `translate(${left}px, ${top}px) scale(${k[0] / wanted.ratio}, ${k[1] / wanted.ratio})`;
}

function begin(view) {
  const room = Math.sqrt(MOST_PIXELS / (view.width * view.height)) / 2 - 0.5, share = Math.max(LEAST_MARGIN, Math.min(MARGIN, room));
  begun = { ...view, margin: [Math.round(view.width * share), Math.round(view.height * share)] };
  const [width, height] = [view.width + 2 * begun.margin[0], view.height + 2 * begun.margin[1]];
  if (image?.width !== width || image.height !== height) {
    image = new ImageData(width, height);
    pixels = new Uint32Array(image.data.buffer);
  }
  pixels.fill(0xff000000 | ground);
  disks = [FAINT * view.size, view.size].map(coverage);
  done = 0;
}

// A few milliseconds of drawing in each frame.
function next() {
  if (isWaiting) return;
  isWaiting = true;
  requestAnimationFrame(() => {
    isWaiting = false;
    if (!begun) return;  // other points, or another window
    if (!add(BUDGET_MS)) { next(); return; }
    end();
    show(wanted);
  });
}

// Draw the next points for so many milliseconds; whether they are all there.
function add(milliseconds) {
  const until = performance.now() + milliseconds, n = paints.length;
  while (done < n && performance.now() < until) {
    const last = Math.min(n, done + STRETCH);
    draw(done, last);
    done = last;
  }
  return done === n;
}

function end() {
  if (canvas.width !== image.width || canvas.height !== image.height) { canvas.width = image.width; canvas.height = image.height; }
  context.putImageData(image, 0, 0);
  complete = begun;
  begun = null;
}

// Draw points: disks over what is there. Those that the edge of the picture would cut are left out: they are not seen.
function draw(first, last) {
  const { scale, shift, margin } = begun, { width, height } = image;
  const [right, down] = [0, 1].map((axis) => shift[axis] + margin[axis]);
  for (let row = first; row < last; row++) {
    const { side, shares } = disks[shown[row]], left = places[2 * row] * scale[0] + right - side / 2, top = places[2 * row + 1] * scale[1] + down - side / 2;
    const x = Math.floor(left), y = Math.floor(top);
    if (x < 0 || y < 0 || x + side > width || y + side > height) continue;
    const paint = paints[row], red = paint & 255, green = (paint >> 8) & 255, blue = paint >> 16;
    let at = (Math.floor((left - x) * PHASES) + PHASES * Math.floor((top - y) * PHASES)) * side * side;
    for (let line = y * width + x, end = line + side * width; line < end; line += width) {
      for (let i = line; i < line + side; i++) {
        const share = shares[at++];
        if (!share) continue;
        const below = pixels[i], r = below & 255, g = (below >> 8) & 255, b = (below >> 16) & 255;
        pixels[i] = 0xff000000 | (b + (((blue - b) * share) >> 8)) << 16 | (g + (((green - g) * share) >> 8)) << 8 | (r + (((red - r) * share) >> 8));
      }
    }
  }
}

// The share of a disk in each pixel of a square, in 1/256, for each place of the disk in its first pixel.
function coverage(size, isShown) {
  const side = Math.ceil(size) + 1, shares = new Uint16Array(PHASES ** 2 * side ** 2), opacity = 256 * (isShown ? 0.9 : 0.09);
  let at = 0;
  for (let phase = 0; phase < PHASES ** 2; phase++) {
    const dx = (phase % PHASES + 0.5) / PHASES, dy = (Math.floor(phase / PHASES) + 0.5) / PHASES;
    for (let y = 0; y < side; y++) {
      for (let x = 0; x < side; x++) {
        const distance = Math.hypot(x + 0.5 - dx - side / 2, y + 0.5 - dy - side / 2) / size;
        const edge = Math.max(0, Math.min(1, (0.5 - distance) / (SOFT / 2)));
        shares[at++] = Math.round(opacity * edge * edge * (3 - 2 * edge));
      }
    }
  }
  return { side, shares };
}
