"""The page as a browser shows it: on a phone, in the dark, without a network."""

import json
import re
import shutil
import subprocess
import tempfile

import pytest

from nestwise.report.render import render

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]

PROBE = """<script>addEventListener("load", () => {
  const wide = [...document.querySelectorAll("body *")].filter((element) =>
    !element.closest(".scroll, .skip") && element.getBoundingClientRect().right > innerWidth + 1);
  const probe = document.createElement("output");
  probe.id = "probe";
  probe.textContent = JSON.stringify({
    inner: innerWidth, scroll: document.documentElement.scrollWidth,
    wide: wide.map((element) => element.tagName + "." + element.className).slice(0, 5),
    loaded: performance.getEntriesByType("resource").map((entry) => entry.name)
      .filter((name) => !name.startsWith("data:")),
    paper: getComputedStyle(document.body).backgroundColor, ink: getComputedStyle(document.body).color,
    math: document.querySelector("math").getBoundingClientRect().height,
    alerted: window.alerted || null,
  });
  document.body.append(probe);
});</script>"""


def look(html, tmp_path, *options, width=375):
    """What the page says of itself in the browser; the probe stands in a copy only."""
    copy = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", html)
    copy = copy.replace(
        "<head>", "<head><script>window.alert = (text) => { window.alerted = text; };</script>", 1
    )
    file = tmp_path / "page.html"
    file.write_text(copy.replace("</body>", f"{PROBE}</body>"), encoding="utf-8")
    with tempfile.TemporaryDirectory() as profile:
        command = [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={profile}",
            f"--window-size={width},3000",
            "--virtual-time-budget=4000",
            *options,
            "--dump-dom",
            file.as_uri(),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r'<output id="probe">(.*?)</output>', done.stdout)
    assert found, done.stderr[-500:]
    return json.loads(found.group(1).replace("&gt;", ">").replace("&lt;", "<").replace("&amp;", "&"))


@pytest.fixture(scope="module")
def html(record):
    return render(record)


@pytest.mark.parametrize("width", [375, 1280])
def test_no_part_of_the_page_is_wider_than_the_screen(html, tmp_path, width):
    seen = look(html, tmp_path, width=width)
    assert seen["scroll"] <= seen["inner"]
    assert seen["wide"] == []
    assert seen["loaded"] == []
    assert seen["alerted"] is None
    assert seen["math"] > 10


def test_the_page_has_a_dark_side(html, tmp_path):
    light = look(html, tmp_path, "--blink-settings=preferredColorScheme=1")
    dark = look(html, tmp_path, "--blink-settings=preferredColorScheme=0")
    assert (light["paper"], dark["paper"]) == ("rgb(255, 255, 254)", "rgb(20, 23, 26)")
    assert light["ink"] != dark["ink"]
