import logging
import sys

from rich.console import Console

from segjax.runtime import progress


def test_log_gets_lines_with_the_time_left(monkeypatch, caplog):
  monkeypatch.setattr(progress, 'SECONDS', 0)
  with caplog.at_level(logging.INFO, logger='absl'):
    assert list(progress.track('abc', 3, 'Reading')) == ['a', 'b', 'c']
  assert 'Reading: 2 of 3, 0 s left' in caplog.text


def test_short_work_logs_nothing(caplog):
  with caplog.at_level(logging.INFO, logger='absl'):
    assert list(progress.track('abc', 3, 'Reading')) == ['a', 'b', 'c']
  assert not caplog.text


def test_terminal_gets_a_bar(monkeypatch, capsys):
  monkeypatch.setattr(sys.stderr, 'isatty', lambda: True)
  console = Console(stderr=True, force_terminal=True, width=80)
  monkeypatch.setattr(progress, 'CONSOLE', console)
  assert list(progress.track('abc', 3, 'Reading')) == ['a', 'b', 'c']
  assert 'Reading' in capsys.readouterr().err
