"""How well the text of a page stands out from what is behind it."""

from __future__ import annotations

from playwright.sync_api import Page

# Each leaf of text against the first opaque background behind it, as WCAG 2 counts it.
_RATIOS = """selector => {
  const parse = c => (c.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = e => {
    for (let at = e; at; at = at.parentElement) {
      const c = parse(getComputedStyle(at).backgroundColor);
      if (c.length === 3 || c[3] === 1) return c;
    }
    return [255, 255, 255];
  };
  return [...document.querySelectorAll(selector)]
    .filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()) && e.offsetParent)
    .map(e => [light(parse(getComputedStyle(e).color)), light(behind(e))].sort((a, b) => b - a))
    .map(([high, low]) => (high + 0.05) / (low + 0.05));
}"""


def contrast_ratios(page: Page, selector: str) -> list[float]:
    """Return the contrast, 1 to 21, of each visible element with text of its own that the selector matches."""
    ratios: list[float] = page.evaluate(_RATIOS, selector)
    return ratios
