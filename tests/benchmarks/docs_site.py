"""Whether the built documentation is found by the words people type, and fits a narrow screen.

Every picture of every page must be there, too.

Run ``python -m tests.benchmarks.docs_site docs/_build/html`` after the build. Headless Chromium
runs the site's own search for each query; a recipe must be the first hit.
"""

from __future__ import annotations

import re
import shutil
import sys
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote, unquote

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

from tests.benchmarks.harness import bar

QUERIES = {
    "warm start": "warm_start",
    "mixed variables": "mixed_variables",
    "Ctrl-C": "stop_and_keep",
    "ask and tell": "ask_and_tell",
    "constraints": "constraints",
    "subprocess": "subprocess_simulator",
    "timeout": "subprocess_simulator",
    "resume": "resume",
    "many machines": "many_machines",
    "dask": "many_machines",
    "notebooks": "notebooks",
    "choosing a design": "choosing_a_design",
    "logging": "logging",
    "from Optuna": "from_optuna",
    "from pymoo": "from_pymoo",
    "maximize": "maximize",
    "vectorized": "vectorized",
    "log scale": "log_scale",
    "conditional variables": "conditional_variables",
    "permutation": "permutations",
    "compare two runs": "compare_runs",
    "deadlock": "deadlock",
    "prefill": "prefill",
}
PAGES = ("index.html", "recipes/index.html", "recipes/subprocess_simulator.html")
WIDTHS = (1280, 390)
SECONDS = 20.0  # for a search on a busy machine


class Quiet(SimpleHTTPRequestHandler):
    """Serve files without a line for each."""

    def log_message(self, *args: object) -> None:
        pass


def open_browser() -> webdriver.Chrome:
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))


def first_hit(driver: webdriver.Chrome, site: str, query: str) -> str:
    """Return the address that the site's search lists first, or an empty text."""
    driver.get(f"{site}/search.html?q={quote(query)}")
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        links = driver.find_elements(By.CSS_SELECTOR, "#search-results li a")
        if links:
            return str(links[0].get_attribute("href"))
        time.sleep(0.1)
    return ""


def missing_pictures(folder: Path) -> list[str]:
    """Return the pictures that a page shows and the built site lacks, as texts."""
    missing = []
    for page in sorted(folder.rglob("*.html")):
        text = page.read_text(encoding="utf-8")
        for address in re.findall(r'<img [^>]*?src="([^"]+)"', text):
            is_file = not re.match(r"[a-z]+:", address)
            if is_file and not (page.parent / unquote(address)).exists():
                missing.append(f"{page.relative_to(folder)} shows {address}, which is missing")
    return missing


def main() -> int:
    folder = Path(sys.argv[1]).resolve()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    site, driver = f"http://127.0.0.1:{server.server_port}", open_browser()
    try:
        hits = {query: first_hit(driver, site, query) for query in QUERIES}
        wide = []
        for width in WIDTHS:
            size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": width < 500}
            driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            for page in PAGES:
                driver.get(f"{site}/{page}")
                needed = driver.execute_script("return document.documentElement.scrollWidth")
                if needed > width:
                    wide.append(f"{page} needs {needed} of {width} pixels")
        errors = [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]
    finally:
        driver.quit()
        server.shutdown()
    missed = [query for query, page in QUERIES.items() if f"recipes/{page}.html" not in hits[query]]
    for query in missed:
        print(f"{query}: first hit {hits[query] or 'none'}")
    unseen = missing_pictures(folder)
    for problem in (*wide, *errors, *unseen):
        print(problem)
    bar("searches with the recipe first", len(QUERIES) - len(missed), f"{len(QUERIES)}")
    bar("pages that are too wide", len(wide), "0")
    bar("errors on the console", len(errors), "0")
    bar("pictures that are missing", len(unseen), "0")
    return bool(missed or wide or errors or unseen)


if __name__ == "__main__":
    sys.exit(main())
