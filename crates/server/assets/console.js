// What JavaScript adds to the console's pages; without it every link and form works as it is.
// - A link that signs in at a provider opens a window of its own, at once, so that no browser blocks it; what became of
//   it is told by that window on a channel of ours, or asked for. The window being closed says nothing: a provider's
//   page may cut it off from this one.
// - A row that is being checked is asked about until it changes.
(() => {
  const formToken = document.currentScript.dataset.formToken;
  const told = document.getElementById("told");
  const pending = new Map();
  const tell = (...nodes) => told.replaceChildren(...nodes);
  const ask = async (path, options) => {
    const answer = await fetch(`/api/v1${path}`, { headers: { "switchboard-form-token": formToken }, ...options });
    const body = await answer.json();
    if (!answer.ok) throw new Error(body.detail ?? body.title ?? String(answer.status));
    return body;
  };
  const link = (href, text) => {
    const anchor = document.createElement("a");
    Object.assign(anchor, { href, textContent: text, target: "_blank", rel: "noopener" });
    return anchor;
  };
  // The page says it better than a script could: it is asked for anew once nothing is under way.
  const settle = (id) => {
    pending.get(id)?.();
    pending.delete(id);
    if (pending.size === 0) location.reload();
  };

  const follow = (id, { state_id: stateId, expires_at: expiresAt }) => {
    const channel = new BroadcastChannel(`switchboard-connect-${stateId}`);
    channel.onmessage = ({ data }) => data.stateId === stateId && settle(id);
    const timer = setInterval(async () => {
      if (Date.now() > Date.parse(expiresAt)) return settle(id);
      const found = await ask(`/authorizations/${stateId}`).catch(() => ({ status: "pending" }));
      if (found.status !== "pending") settle(id);
    }, 1500);
    pending.get(id)?.();
    pending.set(id, () => { clearInterval(timer); channel.close(); });
  };

  const signIn = async (event) => {
    const anchor = event.target.closest("a[data-sign-in]");
    if (!anchor || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    if (anchor.ariaBusy === "true") return;
    anchor.ariaBusy = "true";
    const id = anchor.dataset.signIn;
    // Before anything is waited for: only a click may open a window.
    const opened = window.open("about:blank", `oauth-${id}`, "width=560,height=720");
    if (opened) opened.document.body.textContent = "One moment: this window goes on to the provider.";
    try {
      const started = await ask(`/connections/${id}/authorize`, { method: "POST" });
      follow(id, started);
      const url = started.authorization_url;
      if (opened) {
        opened.location.replace(url);
        tell("Go on in the other window. It is not there? ", link(url, "Open the sign-in page here"));
      } else {
        tell("The browser let no window open. ", link(url, "Open the sign-in page"));
      }
    } catch (error) {
      opened?.close();
      tell(error.message);
    }
    anchor.ariaBusy = null;
  };
  // Rows come and go as the list is filtered.
  document.addEventListener("click", signIn);

  const watch = (row) => {
    const id = row.dataset.busy;
    let first;
    const until = Date.now() + 90_000;
    const timer = setInterval(async () => {
      if (Date.now() > until || !row.isConnected) return clearInterval(timer);
      const { status, checked_at: at } = await ask(`/connections/${id}`).catch(() => ({}));
      const now = `${status} ${at}`;
      first ??= now;
      const over = status && status !== "checking" && status !== "authorizing";
      if (over || now !== first) { clearInterval(timer); if (pending.size === 0) location.reload(); }
    }, 1500);
  };
  const watchAll = () => document.querySelectorAll("[data-busy]").forEach(watch);
  watchAll();
  document.body.addEventListener("htmx:afterSwap", watchAll);
})();
