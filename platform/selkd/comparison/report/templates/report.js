"use strict";
// Sorts and filters tables, and lets figures be asked for their values. Without it the page is complete, but still.
(() => {
  const heard = document.getElementById("heard");
  const order = (cell) => {
    if (cell.dataset.order !== undefined) return Number(cell.dataset.order);
    const text = cell.textContent.trim();
    return text !== "" && !Number.isNaN(Number(text)) ? Number(text) : text;
  };
  const compared = (a, b) => {
    if (typeof a === "number" && typeof b === "number") return a - b;
    return String(a).localeCompare(String(b), "en", { numeric: true });
  };
  const missing = (value) => value === "-" || value === "";

  const sort = (table, place, head) => {
    const ascending = head.getAttribute("aria-sort") !== "ascending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    const rows = [...table.tBodies[0].rows].map((row) => [order(row.cells[place]), row]);
    rows.sort(([a], [b]) => missing(a) - missing(b) || (ascending ? compared(a, b) : compared(b, a)));
    table.tBodies[0].append(...rows.map(([, row]) => row));
    heard.textContent = `Sorted by ${head.textContent}, ${ascending ? "ascending" : "descending"}`;
  };

  for (const table of document.querySelectorAll("table[data-sort]")) {
    [...table.tHead.rows[0].cells].forEach((head, place) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      button.addEventListener("click", () => sort(table, place, head));
      head.append(button);
    });
  }

  for (const box of document.querySelectorAll(".filter")) {
    const input = box.querySelector("input");
    const body = document.getElementById(input.getAttribute("aria-controls")).tBodies[0];
    const texts = new Map();
    const filter = () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of body.rows) {
        if (!texts.has(row)) texts.set(row, [...row.cells].map((cell) => cell.textContent).join(" ").toLowerCase());
        row.hidden = !words.every((word) => texts.get(row).includes(word));
        shown += row.hidden ? 0 : 1;
      }
      box.querySelector("output").textContent = words.length ? `${shown} of ${body.rows.length} rows` : "";
    };
    input.addEventListener("input", filter);
    box.hidden = false;
  }

  const scrolls = [...document.querySelectorAll(".scroll, .paper")];
  const reach = () => {
    for (const box of scrolls) {
      if (box.scrollWidth > box.clientWidth + 1) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
    }
  };
  addEventListener("resize", reach);
  document.addEventListener("toggle", reach, true);
  document.addEventListener("contentvisibilityautostatechange", reach, true);
  reach();

  // What a figure can be asked for: its dots, or the epochs of its curves. Each can be marked and put into words.
  const dotsOf = (ask) => [...ask.querySelectorAll("[data-said]")].map((dot) => ({
    part: dot,
    words: () => dot.dataset.said,
    mark: (on) => dot.classList.toggle("here", on),
    hidden: () => Boolean(dot.closest(".gone")),
  }));
  const epochsOf = (panel) => {
    const source = panel.querySelector("script");
    if (!source) return [];
    const data = JSON.parse(source.textContent);
    const cursor = panel.querySelector(".cursor");
    const shown = (level) => !panel.querySelector(`.gone[data-level="${level}"]`);
    return data.steps.map(([step, at]) => ({
      part: panel,
      at,
      words: () => {
        const values = data.said.filter(([level, said]) => shown(level) && step in said).map(([, said]) => said[step]);
        return `Epoch ${step}: ${values.join("; ") || "no level is shown"}`;
      },
      mark: (on) => {
        cursor.setAttribute("x1", `${at}%`);
        cursor.setAttribute("x2", `${at}%`);
        cursor.classList.toggle("here", on);
      },
      hidden: () => false,
    }));
  };

  for (const figure of document.querySelectorAll(".plot")) {
    const ask = figure.querySelector(".ask");
    const said = figure.querySelector(".said");
    const all = [...dotsOf(ask), ...[...ask.querySelectorAll(".panel")].flatMap(epochsOf)];
    let here = null;
    const tell = (one) => {
      here?.mark(false);
      here = one;
      here?.mark(true);
      said.textContent = here ? here.words() : "";
    };
    const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
    ask.addEventListener("keydown", (event) => {
      const seen = all.filter((one) => !one.hidden());
      const place = seen.indexOf(here);
      let next = null;
      if (event.key in steps) next = place < 0 ? 0 : place + steps[event.key];
      else if (event.key === "Home") next = 0;
      else if (event.key === "End") next = seen.length - 1;
      else if (event.key === "Escape") tell(null);
      if (next === null || !seen.length) return;
      event.preventDefault();
      tell(seen[Math.min(Math.max(next, 0), seen.length - 1)]);
    });
    ask.addEventListener("pointermove", (event) => {
      const dot = event.target.closest("[data-said]");
      if (dot) return tell(all.find((one) => one.part === dot));
      const panel = event.target.closest(".panel");
      const box = panel?.querySelector(".lines")?.getBoundingClientRect();
      if (!box || event.clientY < box.top || event.clientY > box.bottom) return;
      const at = (100 * (event.clientX - box.left)) / box.width;
      const near = all.filter((one) => one.part === panel).sort((a, b) => Math.abs(a.at - at) - Math.abs(b.at - at))[0];
      if (near && near !== here) tell(near);
    });
    ask.addEventListener("blur", () => tell(null));
    const toggles = figure.querySelector(".toggles");
    toggles.hidden = false;
    for (const button of toggles.querySelectorAll("button")) {
      button.addEventListener("click", () => {
        const shown = button.getAttribute("aria-pressed") !== "true";
        button.setAttribute("aria-pressed", String(shown));
        for (const part of ask.querySelectorAll(`[data-level="${button.dataset.level}"]`)) part.classList.toggle("gone", !shown);
        tell(null);
      });
    }
  }
})();
