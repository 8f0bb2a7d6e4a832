// Lists the files of the page with their answers. A click opens one; Python draws what it opens.

// How long an answer may take to appear, after which the page no longer scrolls to it, in milliseconds; and how often to look.
const PATIENCE = 10_000;
const OFTEN = 100;
const STATES = { waiting: "Waiting", running: "Analyzing…" };

/** One list on the page; `send(event, value)` triggers an event in Python. */
class Files {
  constructor(root) {
    this.list = root.querySelector(".files");
    this.rows = new Map(); // the items by key, with what they show
  }

  take({ rows }) {
    const known = this.rows;
    this.rows = new Map(rows.map((row) => [row.key, known.get(row.key) ?? this.make(row.key)]));
    // Only what has changed is touched, so that the focus and the scroll position stay.
    for (const [key, { item }] of known) if (!this.rows.has(key)) item.remove();
    rows.forEach((row, i) => {
      const { item } = this.rows.get(row.key);
      if (this.list.children[i] !== item) this.list.insertBefore(item, this.list.children[i] ?? null);
      this.write(this.rows.get(row.key), row);
    });
  }

  make(key) {
    const button = document.createElement("button");
    button.type = "button";
    for (const name of ["name", "answer", "seconds"]) {
      button.append(Object.assign(document.createElement("span"), { className: name }));
    }
    button.onclick = () => {
      if (button.getAttribute("aria-disabled") === "true") return;
      this.send("opened", key);
      this.reveal(button.querySelector(".name").textContent);
    };
    const item = document.createElement("li");
    item.append(button);
    return { item, button, written: "" };
  }

  /** Scroll to the answer, which the page draws below the list. */
  reveal(name, left = PATIENCE / OFTEN) {
    const headline = document.querySelector(".st-key-headline");
    const shown = headline?.querySelector(".eyebrow")?.textContent.startsWith(name);
    if (shown) headline.scrollIntoView({ behavior: "smooth", block: "start" });
    else if (left) setTimeout(() => this.reveal(name, left - 1), OFTEN);
  }

  write(kept, row) {
    const written = JSON.stringify(row);
    if (kept.written === written) return;
    kept.written = written;
    const [name, answer, seconds] = kept.button.children;
    name.textContent = name.title = row.name;
    answer.textContent = row.answer || STATES[row.state];
    seconds.textContent = row.seconds;
    kept.item.dataset.state = row.state;
    kept.button.setAttribute("aria-disabled", row.state !== "done");
    if (row.shown) kept.button.setAttribute("aria-current", "true");
    else kept.button.removeAttribute("aria-current");
  }
}

// Streamlit calls the function below again for each run of the page, without a clean-up in between: the list stays. Only
// the clean-up of the latest call counts.
const lists = new WeakMap();

export default function mount({ parentElement, data, setTriggerValue }) {
  if (!lists.has(parentElement)) lists.set(parentElement, new Files(parentElement));
  const list = lists.get(parentElement);
  list.send = setTriggerValue;
  if (data) list.take(data);
  return () => list.send === setTriggerValue && lists.delete(parentElement);
}
