"""Rendezvous of the processes of a run, which names those that are missing.

JAX also waits for all processes, but its error does not say which are missing.
"""

import platform
import socket
import time

# Answer of process 0 when all processes have connected.
ALL = 'all'


def meet(address: str, number: int, index: int, timeout: int) -> None:
  """Waits until all processes have connected to process 0.

  Args:
    address: 'HOST:PORT' at which process 0 listens; it is free again
      afterwards.
    number: number of processes.
    index: index of this process.
    timeout: seconds to wait.

  Raises:
    OSError: some processes did not connect in time, or were started with other
      arguments; the error names them.
    ValueError: the address is wrong.
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
  """Waits on process 0 for the others, sends all of them the same answer.

  Returns:
    The answer: `ALL`, or an error message.
  """
  arrived, connections, answer = {0: platform.node()}, [], ''
  try:
    server = socket.create_server(('', port), backlog=number)
  except OSError as error:
    raise OSError(
        f'Process 0 cannot listen at {address}: {error.strerror}. Name another'
        ' port with --coordinator.'
    ) from error
  with server:
    while len(arrived) < number and not answer:
      server.settimeout(max(deadline - time.monotonic(), 0.01))
      try:
        connection, _ = server.accept()
        connection.settimeout(5)
        line = connection.makefile().readline()
        index, its_number, name = line.split(maxsplit=2)
        index, its_number = int(index), int(its_number)
      except TimeoutError:
        if time.monotonic() > deadline:
          answer = _missing(address, arrived, number, timeout)
        continue
      except (OSError, ValueError):  # It is no process of this run.
        continue
      connections.append(connection)
      name = name.strip()
      if its_number != number or index >= number:
        answer = (
            f'Process {index}, on {name}, was started as one of'
            f' {its_number}, and process 0 as one of {number}: start all with'
            ' one --num_processes'
        )
      elif index in arrived:
        answer = (
            f'Two processes are number {index}, on {arrived[index]} and {name}:'
            ' start each with its own --process_id.'
        )
      arrived[index] = name
  answer = answer or ALL
  for connection in connections:
    with connection:
      connection.sendall(f'{answer}\n'.encode())
  return answer


def _visit(address, place, number, index, deadline):
  """Connects another process to process 0, and returns its answer."""
  while True:
    reason = 'no answer'
    try:
      left = max(deadline - time.monotonic(), 0.01)
      with socket.create_connection(place, left) as connection:
        # Process 0 may have started to wait later, so its answer may be late.
        connection.settimeout(left + 10)
        connection.sendall(f'{index} {number} {platform.node()}\n'.encode())
        if answer := connection.makefile().readline().strip():
          return answer
    except OSError as error:
      reason = str(error)
    if time.monotonic() > deadline:
      return (
          f'Process {index} of {number}, on {platform.node()}, finds no process'
          f' 0 at {address} ({reason}): does it run, and is the port open?'
      )
    time.sleep(0.1)


def _missing(address, arrived, number, timeout):
  """Returns the error message that names the missing processes."""
  missing = [str(i) for i in range(number) if i not in arrived]
  here = ', '.join(f'{i} on {name}' for i, name in sorted(arrived.items()))
  return (
      f'Of {number} processes, {", ".join(missing)} did not come to {address}'
      f' within {timeout} s; these did: {here}. Look at what the missing say,'
      ' and start all of them again.'
  )
