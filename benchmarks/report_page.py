"""Size of a report, seconds to make it, and milliseconds until Chromium has its page (DOMContentLoaded).

The last column is what the page takes of a processor, which other work on the machine does not lengthen.

Goal at 1,000 trials: under 5 MB and 2 s. `python -m benchmarks.report_page 100 1000`
"""

import asyncio
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp

from benchmarks.comparison_scale import STUDY, fill
from selkd.comparison.report import report
from selkd.config import Workspace

SIZES = (100, 1000)
LOADS = 5
READY = "performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"


def main(arguments: list[str]) -> None:
    print(f"{'trials':>7} {'seconds':>8} {'of a CPU':>8} {'MB':>6} {'DOM ms':>7} {'CPU ms':>7}")
    for size in [int(text) for text in arguments] or SIZES:
        with tempfile.TemporaryDirectory(prefix="selkd-bench-") as name:
            folder = Path(name)
            uri = fill(folder / "mlflow.db", size)
            wall, processor = time.perf_counter(), time.process_time()
            page = report(STUDY, "objective.name", workspace=Workspace(folder), uri=uri, output=folder / "report")
            wall, processor = time.perf_counter() - wall, time.process_time() - processor
            ready, thread = asyncio.run(load(page, folder / "browser"))
            megabytes = page.stat().st_size / 1e6
            print(
                f"{size:>7} {wall:>8.1f} {processor:>8.1f} {megabytes:>6.2f} {ready:>7.0f} {thread:>7.0f}", flush=True
            )


async def load(page: Path, home: Path) -> tuple[float, float]:
    """Milliseconds until the page is ready, and of the processor until then: medians of several loads."""
    binary = shutil.which("chromium") or sys.exit("no Chromium: install the package `chromium`")
    command = [binary, "--headless=new", "--no-sandbox", "--remote-debugging-port=0", f"--user-data-dir={home}"]
    browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        said = home / "DevToolsActivePort"
        while not (said.is_file() and "\n" in said.read_text()):
            await asyncio.sleep(0.1)
        address = f"http://127.0.0.1:{said.read_text().splitlines()[0]}/json/new?about:blank"
        found = [await _once(address, page) for _ in range(LOADS)]
    finally:
        browser.terminate()
        browser.wait()
    return median(ready for ready, _ in found), median(thread for _, thread in found)


async def _once(address: str, page: Path) -> tuple[float, float]:
    async with aiohttp.ClientSession() as session, session.put(address) as answer:
        tab = (await answer.json())["webSocketDebuggerUrl"]
        async with session.ws_connect(tab) as socket:
            await _call(socket, "Performance.enable", timeDomain="threadTicks")
            await _call(socket, "Page.navigate", url=page.as_uri())
            while not (ready := (await _call(socket, "Runtime.evaluate", expression=READY))["result"].get("value")):
                await asyncio.sleep(0.1)
            told = (await _call(socket, "Performance.getMetrics"))["metrics"]
            return ready, 1000 * next(one["value"] for one in told if one["name"] == "ThreadTime")


async def _call(socket: aiohttp.ClientWebSocketResponse, method: str, **parameters: Any) -> dict[str, Any]:
    await socket.send_json({"id": 1, "method": method, "params": parameters})
    while (said := await socket.receive_json()).get("id") != 1:
        pass
    return said["result"]


if __name__ == "__main__":
    main(sys.argv[1:])
