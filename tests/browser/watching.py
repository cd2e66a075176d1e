"""What a browser has to complain about a page: errors, refused content, accessibility, width."""

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import ConsoleMessage, Page, Request, Response

# Rules whose verdict depends on colors; the others say the same in both schemes.
COLOR_RULES = ["color-contrast", "link-in-text-block"]
# Marks each text that looks like none before: its tag and classes, its own style, and all colors that lie behind it.
MARK_UNSEEN = """(known) => {
  const seen = new Set(known), fresh = [];
  const behind = new Map();
  const backdrop = (one) => {
    if (!one) return "";
    if (!behind.has(one)) {
      const style = getComputedStyle(one);
      const own = style.backgroundColor + style.opacity + (style.backgroundImage === "none" ? "" : style.backgroundImage);
      behind.set(one, own === "rgba(0, 0, 0, 0)1" ? backdrop(one.parentElement) : own + backdrop(one.parentElement));
    }
    return behind.get(one);
  };
  for (const one of document.querySelectorAll("body *")) {
    const hasText = [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!hasText && !one.matches("input, select, textarea")) continue;
    const style = getComputedStyle(one);
    const key = [one.tagName, one.className, one.parentElement.tagName, style.color, style.fontSize, style.fontWeight,
      style.textDecorationLine, style.fill, backdrop(one)].join("|");
    if (seen.has(key)) continue;
    // What is hidden now is judged where it shows.
    if (!one.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    seen.add(key);
    fresh.push(key);
    one.setAttribute("data-unseen", "");
  }
  return fresh;
}"""
UNMARK = (
    "() => document.querySelectorAll('[data-unseen]').forEach((one) => one.removeAttribute('data-unseen'))"
)
OVERFLOWING = """() => {
  const width = document.documentElement.clientWidth;
  if (document.scrollingElement.scrollWidth <= width) return [];
  return [...document.querySelectorAll("body *")]
    .filter((one) => one.getBoundingClientRect().right > width + 1)
    .map((one) => one.outerHTML.slice(0, 120));
}"""
RUN_AXE = """async ([where, only, not]) => {
  const found = await axe.run(where ? { include: [[where]] } : document, {
    resultTypes: ["violations"],
    preload: false, // no rule of ours reads style sheets
    rules: Object.fromEntries(not.map((rule) => [rule, { enabled: false }])),
    ...(only ? { runOnly: { type: "rule", values: only } } : {}),
  });
  return found.violations.map((one) => `${one.id}: ${one.help}: ${one.nodes.map((n) => n.html.slice(0, 160)).join(" | ")}`);
}"""


class Watch:
    """Collects what goes wrong in a page while it loads and is used."""

    def __init__(self, page: Page, *, is_hurried: bool = False) -> None:
        """With ``is_hurried`` the visitor goes on before all is there; what is dropped by that is no fault."""
        self.page = page
        self._is_hurried = is_hurried
        self.complaints: list[str] = []
        self._under_way: set[Request] = set()
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.complaints.append(f"script: {error}"))
        page.on("request", self._on_request)
        page.on("requestfinished", self._on_end)
        page.on("requestfailed", self._on_failure)
        page.on("response", self._on_response)

    def open(self, path: str) -> None:
        """Go to a page and wait until it, and what it fetches by itself, has arrived."""
        self._under_way.clear()
        self.page.goto(path)
        self.settle()

    def settle(self) -> None:
        """Wait until nothing is under way any more."""
        while self._under_way:
            self.page.wait_for_timeout(5)
        self.page.wait_for_function(
            "!document.querySelector('.htmx-request, .htmx-swapping, .htmx-settling')"
        )

    def axe(self, *, only: list[str] | None = None) -> list[str]:
        """Return what axe finds; with ``only``, by these rules."""
        return self._run_axe(None, only, [])

    def axe_structure(self) -> list[str]:
        """Return what axe finds by the rules that do not look at colors."""
        return self._run_axe(None, None, COLOR_RULES)

    def axe_colors(self, known: set[str]) -> list[str]:
        """Return what axe finds wrong with the colors of texts that look like none of the ``known``, which they join."""
        fresh: list[str] = self.page.evaluate(MARK_UNSEEN, list(known))
        if not fresh:
            return []
        known.update(fresh)
        found = self._run_axe("[data-unseen]", COLOR_RULES, [])
        self.page.evaluate(UNMARK)
        return found

    def _run_axe(self, where: str | None, only: list[str] | None, leave_out: list[str]) -> list[str]:
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(AXE_SCRIPT)
        found: list[str] = self.page.evaluate(RUN_AXE, [where, only, leave_out])
        return found

    def overflow(self) -> list[str]:
        """Return the elements that make the page scroll sideways."""
        found: list[str] = self.page.evaluate(OVERFLOWING)
        return found

    def take_complaints(self) -> list[str]:
        """Return what was collected so far, and start anew."""
        taken, self.complaints[:] = list(self.complaints), []
        return taken

    def _on_console(self, message: ConsoleMessage) -> None:
        # Violations of the content security policy are console errors too; htmx says each dropped request in several.
        is_dropped = self._is_hurried and message.text.startswith("htmx:")
        if message.type in ("error", "warning") and not is_dropped:
            self.complaints.append(f"console: {message.text}")

    def _on_request(self, request: Request) -> None:
        self._under_way.add(request)

    def _on_end(self, request: Request) -> None:
        self._under_way.discard(request)

    def _on_failure(self, request: Request) -> None:
        self._on_end(request)
        if not (self._is_hurried and request.failure == "net::ERR_ABORTED"):
            self.complaints.append(f"request failed: {request.method} {request.url} {request.failure}")

    def _on_response(self, response: Response) -> None:
        if response.status >= 400:
            self.complaints.append(f"answer {response.status}: {response.request.method} {response.url}")
