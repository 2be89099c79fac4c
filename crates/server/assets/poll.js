// Parts of a page that change by themselves: asked for again every two seconds while somebody looks at them, until a part
// says that it is done. Without JavaScript each has a link that asks.
(() => {
  for (const said of document.querySelectorAll("[data-polls]")) said.hidden = false;
  for (const part of document.querySelectorAll("[data-poll]")) {
    let said = part.innerHTML.trim();
    const timer = setInterval(async () => {
      if (document.hidden) return;
      const answer = await fetch(part.dataset.poll, { redirect: "error" }).catch(() => undefined);
      // Signed out, or gone: what stands there stays true.
      if (!answer?.ok) return answer && clearInterval(timer);
      const text = (await answer.text()).trim();
      // Only what changed is put there, so that nothing is read out twice.
      if (text !== said) part.innerHTML = said = text;
      if (part.querySelector("[data-done]")) clearInterval(timer);
    }, 2000);
    if (part.querySelector("[data-done]")) clearInterval(timer);
  }
})();
