import os
import socket
import threading
import time

from segjax.runtime import rendezvous


def free_port():
  with socket.socket() as probe:
    probe.bind(('127.0.0.1', 0))
    return probe.getsockname()[1]


def meet(port, number, indices, timeout):
  """What becomes of processes with these indices, in their order."""
  results = {}

  def visit(place, index):
    try:
      rendezvous.meet(f'127.0.0.1:{port}', number, index, timeout)
      results[place] = 'met'
    except OSError as error:
      results[place] = str(error)

  threads = [
      threading.Thread(target=visit, args=item) for item in enumerate(indices)
  ]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  return [results[place] for place in range(len(indices))]


def test_processes_meet_in_any_order():
  assert meet(free_port(), 3, [2, 1, 0], 60) == ['met'] * 3


def test_all_that_came_learn_who_did_not():
  port = free_port()
  for answer in meet(port, 4, [0, 2], 5):
    assert f'Of 4 processes, 1, 3 did not come to 127.0.0.1:{port}' in answer
    assert f'0 on {os.uname().nodename}, 2 on' in answer


def test_without_the_first_process_the_others_say_where_they_looked():
  port = free_port()
  (answer,) = meet(port, 2, [1], 0.3)
  assert f'finds no process 0 at 127.0.0.1:{port}' in answer
  assert 'Process 1 of 2' in answer


def test_two_processes_of_one_number_are_an_error():
  answers = meet(free_port(), 3, [0, 1, 1], 60)
  assert len(set(answers)) == 1
  assert 'Two processes are number 1' in answers[0]


def test_a_port_that_is_taken_is_an_error():
  with socket.create_server(('', 0)) as server:
    port = server.getsockname()[1]
    (answer,) = meet(port, 2, [0], 1)
  assert f'cannot listen at 127.0.0.1:{port}' in answer


def test_a_stranger_at_the_port_does_no_harm():
  port = free_port()

  def disturb():
    for words in (b'GET / HTTP/1.1\r\n\r\n', b'', b'x y z\n'):
      while True:
        try:
          with socket.create_connection(('127.0.0.1', port)) as stranger:
            stranger.sendall(words)
          break
        except OSError:
          time.sleep(0.01)

  stranger = threading.Thread(target=disturb)
  stranger.start()
  host = threading.Thread(
      target=rendezvous.meet, args=(f'127.0.0.1:{port}', 2, 0, 60)
  )
  host.start()
  stranger.join()
  rendezvous.meet(f'127.0.0.1:{port}', 2, 1, 60)
  host.join()
