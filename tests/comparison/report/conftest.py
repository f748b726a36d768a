"""Records made by hand, reports of them, and a browser to look at these with."""

import asyncio
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pandas as pd
import pytest

from selkd.comparison.compare import Comparison, answer
from selkd.comparison.question import Question
from selkd.comparison.records import Records, StudyInfo
from selkd.comparison.report import write
from selkd.tracking import TrialRecord

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
HOSTILE = (
    "<script>window.pwned=1</script>",
    '"onmouseover="window.pwned=2',
    "</script><img src=x onerror=window.pwned=3>",
    "שלום <b>x</b> $y$",
    "🦊 {{ 7*7 }} \u202egnp.exe",
)
WITHIN = "task.mode"


def made(
    levels: Sequence[str],
    seeds: int = 6,
    *,
    studies: Sequence[str] = ("study",),
    links: str = "https://tracking.example/#/runs/{run}",
    modes: Sequence[str] = ("closed",),
    tuned: Sequence[float] = (1.0,),
    comparison: dict[str, Any] | None = None,
    histories: Path | None = None,
) -> Records:
    """Trials of every level, mode, setting and seed; the k-th level is better by k points."""
    rng, rows = np.random.default_rng(0), []
    for study in studies:
        for place, level in enumerate(levels):
            for mode in modes:
                for value in tuned:
                    for seed in range(seeds):
                        score = 0.7 + 0.01 * place + 0.002 * value + 0.01 * rng.standard_normal()
                        rows.append((study, level, mode, value, seed, score))
    index = pd.Index([f"{k:032x}" for k in range(len(rows))], name="run", dtype=object)
    names = ("study", "level", "mode", "value", "seed", "score")
    column = {name: [row[k] for row in rows] for k, name in enumerate(names)}
    began = pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(np.arange(len(rows)), unit="min")
    trials = pd.DataFrame(
        {
            "study": column["study"],
            "key": [f"trial-{k}" for k in range(len(rows))],
            "name": column["study"],
            "candidate": pd.array(range(len(rows)), dtype="Int64"),
            "role": "student",
            "status": "finished",
            "seed": pd.array(column["seed"], dtype="Int64"),
            "began": began,
            "ended": began + pd.Timedelta(seconds=30),
            "categories": "three, five",
            "link": [links.format(run=run) for run in index],
        },
        index=index,
    )
    config = pd.DataFrame(
        {"objective.name": column["level"], "objective.epsilon": column["value"], WITHIN: column["mode"],
         "seed": column["seed"], "data.seed": 0, "data.source": "digits"},
        index=index,
    )  # fmt: skip
    score = np.array(column["score"])
    metrics = pd.DataFrame(
        {"test/accuracy": score, "validation/accuracy": score + 0.005, "cost/parameters": 1000.0}, index=index
    )
    provenance = pd.DataFrame({"git.commit": "0" * 40, "versions.torch": "2.15.0"}, index=index)
    excluded = pd.DataFrame([[studies[0], "trial-x", "f" * 32, "still running"]], columns=LEFT_OUT, dtype=object)
    infos = {
        name: StudyInfo(name, "e" * 32, links.format(run="e"), "finished", {"validation/accuracy": "maximise"},
                        ("objective.name",), comparison)
        for name in studies
    }  # fmt: skip

    def fetch(run: str, path: str) -> Path | None:
        if histories is None or path != "ledger.jsonl":
            return None
        folder = histories / run
        if not folder.exists():
            record = TrialRecord(folder)
            record.begin(run, "study", {}, {}, {})
            for epoch in range(1, 6):
                record.log(epoch, {"train/loss": 1 / epoch, "validation/accuracy": score[int(run, 16)] * epoch / 5})
        return folder / path

    return Records(trials, config, metrics, provenance, infos, excluded, fetch)


LEFT_OUT = ["study", "key", "run", "reason"]


@pytest.fixture(scope="session")
def records() -> Callable[..., Records]:
    return made


@pytest.fixture(scope="session")
def hostile() -> tuple[str, ...]:
    """Names that would act, were they let to."""
    return HOSTILE


@pytest.fixture(scope="session")
def compared() -> Callable[..., Comparison]:
    """A comparison of made records."""

    def compared(levels: Sequence[str] = ("kd", "selkd"), *, metric: str | None = None, **settings: Any) -> Comparison:
        return answer(made(levels, **settings), Question("objective.name", metric))

    return compared


@pytest.fixture(scope="session")
def plain(compared: Callable[..., Comparison], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of three levels in two groups, with learning curves."""
    folder = tmp_path_factory.mktemp("plain")
    found = compared(
        ("cross-entropy", "kd", "selkd"), modes=("closed", "open"), tuned=(1.0, 2.0), histories=folder / "runs"
    )
    return write(found, folder / "report")


@pytest.fixture(scope="session")
def attacked(compared: Callable[..., Comparison], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report in which every name is hostile, and every link of the tracking server."""
    folder = tmp_path_factory.mktemp("attacked")
    found = compared(HOSTILE, studies=HOSTILE[:2], links="javascript:window.pwned=4//{run}", histories=folder / "runs")
    return write(found, folder / "report")


class Page:
    """A tab: what a reader does, and what the browser complains of."""

    def __init__(self, loop: asyncio.AbstractEventLoop, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._loop, self._socket, self._number = loop, socket, 0
        self.complaints: list[Any] = []
        self.requests: list[str] = []

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._loop.run_until_complete(self._call(method, parameters))

    async def _call(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        while True:
            said = await asyncio.wait_for(self._socket.receive_json(), 60)
            if said.get("id") == self._number:
                assert "error" not in said, said["error"]
                return said["result"]
            self._hear(said)

    def _hear(self, said: dict[str, Any]) -> None:
        match said.get("method"):
            case "Runtime.exceptionThrown" | "Log.entryAdded" | "Runtime.consoleAPICalled":
                self.complaints.append(said["params"])
            case "Network.requestWillBeSent":
                self.requests.append(said["params"]["request"]["url"])

    def open(self, path: Path, width: int = 1280, **media: str) -> "Page":
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 500
        )
        features = [{"name": f"prefers-{name}", "value": value} for name, value in media.items() if name != "media"]
        self.call("Emulation.setEmulatedMedia", media=media.get("media", ""), features=features)
        self.call("Page.navigate", url=path.absolute().as_uri())
        end = time.monotonic() + 60
        while self.ask("document.readyState + location.href") != f"complete{path.absolute().as_uri()}":
            assert time.monotonic() < end
            time.sleep(0.02)
        self.ask("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        return self

    def ask(self, expression: str) -> Any:
        """The value of an expression of JavaScript."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def press(self, key: str, times: int = 1) -> None:
        code = {"Tab": 9, "Enter": 13, " ": 32, "Escape": 27, "End": 35, "ArrowRight": 39}[key]
        text = {"Enter": {"text": "\r"}, " ": {"text": " "}}.get(key, {})
        for _ in range(times):
            self.call("Input.dispatchKeyEvent", type="keyDown", key=key, code=key, windowsVirtualKeyCode=code, **text)
            self.call("Input.dispatchKeyEvent", type="keyUp", key=key, code=key, windowsVirtualKeyCode=code)

    def type(self, text: str) -> None:
        self.call("Input.insertText", text=text)

    def _middle(self, selector: str) -> dict[str, float]:
        found = self.ask(
            f"(() => {{ const one = document.querySelector({json.dumps(selector)});"
            "one.scrollIntoView({block: 'center', behavior: 'instant'}); const box = one.getBoundingClientRect();"
            "return {x: box.x + box.width / 2, y: box.y + box.height / 2}; })()"
        )
        assert isinstance(found, dict)
        return found

    def click(self, selector: str) -> None:
        place = self._middle(selector)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **place)

    def point(self, selector: str) -> None:
        self.call("Input.dispatchMouseEvent", type="mouseMoved", **self._middle(selector))


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a browser of our own."""
    binary = next(filter(None, map(shutil.which, BROWSERS)), None)
    if binary is None:
        pytest.skip("no Chromium: install the package `chromium` to look at reports in a browser")
    home = tmp_path_factory.mktemp("browser")
    command = [binary, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-port=0",
               f"--user-data-dir={home}", "about:blank"]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        said, end = home / "DevToolsActivePort", time.monotonic() + 60
        while not (said.is_file() and "\n" in said.read_text()):
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.05)
        yield int(said.read_text().splitlines()[0])
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.fixture
def page(chromium: int) -> Iterator[Page]:
    """A new tab."""
    loop = asyncio.new_event_loop()

    async def begin() -> tuple[aiohttp.ClientSession, aiohttp.ClientWebSocketResponse]:
        session = aiohttp.ClientSession()
        async with session.put(f"http://127.0.0.1:{chromium}/json/new?about:blank") as answer:
            told = await answer.json()
        return session, await session.ws_connect(told["webSocketDebuggerUrl"], max_msg_size=0)

    session, socket = loop.run_until_complete(begin())
    yield Page(loop, socket)
    loop.run_until_complete(socket.close())
    loop.run_until_complete(session.close())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
