"""The state machine in docs/architecture.md is the table in the code; `python tests/test_diagram.py` writes it anew."""

import re
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "architecture.md"
BLOCK = re.compile(r"(?<=```mermaid\n).*?(?=```)", re.DOTALL)


def diagram() -> str:
    """Draw the table: one arrow for all that leads from one status to another."""
    from onward.protocol.lifecycle import TRANSITIONS
    from onward.protocol.model import Status

    arrows: defaultdict[tuple[Status, Status], list[str]] = defaultdict(list)
    for (status, change), then in TRANSITIONS.items():
        arrows[status, then].append(change.value)
    lines = [f"    {status} --> {then}: {', '.join(acts)}" for (status, then), acts in arrows.items()]
    ends = [f"    {status} --> [*]: forget" for status in Status if status.final and status is not Status.COMPLETED]
    return "\n".join(["stateDiagram-v2", f"    [*] --> {Status.PENDING}: create", *lines, *ends, ""])


def test_the_document_draws_the_table() -> None:
    assert BLOCK.findall(DOCUMENT.read_text()) == [diagram()]


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    DOCUMENT.write_text(BLOCK.sub(diagram(), DOCUMENT.read_text()))
