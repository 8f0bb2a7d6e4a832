// Records from the microphone, a number of seconds exactly or until Stop, and sends it to Python as a wav file.
//
// A recording ends by its number of samples, never by a clock. Everything it opens is released when its AbortController
// aborts, which is how every recording ends: complete, canceled, failed, or removed from the page.

const RATE = 48000; // Hz; the rate of nearly all microphones, and the one requested from all others.
const BARS = 24;
const SETTLING_S = 0.25; // Some devices deliver zeros while they start: up to this much of them is not counted.
const PATIENCE_MS = 5000; // A microphone without any sound by then will not start.
const QUIETEST_DB = -48; // Lower end of the level meter.
const BAR_S = 0.125; // Of an open-ended recording, whose latest levels are shown.
const MOST_FRAMES = 60 * 96000; // Of a recording; a browser that does not convert may have a higher rate yet.

const WAITING = "Waiting for the microphone; your browser may ask for permission.";
const RECORDING = "Recording: speak now. Escape cancels.";
const PAUSED = "Paused; nothing is recorded until you resume.";
const CANCELED = "Canceled; nothing was kept.";

const PROBLEMS = {
  insecure: "Recording needs https or localhost; you can still upload a file.",
  denied: "The microphone is blocked: allow it for this page next to the browser’s address bar, then record again.",
  absent: "No microphone was found: connect one and record again, or upload a file.",
  busy: "The microphone is in use by another program: close that one and record again.",
  lost: "The microphone was disconnected during the recording: check its cable and record again.",
  silent: "The microphone delivers no sound: check that it is switched on and record again.",
  stuck: "Your browser did not start its sound: record again, or close other apps that use sound and reload the page.",
  framed: NOT_PASSED_ON,
  forbidden: FORBIDDEN,
};

const TAP = `registerProcessor("tap", class extends AudioWorkletProcessor {
  process([input]) {
    if (input.length) this.port.postMessage(input[0].slice());
    return true;
  }
});`;

/** Open the microphone until `signal` aborts; `take(block, rate)` gets all its samples, `fail(kind)` its problem. */
async function listen(signal, take, fail) {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1, ...PLAIN } });
  const stop = () => stream.getTracks().forEach((track) => track.stop());
  if (signal.aborted) return stop(); // Canceled while the browser was still asking for permission.
  signal.addEventListener("abort", stop);
  stream.getAudioTracks()[0].addEventListener("ended", () => fail("lost"), { signal });

  const source = makeSource(stream);
  const context = source.context;
  signal.addEventListener("abort", () => context.close());
  let arrived = false;
  // Before all that may never end: on iPhones, `resume` of a context that another app interrupts does not settle.
  const patience = setTimeout(() => arrived || fail(context.state === "running" ? "silent" : "stuck"), PATIENCE_MS);
  signal.addEventListener("abort", () => clearTimeout(patience));
  await context.resume();
  const tap = await makeTap(context, (block) => {
    if (!signal.aborted) arrived = take(block, context.sampleRate) || arrived;
  });
  if (signal.aborted) return;
  // The tap plays silence; browsers run only nodes that are connected to the output.
  source.connect(tap).connect(context.destination);
}

/** Return a stream as an audio node at 48 kHz, or at the context's own rate where a browser does not convert. */
function makeSource(stream) {
  const calm = { latencyHint: "playback" }; // Latency does not matter: large buffers lose nothing on a busy computer.
  const context = new AudioContext({ sampleRate: RATE, ...calm });
  try {
    return context.createMediaStreamSource(stream);
  } catch {
    context.close();
    return new AudioContext(calm).createMediaStreamSource(stream);
  }
}

/** Return an audio node that passes mono blocks of samples on: an AudioWorklet, or its predecessor. */
async function makeTap(context, take) {
  const url = URL.createObjectURL(new Blob([TAP], { type: "text/javascript" }));
  try {
    await context.audioWorklet.addModule(url);
    const node = new AudioWorkletNode(context, "tap", { channelCount: 1, channelCountMode: "explicit" });
    node.port.onmessage = (event) => take(event.data);
    return node;
  } catch {
    // Runs on the page's main thread: only large blocks survive when that is busy.
    const node = context.createScriptProcessor(16384, 1, 1);
    node.onaudioprocess = (event) => take(event.inputBuffer.getChannelData(0).slice());
    return node;
  } finally {
    URL.revokeObjectURL(url);
  }
}

/** Return a mono 16-bit PCM wav file of float samples, as bytes. */
function encodeWav(samples, rate) {
  const view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const text = (at, word) => [...word].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + 2 * samples.length, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true); // bytes of the fmt chunk
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, 1, true); // channels
  view.setUint32(24, rate, true);
  view.setUint32(28, 2 * rate, true); // bytes per second
  view.setUint16(32, 2, true); // bytes per frame
  view.setUint16(34, 16, true); // bits per sample
  text(36, "data");
  view.setUint32(40, 2 * samples.length, true);
  samples.forEach((x, i) => view.setInt16(44 + 2 * i, Math.max(-32768, Math.min(32767, Math.round(x * 32768))), true));
  return new Uint8Array(view.buffer);
}

/** Return bytes as base64; in pieces, since a call takes a limited number of arguments. */
function toBase64(bytes) {
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return btoa(text);
}

/** Return samples with room for twice as many, at most `most`. */
function grow(samples, most) {
  const larger = new Float32Array(Math.min(most, 2 * samples.length));
  larger.set(samples);
  return larger;
}

/** Return seconds as "0:03". */
function clock(seconds) {
  return `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
}

/** Return how loud samples are as 0 to 1, even in decibels. */
function loudness(samples) {
  const power = samples.reduce((sum, x) => sum + x * x, 0) / samples.length;
  return Math.max(0, Math.min(1, 1 - (10 * Math.log10(power + 1e-12)) / QUIETEST_DB));
}

/** One recorder on the page; `send(event, value)` triggers an event in Python, and may be replaced meanwhile. */
class Recorder {
  constructor(root, { seconds, longest }) {
    this.seconds = seconds;
    this.longest = longest;
    this.open = false; // whether a recording ends by Stop, after at most `longest` seconds
    this.root = root.querySelector(".recorder");
    this.find = (name) => this.root.querySelector(name);
    this.running = null; // the AbortController of the recording under way
    this.bars = Array.from({ length: BARS }, () => document.createElement("i"));
    this.find(".level").replaceChildren(...this.bars);
    this.find(".record").onclick = () => this.start();
    this.find(".stop").onclick = () => this.stop();
    this.find(".pause").onclick = () => this.pause();
    this.find(".cancel").onclick = () => this.cancel();
    this.find("[data-open=false]").textContent = `${seconds} seconds`;
    for (const button of this.root.querySelectorAll("[data-open]")) {
      button.onclick = () => this.choose(button.dataset.open === "true");
    }
    this.choose(false);
  }

  /** Choose whether recordings end by Stop or by themselves. */
  choose(open) {
    if (this.running) return;
    this.open = open;
    this.root.toggleAttribute("data-free", open);
    for (const button of this.root.querySelectorAll("[data-open]")) {
      button.setAttribute("aria-pressed", button.dataset.open === String(open));
    }
    this.find(".length").textContent = clock(open ? this.longest : this.seconds);
    this.clear();
    const end = open ? `; press Stop when you are done, after ${this.longest} seconds at most` : ", and stops by itself";
    this.show("idle", `It starts when your microphone does${end}.`);
  }

  show(state, sentence) {
    const focused = this.find(".box button:focus");
    this.root.dataset.state = state;
    const records = state === "recording" || state === "paused";
    const busy = state === "waiting" || records;
    // The focus would be lost with its button.
    const main = this.find(records && this.open ? ".stop" : ".record");
    if (focused && (!busy || focused.matches(".record"))) main.focus();
    this.find(".record").setAttribute("aria-disabled", busy);
    this.find(".choice").toggleAttribute("inert", busy);
    const labels = { waiting: "Waiting…", recording: `${this.seconds.toFixed(1)} s left` };
    this.write(".label", labels[state] ?? (this.open ? "Record" : `Record ${this.seconds} s`));
    this.find(".pause").setAttribute("aria-label", state === "paused" ? "Resume" : "Pause");
    this.write(".status", sentence);
  }

  write(name, text) {
    this.find(name).textContent = text;
  }

  async start() {
    if (this.running) return; // A second click starts no second recording, and does not end the first one.
    if (!usable()) return this.fail("insecure");
    const run = (this.running = new AbortController());
    const options = { signal: run.signal };
    window.addEventListener("keydown", (event) => event.key === "Escape" && this.cancel(), options);
    this.clear();
    this.show("waiting", WAITING);
    try {
      await listen(run.signal, this.collector(), (kind) => this.fail(kind));
    } catch (error) {
      if (!run.signal.aborted) this.fail(problemOf(error));
    }
  }

  /** Return a function that takes blocks of samples until there are enough; it returns whether there is any sound. */
  collector() {
    const open = this.open;
    let samples = null, taken = 0, settled = 0, bar = 0, most = 0;
    return (block, rate) => {
      if (!samples) {
        settled += block.length;
        if (settled < SETTLING_S * rate && block.every((x) => x === 0)) return false;
        most = open ? Math.min(this.longest * rate, MOST_FRAMES) : this.seconds * rate;
        samples = new Float32Array(open ? rate : most);
        this.recorded = () => samples.slice(0, taken);
        this.rate = rate;
        this.show("recording", RECORDING);
      }
      if (this.root.dataset.state === "paused") return true;
      const fits = block.subarray(0, most - taken);
      if (taken + fits.length > samples.length) samples = grow(samples, most);
      samples.set(fits, taken);
      taken += fits.length;
      const width = open ? BAR_S * rate : most / BARS;
      for (; (bar + 1) * width <= taken; bar++) {
        this.draw(bar, loudness(samples.subarray(bar * width, (bar + 1) * width)));
        if (open) this.write(".time", clock(taken / rate));
        else this.write(".label", `${((most - taken) / rate).toFixed(1)} s left`);
      }
      if (taken === most) this.finish();
      return true;
    };
  }

  /** Draw the level of one part of the time; of more parts than there are bars, the latest. */
  draw(bar, level) {
    if (bar >= BARS) {
      this.bars.forEach((each, i) => i && this.set(i - 1, each.dataset.level));
      bar = BARS - 1;
    }
    this.set(bar, Math.max(0.09, level).toFixed(2));
  }

  set(bar, level) {
    this.bars[bar].className = "filled";
    this.bars[bar].dataset.level = level;
    this.bars[bar].style.transform = `scaleY(${level})`;
  }

  clear() {
    for (const bar of this.bars) {
      bar.className = "";
      bar.style.transform = "";
    }
    this.write(".time", "0:00");
  }

  /** Pause or resume; the microphone stays open, since not every browser opens it again without a question. */
  pause() {
    if (this.root.dataset.state === "recording") this.show("paused", PAUSED);
    else if (this.root.dataset.state === "paused") this.show("recording", RECORDING);
  }

  stop() {
    if (this.root.dataset.state === "recording" || this.root.dataset.state === "paused") this.finish();
  }

  finish() {
    const samples = this.recorded();
    this.release();
    const seconds = samples.length / this.rate;
    this.show("done", `${this.open ? seconds.toFixed(1) : this.seconds} seconds recorded.`);
    this.send(this.open ? "speech" : "recording", toBase64(encodeWav(samples, this.rate)));
  }

  cancel() {
    if (!this.running) return;
    this.release();
    this.clear();
    this.show("idle", CANCELED);
  }

  fail(kind) {
    this.release();
    this.clear();
    this.show("problem", "");
    writeProblem(this.find(".status"), kind, PROBLEMS[kind]);
    this.send("problem", kind);
  }

  release() {
    this.running?.abort();
    this.running = null;
  }
}

/** Whether this page may ask for a microphone: browsers hide it from pages on plain http. */
function usable() {
  return window.isSecureContext && navigator.mediaDevices?.getUserMedia;
}

// Streamlit calls the function below again when the theme or the data change, without a clean-up in between: the
// recorder goes on. Only the clean-up of the latest call counts.
const recorders = new WeakMap();

export default function mount({ parentElement, data, setTriggerValue }) {
  const isNew = !recorders.has(parentElement);
  const recorder = isNew ? new Recorder(parentElement, data) : recorders.get(parentElement);
  recorders.set(parentElement, recorder);
  recorder.send = setTriggerValue;
  if (isNew && !usable()) recorder.fail("insecure");
  return () => {
    if (recorder.send !== setTriggerValue) return;
    recorder.release();
    recorders.delete(parentElement);
  };
}
