/* Keys of the desk and of a decision; both work without. Moving by j and k, and / for search, are everywhere. */
(() => {
  "use strict";
  const root = document.documentElement;
  const isTyping = (element) => element.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(element.nodeName) && element.type !== "checkbox";
  const isOff = () => root.dataset.shortcuts === "off";
  const row = () => document.activeElement && document.activeElement.closest("tr");

  const setShortcuts = (off) => {
    if (off) root.dataset.shortcuts = "off";
    else delete root.dataset.shortcuts;
    const secure = location.protocol === "https:" ? "; secure" : "";
    document.cookie = `shortcuts=${off ? "off" : "on"}; path=/; max-age=31536000; samesite=lax${secure}`;
  };

  const count = () => {
    const chosen = document.querySelectorAll("[data-pick]:checked").length;
    const said = document.querySelector("[data-picked]");
    if (said) said.textContent = chosen ? `${chosen} selected` : "Nothing selected";
  };
  const pick = () => {
    const box = row() && row().querySelector("[data-pick]");
    if (!box) return false;
    box.checked = !box.checked;
    count();
    return true;
  };
  const open = (hash) => {
    const link = row() && row().querySelector("[data-row-link]");
    if (link) location.href = `${link.getAttribute("href")}${hash}`;
    return Boolean(link);
  };
  const focus = (id) => {
    const target = document.getElementById(id);
    if (target) target.focus();
    return Boolean(target);
  };
  const help = () => {
    const dialog = document.getElementById("keys");
    if (dialog && dialog.showModal && !dialog.open) dialog.showModal();
    return Boolean(dialog);
  };
  const act = {
    x: pick,
    a: () => focus("approve") || open("#approve"),
    d: () => focus("id_reason") || open("#id_reason"),
    "?": help,
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target) || isOff()) return;
    if (document.querySelector("dialog[open]") || !act[event.key]) return;
    if (act[event.key]()) event.preventDefault();
  });
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-shortcuts]")) setShortcuts(!event.target.checked);
    if (event.target.matches("[data-pick-all]")) {
      for (const box of document.querySelectorAll("[data-pick]")) box.checked = event.target.checked;
    }
    if (event.target.matches("[data-pick],[data-pick-all]")) count();
  });
  if (["#approve", "#id_reason"].includes(location.hash)) focus(location.hash.slice(1));
  count();
})();
