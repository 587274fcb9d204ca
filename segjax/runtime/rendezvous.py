"""Processes meet before they train together, and say who does not come.

JAX waits for all of them too, but ends without a word of which one is missing.
"""

import platform
import socket
import time

ALL = 'all'  # What process 0 answers when nobody is missing.


def meet(address, number, index, timeout):
  """Returns when all processes are there.

  Args:
    address: 'HOST:PORT', where process 0 listens; free again afterwards.
    number: of processes.
    index: of this one.
    timeout: seconds to wait.

  Raises:
    OSError: some did not come in time, or do not fit; names them.
  """
  host, _, port = address.rpartition(':')
  if not host or not port.isdigit():
    raise ValueError(f'--coordinator={address} is not HOST:PORT.')
  deadline = time.monotonic() + timeout
  if index == 0:
    answer = _receive(address, int(port), number, timeout, deadline)
  else:
    answer = _visit(address, (host, int(port)), number, index, deadline)
  if answer != ALL:
    raise OSError(answer)


def _receive(address, port, number, timeout, deadline):
  """Process 0: waits for the others and gives all of them the answer."""
  came, guests, answer = {0: platform.node()}, [], ''
  try:
    server = socket.create_server(('', port), backlog=number)
  except OSError as error:
    raise OSError(
        f'Process 0 cannot listen at {address}: {error.strerror}. Name another'
        ' port with --coordinator.'
    ) from error
  with server:
    while len(came) < number and not answer:
      server.settimeout(max(deadline - time.monotonic(), 0.01))
      try:
        guest, _ = server.accept()
        guest.settimeout(5)
        index, told, name = guest.makefile().readline().split(maxsplit=2)
        index, told = int(index), int(told)
      except TimeoutError:
        if time.monotonic() > deadline:
          answer = _missing(address, came, number, timeout)
        continue
      except (OSError, ValueError):  # Not one of ours.
        continue
      guests.append(guest)
      name = name.strip()
      if told != number or index >= number:
        answer = (
            f'Process {index}, on {name}, was started as one of {told}, and'
            f' process 0 as one of {number}: start all with one --num_processes'
        )
      elif index in came:
        answer = (
            f'Two processes are number {index}, on {came[index]} and {name}:'
            ' start each with its own --process_id.'
        )
      came[index] = name
  answer = answer or ALL
  for guest in guests:
    with guest:
      guest.sendall(f'{answer}\n'.encode())
  return answer


def _visit(address, place, number, index, deadline):
  """Another process: tells process 0 that it is there; returns the answer."""
  while True:
    reason = 'no answer'
    try:
      left = max(deadline - time.monotonic(), 0.01)
      with socket.create_connection(place, left) as guest:
        guest.settimeout(left + 10)  # It began to wait earlier or later.
        guest.sendall(f'{index} {number} {platform.node()}\n'.encode())
        if answer := guest.makefile().readline().strip():
          return answer
    except OSError as error:
      reason = str(error)
    if time.monotonic() > deadline:
      return (
          f'Process {index} of {number}, on {platform.node()}, finds no process'
          f' 0 at {address} ({reason}): does it run, and is the port open?'
      )
    time.sleep(0.1)


def _missing(address, came, number, timeout):
  missing = [str(i) for i in range(number) if i not in came]
  here = ', '.join(f'{i} on {name}' for i, name in sorted(came.items()))
  return (
      f'Of {number} processes, {", ".join(missing)} did not come to {address}'
      f' within {timeout} s; these did: {here}. Look at what the missing say,'
      ' and start all of them again.'
  )
