// Lists sentences with their times and emotions. A click plays the page's recording from there; while it plays, the
// sentence is highlighted.

const MOVES = ["timeupdate", "seeked", "ended"];
// How long a click waits for the page's player, in milliseconds, and how often it looks.
const PATIENCE = 10_000;
const OFTEN = 100;

/** One list on the page. */
class Sentences {
  constructor(root) {
    this.list = root.querySelector(".sentences");
    this.data = { rows: [], player: "" };
    this.follow = (event) => event.target === this.player() && this.highlight(event.target);
    // Media events do not bubble, but the document sees them first; the player itself may be replaced at any time.
    for (const move of MOVES) document.addEventListener(move, this.follow, true);
  }

  player() {
    return document.querySelector(this.data.player);
  }

  take(data) {
    if (JSON.stringify(data) === JSON.stringify(this.data)) return; // Another run of the page with the same sentences.
    this.data = data;
    this.list.replaceChildren(...data.rows.map((row) => this.make(row)));
  }

  make({ start, time, speaker, text, emotion, note, sure }) {
    const button = document.createElement("button");
    button.type = "button";
    button.title = note;
    for (const [name, content] of Object.entries({ time, text, mark: emotion })) {
      button.append(Object.assign(document.createElement("span"), { className: name, textContent: content }));
    }
    if (speaker) {
      const name = Object.assign(document.createElement("strong"), { textContent: `${speaker}: ` });
      button.querySelector(".text").prepend(name);
    }
    button.lastChild.classList.toggle("unsure", !sure);
    button.onclick = () => this.play(start);
    const item = document.createElement("li");
    item.append(button);
    return item;
  }

  play(start, left = PATIENCE / OFTEN) {
    const player = this.player();
    if (!player) {
      if (left) setTimeout(() => this.play(start, left - 1), OFTEN); // The page draws its player after the list.
      return;
    }
    player.play().catch(() => {}); // A browser may refuse to play; its own controls are there.
    const seek = () => (player.currentTime = start);
    // Streamlit goes to the beginning of a recording when it has loaded it.
    if (player.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA) seek();
    else player.addEventListener("canplay", seek, { once: true });
  }

  highlight(player) {
    const now = player.ended ? -1 : player.currentTime;
    const current = this.data.rows.findLastIndex(({ start, end }) => start <= now && now < end);
    [...this.list.querySelectorAll("button")].forEach((button, i) => {
      if ((i === current) === button.hasAttribute("aria-current")) return;
      if (i !== current) return button.removeAttribute("aria-current");
      button.setAttribute("aria-current", "true");
      this.reveal(button.parentElement);
    });
  }

  /** Scroll the list, and not the page, to an item. */
  reveal(item) {
    const { scrollTop, clientHeight } = this.list;
    const hidden = item.offsetTop < scrollTop || item.offsetTop + item.offsetHeight > scrollTop + clientHeight;
    if (hidden) this.list.scrollTop = item.offsetTop;
  }

  end() {
    for (const move of MOVES) document.removeEventListener(move, this.follow, true);
  }
}

// Streamlit calls the function below again for each run of the page, without a clean-up in between: the list stays. Only
// the clean-up of the latest call counts.
const lists = new WeakMap();

export default function mount({ parentElement, data }) {
  if (!lists.has(parentElement)) lists.set(parentElement, new Sentences(parentElement));
  const list = lists.get(parentElement);
  if (data) list.take(data);
  const latest = (list.latest = {});
  return () => {
    if (list.latest !== latest) return;
    list.end();
    lists.delete(parentElement);
  };
}
