/* Everything here improves a page that already works without it. No framework, no inline handlers. */
(() => {
  "use strict";
  const root = document.documentElement;
  const on = (type, handler) => document.addEventListener(type, handler);
  // A choice that is not part of the form around it: that form need not hear of it.
  document.addEventListener("change", (event) => {
    if (event.target.closest("[data-apart]")) event.stopPropagation();
  }, true);
  const say = (text) => {
    const region = document.getElementById("announce");
    if (region) region.textContent = text;
  };

  // Theme: a cookie, so that the server draws the first paint in the right scheme.
  const theme = () => root.dataset.theme || "system";
  const paintTheme = () => {
    for (const button of document.querySelectorAll("[data-set-theme]")) {
      button.setAttribute("aria-pressed", String(button.dataset.setTheme === theme()));
    }
  };
  const setTheme = (value) => {
    if (value === "system") delete root.dataset.theme;
    else root.dataset.theme = value;
    const age = value === "system" ? 0 : 31536000;
    const secure = location.protocol === "https:" ? "; secure" : "";
    document.cookie = `theme=${value}; path=/; max-age=${age}; samesite=lax${secure}`;
    paintTheme();
  };

  const copy = async (button) => {
    const source = document.getElementById(button.dataset.copy);
    const label = button.querySelector("[data-copy-label]") || button;
    const before = label.textContent;
    try {
      await navigator.clipboard.writeText(source.textContent.trim());
      label.textContent = button.dataset.copied || "Copied";
      say(label.textContent);
    } catch {
      getSelection().selectAllChildren(source);
      label.textContent = "Press Ctrl+C";
    }
    setTimeout(() => { label.textContent = before; }, 2000);
  };

  // Toasts: good news leaves by itself unless somebody is reading it; everything else waits to be closed.
  const closeToast = (toast) => { if (toast) toast.remove(); };
  const armToast = (toast) => {
    if (toast.dataset.armed || !toast.hasAttribute("data-fades")) return;
    toast.dataset.armed = "1";
    let timer;
    const start = () => { timer = setTimeout(() => closeToast(toast), 8000); };
    const stop = () => clearTimeout(timer);
    for (const type of ["mouseenter", "focusin"]) toast.addEventListener(type, stop);
    for (const type of ["mouseleave", "focusout"]) toast.addEventListener(type, start);
    start();
  };
  const addToast = ({ text, tone = "ok" }) => {
    const template = document.getElementById("toast-template");
    const region = document.getElementById("toasts");
    if (!template || !region || !text) return;
    const toast = template.content.firstElementChild.cloneNode(true);
    toast.classList.add(`tone-${tone}`);
    for (const icon of toast.querySelectorAll("[data-tone]")) {
      if (icon.dataset.tone !== tone) icon.remove();
    }
    toast.querySelector("[data-toast-text]").textContent = text;
    if (tone === "ok" || tone === "info") toast.setAttribute("data-fades", "");
    region.append(toast);
    armToast(toast);
  };

  const openDialog = (opener, event) => {
    const dialog = document.getElementById(opener.dataset.dialog);
    if (!dialog || !dialog.showModal) return;
    event.preventDefault();
    dialog.showModal();
    const first = dialog.querySelector("[autofocus]");
    if (first) first.focus();
  };

  on("click", (event) => {
    const target = event.target.closest("[data-set-theme],[data-copy],[data-toast-close],[data-dialog],[data-dialog-close]");
    if (target) {
      const { dataset } = target;
      if (dataset.setTheme) setTheme(dataset.setTheme);
      else if (dataset.copy) copy(target);
      else if ("toastClose" in dataset) closeToast(target.closest(".toast"));
      else if (dataset.dialog) openDialog(target, event);
      else {
        const dialog = target.closest("dialog");
        if (dialog) { event.preventDefault(); dialog.close(); }
      }
    }
    if (event.target.nodeName === "DIALOG") event.target.close(); // a click on the backdrop
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });

  // Rows: j/k (or the arrow keys once a row has focus) move, Enter follows the row's own link.
  const rowLinks = () => [...document.querySelectorAll("[data-row-link]")].filter((link) => link.offsetParent);
  const moveRow = (step) => {
    const links = rowLinks();
    if (!links.length) return false;
    const here = links.indexOf(document.activeElement);
    const next = links[Math.max(0, Math.min(links.length - 1, here < 0 ? 0 : here + step))];
    next.focus();
    next.scrollIntoView({ block: "nearest" });
    return true;
  };
  const isTyping = (element) => element.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(element.nodeName);
  const shortcutsOff = () => root.dataset.shortcuts === "off";
  on("keydown", (event) => {
    if (event.key === "Escape") {
      const menu = event.target.closest("details.menu[open]");
      if (menu) { menu.open = false; menu.querySelector("summary").focus(); }
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    const onRow = event.target.matches("[data-row-link]");
    const step = { ArrowDown: onRow && 1, ArrowUp: onRow && -1, j: 1, k: -1 }[event.key];
    if (step && (onRow || !shortcutsOff()) && !document.querySelector("dialog[open]")) {
      if (moveRow(step)) event.preventDefault();
    } else if (event.key === "/" && !shortcutsOff()) {
      const search = document.querySelector("[data-search]");
      if (search) { event.preventDefault(); search.focus(); search.select(); }
    }
  });

  // A form is sent once: a second click while the first is under way does nothing.
  on("submit", (event) => {
    const form = event.target;
    if (event.defaultPrevented || form.method === "get" || form.method === "dialog") return;
    if (form.dataset.sent) { event.preventDefault(); return; }
    form.dataset.sent = "1";
    setTimeout(() => { delete form.dataset.sent; }, 4000);
  });
  addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
  });

  // htmx: toasts by HX-Trigger, a word for screen readers after a swap, a word for everybody when the network fails.
  on("toast", (event) => addToast(event.detail));
  on("htmx:afterSettle", (event) => {
    document.querySelectorAll(".toast").forEach(armToast);
    paintTheme();
    const said = event.detail.elt.closest("[data-announce]");
    if (said) say(said.dataset.announce);
  });
  for (const type of ["htmx:sendError", "htmx:responseError"]) {
    on(type, () => addToast({ text: document.body.dataset.errorText, tone: "danger" }));
  }

  paintTheme();
  document.querySelectorAll(".toast").forEach(armToast);
  const summary = document.querySelector("[data-error-summary]");
  if (summary) summary.focus();
})();
