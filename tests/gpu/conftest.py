"""Failures are shown at once: time on a GPU may end before the session does."""

import pytest


class ShowFailures:
    def __init__(self, config: pytest.Config) -> None:
        self.config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        terminal = self.config.pluginmanager.get_plugin("terminalreporter")
        if report.failed and terminal is not None:
            terminal.write_line(f"\n{report.nodeid}\n{report.longreprtext[-3000:]}")
            terminal.flush()


def pytest_collection(session: pytest.Session) -> None:
    session.config.pluginmanager.register(ShowFailures(session.config))
