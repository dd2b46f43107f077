"""Opens HTML pages in a headless Chromium. Each must load without a message on the console and without a request beside the page
itself, must not be wider than its window, and every SVG on it must be visible, with shapes and text that are. One page at least must
have charts, or nothing would have been checked."""

import argparse
import pathlib
import sys

from playwright.sync_api import sync_playwright

# Visible size of an SVG, and how many of its shapes and texts take up room.
MEASURE = """() => [...document.querySelectorAll('svg')].map(svg => {
    const box = svg.getBoundingClientRect();
    const room = element => { const b = element.getBoundingClientRect(); return b.width + b.height > 2; };
    const count = names => [...svg.querySelectorAll(names)].filter(room).length;
    const caption = svg.closest('figure')?.querySelector('figcaption')?.textContent ?? '';
    return {
        caption, width: box.width, height: box.height,
        lines: count('path, polyline, polygon, line'), bars: count('rect'), texts: count('text'),
    };
})"""


def faults(browser, path):
    """What is wrong with a page, and how many charts it has."""
    found = []
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    address = path.resolve().as_uri()
    page.on("console", lambda message: found.append(f"console {message.type}: {message.text}"))
    page.on("pageerror", lambda error: found.append(f"error: {error}"))
    page.on(
        "request",
        lambda request: request.url in (address, "data:,") or found.append(f"request: {request.url}"),
    )
    page.goto(address, wait_until="load")
    page.wait_for_load_state("networkidle")
    if not page.title() or not page.locator("h1").inner_text().strip():
        found.append("no title")
    if page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
        found.append("wider than its window")
    charts = page.evaluate(MEASURE)
    for chart in charts:
        shapes = chart["lines"] + chart["bars"]
        if chart["width"] < 300 or chart["height"] < 100 or shapes < 2 or chart["texts"] < 4:
            found.append(f"a chart that cannot be seen: {chart}")
    page.close()
    return found, len(charts)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--browser", required=True)
    parser.add_argument("pages", nargs="+", type=pathlib.Path)
    arguments = parser.parse_args()
    bad = charts = 0
    with sync_playwright() as playwright:
        # The sandbox needs kernel features that containers lack; the pages are our own.
        browser = playwright.chromium.launch(
            executable_path=arguments.browser, args=["--no-sandbox", "--disable-gpu"]
        )
        for path in arguments.pages:
            found, count = faults(browser, path)
            charts += count
            print(f"{path.name}: {count} charts, {'as it should be' if not found else 'WRONG'}")
            for fault in found:
                print(f"  {fault}")
            bad += bool(found)
        browser.close()
    if charts == 0:
        sys.exit("none of these pages has a chart: nothing has been checked")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
