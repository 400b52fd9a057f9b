"""Ctrl-C while a command is still being loaded: it ends without a word, as it does later."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from onward_process import PROGRAM, ROOT

WITHIN = 40.0
SLOW_MODULE = """
import time
print("loading", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize(
    "words", [("serve",), ("sweep",), ("upload", "FILE", "--to=URL"), ("watch", "URL")], ids=" ".join
)
@pytest.mark.parametrize(
    "program", [(sys.executable, *PROGRAM), (str(Path(sys.executable).with_name("onward")),)], ids=["module", "script"]
)
def test_ctrl_c_while_loading_ends_silently(tmp_path: Path, program: tuple[str, ...], words: tuple[str, ...]) -> None:
    (tmp_path / "aiohttp.py").write_text(SLOW_MODULE)
    environ = {**os.environ, "PYTHONPATH": str(tmp_path)}
    with subprocess.Popen(
        [*program, *words], cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "loading\n"
            process.send_signal(signal.SIGINT)
            assert process.communicate(timeout=WITHIN) == ("", "")
            assert process.returncode == 130
        finally:
            process.kill()
