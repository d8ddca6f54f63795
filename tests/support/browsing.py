"""Common parts of tests in Chromium."""

import shutil

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# a page that breaks its own policy, or runs a script from a text, says so on the console
WATCH = """
addEventListener("securitypolicyviolation", (event) => console.error("CSP", event.violatedDirective, event.blockedURI))
window.alert = (text) => console.error("alert", text)
"""


def findings(page):
    """The findings of axe that are serious or critical."""
    from axe_playwright_python.sync_playwright import Axe

    violations = Axe().run(page).response["violations"]
    return [
        (rule["id"], [node["html"] for node in rule["nodes"]][:3])
        for rule in violations
        if rule["impact"] in ("serious", "critical")
    ]
