// Around htmx, which brings parts of a page up to date: filters of a list as one types, and what changes by itself. Without
// JavaScript each form has its button and each part a link that asks.
// - While a list is asked for it is marked as busy; when the answer doesn't come, what stands there stays, and says so.
// - Whoever is signed out meanwhile is led to signing in, and back.
// - A part that changes by itself is asked for while somebody looks at it; only what changed is put there, so that nothing is
//   read out twice.
(() => {
  for (const said of document.querySelectorAll("[data-polls]")) said.hidden = false;
  const told = document.createElement("p");
  told.className = "unseen";
  told.role = "status";
  document.body.append(told);
  const polls = (element) => element.hasAttribute("data-poll");
  const part = ({ detail }) => detail.target;
  const on = (name, act) => document.body.addEventListener(`htmx:${name}`, act);

  // An address says what was asked for, and nothing more.
  on("configRequest", ({ detail: { parameters } }) => {
    for (const [name, value] of Object.entries(parameters)) if (value === "") delete parameters[name];
  });

  on("beforeRequest", (event) => {
    if (!polls(event.detail.elt)) return part(event).setAttribute("aria-busy", "true");
    if (document.hidden) event.preventDefault();
  });

  on("beforeSwap", (event) => {
    const { xhr, elt, pathInfo } = event.detail;
    const asked = new URL(pathInfo.finalRequestPath, location.href);
    const came = new URL(xhr.responseURL || asked, location.href);
    if (came.pathname !== asked.pathname) {
      event.detail.shouldSwap = false;
      // What a signed-out person had in view stays true; a list they asked for is not there.
      if (!polls(elt)) location.assign(asked);
    } else if (polls(elt) && xhr.responseText.trim() === part(event).innerHTML.trim()) {
      event.detail.shouldSwap = false;
    }
  });

  const trouble = (event, text) => {
    const { elt } = event.detail;
    const list = part(event);
    if (polls(elt)) return;
    const box = document.createElement("div");
    const words = document.createElement("p");
    const again = document.createElement("button");
    box.className = "alert trouble";
    box.role = "alert";
    words.textContent = text;
    Object.assign(again, { type: "button", className: "secondary small", textContent: "Try again" });
    again.addEventListener("click", () => htmx.trigger(elt, "again"));
    box.append(words, again);
    list.previousElementSibling?.matches(".trouble") && list.previousElementSibling.remove();
    list.before(box);
  };
  for (const failure of ["sendError", "timeout"]) {
    on(failure, (event) => trouble(event, "Switchboard can’t be reached. The list is as it was before."));
  }
  on("responseError", (event) => {
    trouble(event, "Switchboard could not answer. The list is as it was before.");
  });

  on("afterRequest", (event) => {
    if (polls(event.detail.elt)) return;
    const list = document.getElementById(part(event).id);
    list?.removeAttribute("aria-busy");
    if (!event.detail.successful) return;
    list?.previousElementSibling?.matches(".trouble") && list.previousElementSibling.remove();
    told.textContent = list?.dataset.said ?? "";
  });
})();
