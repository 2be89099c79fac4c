// What JavaScript adds to the pages of rules; without it buttons move a rule, and a button shows what a pattern matches.
(() => {
  // A rule is dragged to where it belongs; the form that the buttons send is sent for it.
  const list = document.querySelector("[data-rules]");
  const order = document.getElementById("order");
  let dragged;
  for (const item of list?.children ?? []) {
    item.draggable = true;
    item.addEventListener("dragstart", (event) => {
      dragged = item;
      event.dataTransfer.effectAllowed = "move";
      event.dataTransfer.setData("text/plain", item.dataset.position);
    });
    item.addEventListener("dragover", (event) => {
      if (!dragged) return;
      event.preventDefault();
      const { top, height } = item.getBoundingClientRect();
      const below = event.clientY > top + height / 2;
      if (item !== dragged) item[below ? "after" : "before"](dragged);
    });
    item.addEventListener("drop", (event) => event.preventDefault());
    item.addEventListener("dragend", () => {
      const first = Math.min(...[...list.children].map(({ dataset }) => Number(dataset.position)));
      const to = first + [...list.children].indexOf(dragged);
      order.elements.position.value = dragged.dataset.position;
      order.elements.to.value = to;
      if (to !== Number(dragged.dataset.position)) order.requestSubmit();
      dragged = undefined;
    });
  }

  // What a pattern matches, while it is typed.
  const field = document.querySelector("[data-preview]");
  if (!field) return;
  for (const part of document.querySelectorAll("[data-without-script]")) part.hidden = true;
  const shown = document.getElementById("preview");
  let timer;
  let latest = 0;
  const look = async () => {
    const mine = ++latest;
    const pattern = field.value.trim();
    if (!pattern) { shown.hidden = true; return; }
    const answer = await fetch(field.dataset.preview + encodeURIComponent(pattern)).catch(() => undefined);
    const text = answer?.ok ? await answer.text() : undefined;
    if (mine !== latest) return;
    if (text === undefined) { shown.textContent = "What it matches can't be shown right now."; }
    // Our own page's part, escaped where it was made.
    else { shown.replaceChildren(...new DOMParser().parseFromString(text, "text/html").body.childNodes); }
    shown.hidden = false;
    // What the server said of an earlier pattern is not about this one; what is wrong with this one stands here.
    document.getElementById("pattern-error")?.remove();
    field.setAttribute("aria-invalid", String(shown.querySelector(".error") !== null));
  };
  field.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(look, 250); });
})();
