"""Check the links that leave the site. Needs the network, so no test depends on it."""

import concurrent.futures
import html
import re
import sys
import urllib.error
import urllib.request

from common import SITE

HEADERS = {"User-Agent": "Mozilla/5.0 (link check of an open book)"}


def collect() -> dict[str, set[str]]:
    """Return each outside address with the pages that link to it."""
    found: dict[str, set[str]] = {}
    for page in sorted(SITE.rglob("*.html")):
        for address in re.findall(r'<a\b[^>]*\bhref="(https?://[^"#]+)', page.read_text("utf-8")):
            found.setdefault(html.unescape(address), set()).add(str(page.relative_to(SITE)))
    return found


def ask(address: str) -> str:
    """Return an empty string if the address answers, and the reason if it does not."""
    try:
        with urllib.request.urlopen(
            urllib.request.Request(address, headers=HEADERS), timeout=20
        ) as answer:
            return "" if answer.status < 400 else f"status {answer.status}"
    except urllib.error.HTTPError as error:
        # publishers answer 403 or 429 to programs; the page exists
        return "" if error.code in {403, 405, 429} else f"status {error.code}"
    except OSError as error:
        return str(error)


def main() -> int:
    """Print what does not answer; return 1 if there is any."""
    links = collect()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = dict(zip(links, pool.map(ask, links), strict=True))
    broken = {address: reason for address, reason in answers.items() if reason}
    for address, reason in broken.items():
        print(f"{address}: {reason} (linked from {', '.join(sorted(links[address]))})")
    print(f"{len(links)} links leave the site, {len(broken)} do not answer")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
