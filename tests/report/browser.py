"""A real browser, without a window, that opens a page from a file and runs a script in it."""

import html
import json
import os
import re
import shutil
import subprocess

# An address in the browser's log of the network that a page, not the browser, asked for.
BY_A_PAGE = r'"initiator":"(?!not an origin).*?"url":"((?:https?|wss?|ftp)://[^"]*)"'
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Runs the steps of a test in the page, and leaves what they return where the test finds it.
HARNESS = """
<script>
const failures = [];
addEventListener("error", event => failures.push(String(event.message)));
addEventListener("unhandledrejection", event => failures.push(String(event.reason)));
addEventListener("securitypolicyviolation", event => failures.push(event.blockedURI));
const wait = condition => new Promise(resolve => {
  const look = () => condition() ? resolve() : setTimeout(look, 10);
  look();
});
async function steps() { %s }
addEventListener("load", async () => {
  let found;
  try { found = await steps(); } catch (error) { failures.push(String(error)); }
  const result = document.createElement("pre");
  result.id = "result-of-the-test";
  result.textContent = JSON.stringify({found, failures});
  document.body.append(result);
});
</script>
"""


def find_browser():
    """The path of a browser, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Opened:
    """What a browser made of a page.

    found: what the steps returned. failures: errors and blocked addresses, of the page and of the
    steps. requested: the addresses that were asked for in any network.
    """

    def __init__(self, found, failures, requested):
        self.found, self.failures, self.requested = found, failures, requested


def open_page(path, folder, steps, *flags):
    """Open the HTML file `path` and run `steps`, the body of an asynchronous JavaScript function.

    folder: for the browser's own files.
    """
    with open(path, encoding="utf-8") as file:
        page = file.read()
    copy = os.path.join(folder, "page.html")
    with open(copy, "w", encoding="utf-8") as file:
        file.write(page.replace("</head>", HARNESS % steps + "</head>"))
    log = os.path.join(folder, "network.json")
    done = subprocess.run(
        [find_browser(), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr",
         "--user-data-dir=" + os.path.join(folder, "profile"),
         "--log-net-log=" + log, "--virtual-time-budget=20000", "--dump-dom", *flags,
         "file://" + copy],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120,
        universal_newlines=True)
    found = re.search('<pre id="result-of-the-test">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, "the page did not come to its end:\n" + done.stderr[-2000:]
    result = json.loads(html.unescape(found.group(1)))
    console = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    with open(log, encoding="utf-8") as file:
        requested = re.findall(BY_A_PAGE, file.read())
    return Opened(result.get("found"), result["failures"] + console, requested)
