// The component of the live page: start and stop, level, two views, timeline, transcript. Python sends it a moment of
// the session several times a second; it stays mounted, and changes only what has changed.
//
// Before a session it asks for the microphone itself, since the component that connects reports no failure, and takes
// a lock that all tabs of the browser share, so that only one of them records.

const PROBLEMS = {
  insecure: "A live session needs https or localhost; you can still upload a file.",
  denied: "The microphone is blocked: allow it for this page next to the browser’s address bar, then start again.",
  absent: "No microphone was found: connect one and start again, or upload a file.",
  busy: "The microphone is in use by another program: close that one and start again.",
  elsewhere: "Another tab of this browser is recording already: stop it there, then start here.",
  framed: NOT_PASSED_ON,
  forbidden: FORBIDDEN,
  failed: "The microphone could not be opened in this browser; you can still upload a file.",
};

const LOCK = "speech-emotion-live";
const IDLE = "Press Start and speak. The sound goes only to the server of this page, and is kept only if you save it.";
const ASKING = "Waiting for the microphone; your browser may ask for permission.";
const ANNOUNCE_EVERY_MS = 3000; // More often, a screen reader never reaches the end of a sentence.
const WIDE_S = 30; // The timeline begins as wide as this, then grows denser.
const HOP_S = 0.5;

/** One live view on the page; `send(event, value)` triggers an event in Python. */
class Live {
  constructor(root) {
    this.root = root.querySelector(".live");
    this.find = (name) => this.root.querySelector(name);
    this.view = "chart";
    this.kind = "all";
    this.data = { phase: "idle", number: 0 };
    this.asking = false; // between the click and Python's response
    this.problem = null;
    this.release = () => {}; // gives the lock back
    this.announcedAt = 0;
    this.find(".toggle").onclick = (event) => {
      if (event.detail > 1) return; // The second click of a double click must not stop the session.
      if (this.on()) this.stop();
      else this.start();
    };
    for (const button of this.root.querySelectorAll("[data-view]")) {
      button.onclick = () => this.choose("view", button.dataset.view);
    }
    for (const button of this.root.querySelectorAll("[data-kind]")) {
      button.onclick = () => this.choose("kind", button.dataset.kind);
    }
    this.find(".example").onclick = () => this.play();
    this.resized = new ResizeObserver(() => this.drawCourse());
    this.resized.observe(this.find(".course"));
  }

  on() {
    return this.asking || this.data.phase === "connecting" || this.data.phase === "live";
  }

  choose(what, value) {
    this[what] = value;
    this.draw();
  }

  async start() {
    this.problem = this.sound = null;
    if (!usable()) return this.fail("insecure");
    this.asking = true;
    this.before = this.data.number;
    this.draw();
    if (!(await this.lock())) return this.fail("elsewhere");
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ audio: PLAIN });
      stream.getTracks().forEach((track) => track.stop());
    } catch (error) {
      return this.fail(problemOf(error));
    }
    if (this.asking) this.send("start", this.before + 1);
  }

  /** Play the example here, within the click, while Python scores it. */
  play() {
    if (this.on() || !this.data.example) return;
    this.problem = null;
    this.asking = true;
    this.before = this.data.number;
    this.sound = new Audio(this.data.example);
    this.sound.play().catch(() => {}); // Its scores are shown nevertheless.
    this.send("example", this.before + 1);
    this.draw();
  }

  stop() {
    this.asking = false; // Permission that is granted only now comes too late.
    this.release();
    this.sound?.pause();
    this.send("stop", this.data.number);
    this.draw();
  }

  fail(kind) {
    this.asking = false;
    this.problem = kind;
    writeProblem(this.find(".status"), kind, PROBLEMS[kind]);
    this.release();
    this.draw();
  }

  /** Return whether this tab may record, and hold the lock until `release`; a closed tab frees it. */
  lock() {
    if (!navigator.locks) return Promise.resolve(true);
    return new Promise((decided) => {
      navigator.locks.request(LOCK, { ifAvailable: true }, (lock) => {
        decided(Boolean(lock));
        return lock && new Promise((free) => (this.release = free));
      });
    });
  }

  take(data) {
    if (this.asking && data.number !== this.before) this.asking = false;
    this.data = data;
    if (!this.on()) {
      this.release();
      this.sound?.pause();
    }
    if (data.phase === "connecting") this.connect();
    this.draw();
  }

  /** Press the button of the connection's frame, which has this page's origin, once for each session. */
  connect() {
    clearTimeout(this.timer);
    if (this.data.phase !== "connecting" || this.connected === this.data.number) return;
    const frame = document.querySelector(".st-key-microphone iframe");
    const button = frame?.contentDocument?.querySelector("button:enabled");
    // Python sends nothing meanwhile, so nothing else would call this again.
    if (!button) return (this.timer = setTimeout(() => this.connect(), 50));
    this.connected = this.data.number;
    button.click();
  }

  draw() {
    const { data, root } = this;
    root.dataset.phase = data.phase;
    root.dataset.view = this.view;
    root.dataset.end = data.end ?? ""; // of the latest window, seconds of the session
    root.toggleAttribute("data-on", this.on());
    root.toggleAttribute("data-problem", Boolean(this.problem));
    root.toggleAttribute("data-stale", Boolean(data.stale));
    root.toggleAttribute("data-preview", !data.all && Boolean(data.preview));
    this.find(".example").disabled = !this.on() && !data.example; // The models are being loaded.
    this.write(".what", this.on() ? "Stop" : "Start");
    if (!this.problem) this.write(".status", this.asking && !this.sound ? ASKING : data.sentence || IDLE);
    const seconds = Math.floor(data.seconds ?? 0);
    this.write(".time", `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`);
    const level = data.level ?? 0;
    this.find(".meter i").style.transform = `scaleX(${level})`;
    this.find(".meter").setAttribute("aria-valuenow", Math.round(100 * level));
    const scales = data.all ? data : (data.preview ?? data);
    const grouped = scales.groups !== null;
    this.find(".kinds").hidden = !grouped;
    const kind = grouped ? this.kind : "all";
    for (const what of ["view", "kind"]) {
      for (const button of root.querySelectorAll(`.choice [data-${what}]`)) {
        button.setAttribute("aria-pressed", button.dataset[what] === (what === "kind" ? kind : this.view));
      }
    }
    this.scale = scales[kind] ?? { names: [], values: [], headline: "", columns: [] };
    const announced = scales === data ? this.scale.headline : "The most probable emotion";
    this.write(".answer", (data.stale && data.notice) || announced);
    this.write(".notice", data.notice || this.scale.note || "");
    this.drawBars();
    this.drawCourse();
    this.drawTranscript();
    this.announce();
  }

  write(name, text) {
    const place = this.find(name);
    if (place.textContent !== text) place.textContent = text;
  }

  drawBars() {
    const { names, values } = this.scale;
    const bars = this.find(".bars");
    if (this.shown !== names.join("|")) {
      this.shown = names.join("|");
      bars.replaceChildren(...names.map(makeRow));
    }
    const top = Math.max(...values);
    values.forEach((value, i) => {
      const row = bars.children[i];
      row.classList.toggle("top", Boolean(this.data.all) && value === top);
      row.children[1].style.transform = `scaleX(${this.data.all ? Math.max(0.002, value) : 1})`;
      row.children[2].textContent = `${Math.round(100 * value)}%`;
    });
  }

  drawCourse() {
    const { names, columns } = this.scale ?? { names: [], columns: [] };
    const canvas = this.find(".course");
    const ratio = window.devicePixelRatio || 1;
    const width = canvas.clientWidth, height = canvas.clientHeight;
    if (!width) return;
    const style = getComputedStyle(this.root);
    const picture = JSON.stringify([names, columns, width, ratio, style.color]);
    if (picture === this.picture) return; // It is drawn already.
    this.picture = picture;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    pen.fillStyle = style.color;
    pen.font = `13px ${style.fontFamily}`;
    pen.textBaseline = "middle";
    const left = Math.min(width / 3, Math.max(0, ...names.map((name) => pen.measureText(name).width)) + 10);
    const row = (height - 14) / Math.max(1, names.length);
    names.forEach((name, i) => {
      pen.globalAlpha = 0.85;
      pen.fillText(name, 0, (i + 0.5) * row, left - 6);
      pen.globalAlpha = 0.12;
      pen.fillRect(left, (i + 1) * row - 1, width - left, 1);
    });
    const step = (width - left) / Math.max(columns.length, WIDE_S / HOP_S);
    columns.forEach((column, i) => {
      pen.globalAlpha = column ? 0.25 + 0.75 * column[1] : 0.3;
      pen.fillStyle = !column ? style.color : column[2] ? "#1f9a8f" : "#8a9298";
      const x = left + i * step;
      const inset = column?.[2] ? 0 : (row - 5) / 3; // Not sure: gray, and a third as high.
      if (column) pen.fillRect(x, column[0] * row + 2 + inset, Math.max(1, step - 0.5), row - 5 - 2 * inset);
      else pen.fillRect(x, names.length * row + 4, Math.max(1, step - 0.5), 2);
    });
    this.find(".key").style.visibility = columns.some((column) => column && !column[2]) ? "visible" : "hidden";
    const seen = new Set(columns.filter(Boolean).map(([name, , sure]) => names[name] + (sure ? "" : " (not sure)")));
    canvas.setAttribute("aria-label", seen.size ? `Timeline so far: ${[...seen].join(", ")}` : "Timeline, empty yet");
  }

  drawTranscript() {
    const words = this.data.words ?? [];
    const joined = words.join("\n");
    if (joined === this.joined) return;
    this.joined = joined;
    const place = this.find(".words");
    place.replaceChildren(...words.map((text) => Object.assign(document.createElement("p"), { textContent: text })));
    place.scrollTop = place.scrollHeight;
  }

  /** Announce a changed result to screen readers, not too often. */
  announce() {
    if (this.data.phase !== "live" || performance.now() - this.announcedAt < ANNOUNCE_EVERY_MS) return;
    const text = this.data.notice || this.scale.headline;
    if (this.find(".announced").textContent === text) return;
    this.write(".announced", text);
    this.announcedAt = performance.now();
  }

  end() {
    clearTimeout(this.timer);
    this.release();
    this.sound?.pause();
    this.resized.disconnect();
  }
}

/** Whether this page may ask for a microphone: browsers hide it from pages on plain http. */
function usable() {
  return window.isSecureContext && navigator.mediaDevices?.getUserMedia;
}

function makeRow(name) {
  const row = document.createElement("div");
  row.className = "row";
  for (const part of ["name", "bar", "share"]) {
    row.append(Object.assign(document.createElement("span"), { className: part }));
  }
  row.children[0].textContent = row.children[0].title = name;
  return row;
}

// Streamlit calls the function below again for each new moment, without a clean-up in between: the view goes on. Only
// the clean-up of the latest call counts.
const views = new WeakMap();

export default function mount({ parentElement, setTriggerValue, data }) {
  const isNew = !views.has(parentElement);
  if (isNew) views.set(parentElement, new Live(parentElement));
  const live = views.get(parentElement);
  live.send = setTriggerValue;
  if (data) live.take(data);
  if (isNew && !usable()) live.fail("insecure");
  return () => {
    if (live.send !== setTriggerValue) return;
    live.end();
    views.delete(parentElement);
  };
}
