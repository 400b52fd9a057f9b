"""Each alert has its section in the runbook, and its annotation leads there."""

import re

from deploy_tools import DEPLOY

RUNBOOK = "docs/runbook.md"


def test_each_alert_leads_to_its_section_of_the_runbook() -> None:
    rules = (DEPLOY / "prometheus" / "alerts.yaml").read_text()
    alerts = re.findall(r"- alert: (\w+)", rules)
    sections = re.findall(r"^## (\w+)$", (DEPLOY.parent / RUNBOOK).read_text(), re.MULTILINE)
    assert alerts
    assert sections == alerts
    assert re.findall(r'runbook_url: "(.*)"', rules) == [f"{RUNBOOK}#{alert.lower()}" for alert in alerts]
