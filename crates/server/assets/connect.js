// Tells whoever opened this window what became of a sign-in: which one and how it ended, never a code or a token.
// Pages of our own origin listen on this channel; a browser that cuts them off from this one lets them ask instead
// (GET /api/v1/authorizations/{id}).
(() => {
  const { stateId, status } = document.getElementById("authorization").dataset;
  if ("BroadcastChannel" in window) {
    new BroadcastChannel(`switchboard-connect-${stateId}`).postMessage({ stateId, status });
  }
  // A failure stays, to be read.
  if (status === "connected") setTimeout(() => window.close(), 400);
})();
