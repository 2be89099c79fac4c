// A button beside each text that people take elsewhere. Without JavaScript the text is selected as a whole by a click.
(() => {
  if (!navigator.clipboard) return;
  const told = document.createElement("p");
  told.className = "unseen";
  told.role = "status";
  document.body.append(told);
  for (const text of document.querySelectorAll("[data-copy]")) {
    const button = document.createElement("button");
    Object.assign(button, { type: "button", className: "secondary small copy", textContent: "Copy" });
    button.ariaLabel = `Copy the ${text.dataset.copy}`;
    button.addEventListener("click", async () => {
      const done = await navigator.clipboard.writeText(text.textContent).then(() => true, () => false);
      button.textContent = done ? "Copied" : "Select and copy it";
      told.textContent = done ? `Copied the ${text.dataset.copy}` : "The browser did not allow copying.";
      setTimeout(() => { button.textContent = "Copy"; }, 4000);
    });
    text.before(button);
  }
})();
