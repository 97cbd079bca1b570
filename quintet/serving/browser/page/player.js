// The player: sound, waveform, position.
import { ask, clock, find } from "./api.js";
import { artist, songs, title } from "./songs.js";

const audio = find("audio"), wave = find("wave"), seek = find("seek");
let peaks = [], current = -1, onStart = () => {};

export const playing = () => current;

export function start({ started }) {
  onStart = started;
  find("play").addEventListener("click", toggle);
  audio.volume = 0.8;
  find("volume").addEventListener("input", (event) => { audio.volume = Number(event.target.value); });
  seek.addEventListener("input", () => {
    const length = duration();
    if (length) audio.currentTime = seek.value / 1000 * length;
  });
  for (const name of ["play", "pause", "ended"]) audio.addEventListener(name, () => {
    find("play").textContent = audio.paused ? "▶" : "❚❚";
    find("play").setAttribute("aria-label", audio.paused ? "Play" : "Pause");
  });
  audio.addEventListener("timeupdate", show);
  audio.addEventListener("error", () => { if (current >= 0) find("now-artist").textContent = "This song cannot be played here."; });
  new ResizeObserver(show).observe(wave);
}

const duration = () => (Number.isFinite(audio.duration) && audio.duration > 0 ? audio.duration : Math.max(0, songs.seconds?.[current] ?? 0));

export async function play(row) {
  if (row === current) { if (audio.paused) await begin(); return; }
  current = row;
  document.querySelector(".player").classList.add("on");
  peaks = [];
  audio.src = `/api/songs/${songs.id[row]}/sound`;
  find("now-title").textContent = title(row);
  find("now-artist").textContent = artist(row);
  document.title = `${title(row)} · ${document.body.dataset.library}`;
  onStart(row);
  show();
  await begin();
  try {
    const found = await ask(`/api/songs/${songs.id[row]}/waveform`);
    if (row === current) { peaks = found.peaks; show(); }
  } catch { /* the player works without */ }
}

async function begin() {
  try { await audio.play(); } catch { /* the browser wants a click first, or another song came */ }
}

export function toggle() {
  if (current < 0) { if (songs.visible.length) play(songs.visible[0]); return; }
  if (audio.paused) begin();
  else audio.pause();
}

export function show() {
  const length = duration(), done = length ? audio.currentTime / length : 0;
  seek.value = Math.round(1000 * done);
  seek.setAttribute("aria-valuetext", `${clock(audio.currentTime)} of ${clock(length)}`);
  find("clock").textContent = `${clock(audio.currentTime)} / ${clock(length)}`;
  const ratio = window.devicePixelRatio || 1, context = wave.getContext("2d");
  wave.width = Math.round(wave.clientWidth * ratio);
  wave.height = Math.round(wave.clientHeight * ratio);
  const styles = getComputedStyle(document.documentElement);
  const past = styles.getPropertyValue("--accent"), rest = styles.getPropertyValue("--faint");
  const n = Math.max(1, Math.floor(wave.width / (3 * ratio)));
  for (let bar = 0; bar < n; bar++) {
    const from = Math.floor(bar * peaks.length / n), to = Math.max(from + 1, Math.floor((bar + 1) * peaks.length / n));
    const peak = peaks.length ? Math.max(...peaks.slice(from, to)) : 0;
    const height = Math.max(2 * ratio, peak * wave.height);
    context.fillStyle = bar / n < done ? past : rest;
    context.fillRect(bar * 3 * ratio, (wave.height - height) / 2, 2 * ratio, height);
  }
}
