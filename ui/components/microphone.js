// Set before the index.js of each component that opens the microphone.

// The DOMException names of getUserMedia, as kinds of problem.
const KINDS = {
  NotAllowedError: "denied", SecurityError: "denied",
  NotFoundError: "absent", OverconstrainedError: "absent",
  NotReadableError: "busy", AbortError: "busy",
};

/** The kind of problem that an error of getUserMedia is; of a denial, who denied it. */
function problemOf(error) {
  const kind = KINDS[error.name] ?? "failed";
  if (kind !== "denied") return kind;
  // Only Chromium reports whether the site's header or the frame around the page allows the microphone.
  const allowed = document.featurePolicy?.allowsFeature("microphone");
  if (allowed === false) return window === window.top ? "forbidden" : "framed";
  return allowed === undefined && isForeignFrame() ? "framed" : kind;
}

/** Whether another site shows this page in a frame. */
function isForeignFrame() {
  try {
    return window.top.location.origin !== window.location.origin;
  } catch {
    return true;
  }
}

// What people read of the kinds that every component has, but for what each says of the way on.
const NOT_PASSED_ON = "This page is in a frame of another site that does not pass the microphone on: its owner has to " +
  "add allow=\"microphone\" to the frame. Or open this page in a tab of its own:";
const FORBIDDEN = "The server of this page forbids the microphone, by its Permissions-Policy header; " +
  "you can still upload a file.";

/** Write the sentence of a problem to an element; with the way out of a frame, where it is that. */
function writeProblem(place, kind, sentence) {
  place.textContent = sentence;
  if (kind !== "framed") return;
  const link = { href: location.href, target: "_blank", rel: "noopener", textContent: "open it" };
  place.append(" ", Object.assign(document.createElement("a"), link), ".");
}

// The processing that browsers apply to calls distorts the voice.
const PLAIN = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
