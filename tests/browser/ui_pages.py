"""The flights project behind Dagster's UI, and the pages of it."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

ROOT = Path(__file__).resolve().parents[2]
DAYS = 5
PATIENCE = 90
"""Seconds for a page to show what it should, on a busy machine."""


@dataclass(frozen=True)
class Deployment:
    """The flights project: its first days are materialized, and the UI answers."""

    url: str
    environment: dict[str, str]

    def answer(self, *arguments: str) -> Any:
        """What a command says with --json."""
        return json.loads(program(self.environment, *arguments, "--json"))


def program(environment: dict[str, str], *arguments: str) -> str:
    command = [sys.executable, "-m", "metadata_assets.cli", *arguments]
    return subprocess.run(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout


@dataclass(frozen=True)
class Page:
    """A page of the UI."""

    chrome: webdriver.Chrome

    @property
    def text(self) -> str:
        return self.chrome.find_element(By.TAG_NAME, "body").text

    def shows(self, *texts: str) -> None:
        """Wait until all of this is to be read on it."""
        WebDriverWait(self.chrome, PATIENCE).until(
            lambda _: all(text in self.text for text in texts),
            f"{self.chrome.current_url} does not show {texts}:\n{self.text}",
        )

    def keep(self, name: str) -> None:
        """Keep a picture of it, if pictures are wanted."""
        if folder := os.environ.get("PICTURES"):
            assert self.chrome.save_screenshot(str(Path(folder) / f"{name}.png"))
