(() => {
  "use strict";
  const audio = document.querySelector(".player audio");
  const now = document.querySelector(".player output");
  if (!audio) return;
  const root = document.documentElement;
  const length = parseFloat(audio.dataset.duration);
  const windows = JSON.parse(document.getElementById("curve").textContent);
  const clock = (t) => length < 120 ? t.toFixed(1) + " s" : Math.floor(t / 60) + ":" + String(Math.floor(t % 60)).padStart(2, "0");
  const draw = () => {
    const t = Math.min(audio.currentTime, length);
    root.style.setProperty("--at", (100 * t / length).toFixed(3) + "%");
    const here = windows.find((w) => t >= w.from && t < w.to) || windows[windows.length - 1];
    now.textContent = clock(t) + "  ";
    if (here) {
      const name = document.createElement("b");
      name.textContent = here.name;
      now.append(name, " " + here.p.toFixed(2));
    }
  };
  const run = () => { draw(); if (!audio.paused && !audio.ended) requestAnimationFrame(run); };
  const start = () => { root.classList.add("ready"); draw(); };
  ["play", "playing"].forEach((name) => audio.addEventListener(name, run));
  ["seeked", "pause", "timeupdate", "ended"].forEach((name) => audio.addEventListener(name, draw));
  audio.addEventListener("loadedmetadata", start);
  if (audio.readyState > 0) start();
  document.querySelectorAll(".plane .area").forEach((area) => area.addEventListener("click", (event) => {
    const box = area.getBoundingClientRect();
    audio.currentTime = length * Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1);
    draw();
  }));
})();
