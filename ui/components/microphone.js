// Set before the index.js of each component that opens the microphone.

// The DOMException names of getUserMedia, as kinds of problem.
const KINDS = {
  NotAllowedError: "denied", SecurityError: "denied",
  NotFoundError: "absent", OverconstrainedError: "absent",
  NotReadableError: "busy", AbortError: "busy",
};

/** The kind of problem that an error of getUserMedia is. */
function problemOf(error) {
  return KINDS[error.name] ?? "failed";
}

// The processing that browsers apply to calls distorts the voice.
const PLAIN = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
