"""SIGTERM is noticed, and ends at once what has nothing to lose."""

import os
import signal
import subprocess
import sys
import time

import jax
from jax._src import distributed
import pytest

from segjax.runtime import hosts
from segjax.runtime import sigterm

# It computes in C for minutes, as a compiler does; Python sees no signal.
COMPILING = """
import hashlib
from segjax.runtime import sigterm
with sigterm.noticed(75):
  print('begun', flush=True)
  hashlib.pbkdf2_hmac('sha512', b'', b'', 2**31 - 1)
"""


def test_a_program_ends_at_once_though_it_compiles():
  process = subprocess.Popen(
      [sys.executable, '-c', COMPILING],
      stdout=subprocess.PIPE,
      env={**os.environ, 'JAX_PLATFORMS': 'cpu'},
  )
  assert process.stdout.readline() == b'begun\n'
  time.sleep(0.1)
  process.terminate()
  assert process.wait(20) == 75


def test_within_another_program_it_is_raised_while_nothing_would_be_lost():
  with pytest.raises(sigterm.Stopped), sigterm.noticed():
    signal.raise_signal(signal.SIGTERM)
  assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize('code', [None, 75])
def test_later_it_is_told_to_who_asks(code):
  with sigterm.noticed(code) as notice:
    notice.at_once = False
    assert not notice.asked()
    signal.raise_signal(signal.SIGTERM)
    assert notice.asked()
    with pytest.raises(sigterm.Stopped) as stopped:
      notice.stop('step 2 is saved.')
  assert stopped.value.code == (code or 0)


def test_without_jax_s_service_of_preemptions_nobody_is_told(monkeypatch):
  monkeypatch.setattr(distributed.global_state, 'client', object())
  with pytest.raises(RuntimeError, match='not been initialized'):
    hosts.preempted(1)
  jax.config.update('jax_enable_preemption_service', False)
  try:
    assert hosts.preempted(1) is False
  finally:
    jax.config.update('jax_enable_preemption_service', True)
