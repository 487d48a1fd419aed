"""Pages looked at in headless Chromium: what a reader sees at a desk and on a telephone."""

import html
import json
import re
import shutil
import subprocess

import pytest

WIDTHS = (1280, 400)
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--enable-logging=stderr"),
)
# Scripts cannot run in a page of ours: one around it looks into frames of both widths.
PROBE = """<!DOCTYPE html><meta charset="utf-8"><body>%s<pre id="seen"></pre><script>
onload = () => {
  const seen = {};
  for (const frame of document.querySelectorAll("iframe")) {
    const page = frame.contentDocument, root = page.documentElement;
    const inside = (e, box) => {
      const a = e.getBoundingClientRect(), b = box.getBoundingClientRect();
      return a.left >= b.left - 1 && a.right <= b.right + 1 && a.top >= b.top - 1
        && a.bottom <= b.bottom + 1;
    };
    seen[frame.width] = {
      width: root.clientWidth, needed: root.scrollWidth,
      scripts: page.scripts.length, title: page.title,
      background: frame.contentWindow.getComputedStyle(page.body).backgroundColor,
      ink: frame.contentWindow.getComputedStyle(page.body).color,
      cut: [...page.querySelectorAll("svg text")]
        .filter(e => !inside(e, e.closest("svg"))).map(e => e.textContent),
      small: [...page.querySelectorAll("svg text")].map(e => e.getBoundingClientRect().height)
        .reduce((a, b) => Math.min(a, b), 99),
      wide: [...page.querySelectorAll("body *")].filter(e => !e.closest(".scroll, svg")
        && e.scrollWidth > e.clientWidth + 1 && e.clientWidth).map(e => e.outerHTML.slice(0, 99)),
      values: Object.fromEntries([...page.querySelectorAll("[data-key]")]
        .map(e => [e.dataset.key, e.textContent.trim()])),
      rows: [...page.querySelectorAll("table")].map(t => [...t.rows].map(r =>
        [...r.cells].map(c => c.textContent.trim()))),
      charts: [...page.querySelectorAll("figure")].map(f => ({
        name: f.querySelector("h3").textContent,
        key: [...f.querySelectorAll(".key li")].map(e => e.textContent.trim()),
        texts: [...f.querySelectorAll("svg text")].map(e => e.textContent),
        dots: [...f.querySelectorAll(".dot")].map(e => (e.getAttribute("d").match(/M/g)).length)
          .reduce((a, b) => a + b, 0),
      })),
    };
  }
  document.getElementById("seen").textContent = JSON.stringify(seen);
};
</script>"""


def chromium() -> str:
    """Path of Chromium; tests skip without."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip("no Chromium: apt-get install chromium")
    return found


def look(text: str, place, *, dark: bool = False) -> dict[int, dict]:
    """What a page shows, by width in pixels; it must say nothing on the console."""
    frames = "".join(
        f'<iframe width="{width}" height="900" srcdoc="{html.escape(text)}"></iframe>'
        for width in WIDTHS
    )
    probe = place / "probe.html"
    probe.write_text(PROBE % frames)
    scheme = ["--blink-settings=preferredColorScheme=0"] if dark else []
    ran = subprocess.run(
        [
            *(chromium(), *FLAGS, *scheme, f"--user-data-dir={place / 'profile'}"),
            *("--dump-dom", "--window-size=1400,1000", probe.as_uri()),
        ],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "CONSOLE" not in ran.stderr, ran.stderr
    seen = re.search(r'<pre id="seen">(.*?)</pre>', ran.stdout, re.DOTALL)[1]
    return {int(width): found for width, found in json.loads(html.unescape(seen)).items()}


def assert_readable(seen: dict[int, dict]) -> None:
    """Nothing is cut off and nothing needs the page to scroll sideways, at any width."""
    assert seen.keys() == set(WIDTHS)
    for width, page in seen.items():
        assert page["needed"] <= page["width"], width
        assert page["cut"] == [] and page["wide"] == [], width
        assert page["small"] > 9 and page["scripts"] == 0


def shade(color: str) -> float:
    """Brightness of a color of CSS, in [0, 1]."""
    return sum(map(int, re.findall(r"\d+", color)[:3])) / 3 / 255


def fetched(text: str) -> list[str]:
    """Addresses that a page would load something from."""
    return re.findall(r"""(?:\b(?:src|href)=|url\(|@import )["']?(?!data:)([^"'\s>)]+)""", text)
