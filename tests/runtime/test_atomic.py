import pytest

from segjax.runtime import atomic


def names(folder):
  return [path.name for path in folder.iterdir()]


def test_a_file_appears_when_it_is_whole(tmp_path):
  path = tmp_path / 'a.json'
  with atomic.replacing(path) as file:
    file.write(b'one, ')
    assert not path.exists()
    assert names(tmp_path) == ['.a.json.tmp']
    file.write(b'two')
  assert path.read_bytes() == b'one, two'
  assert names(tmp_path) == ['a.json']


@pytest.mark.parametrize('error', [OSError, KeyboardInterrupt])
def test_a_write_that_fails_leaves_what_was_there(tmp_path, error):
  path = tmp_path / 'a.json'
  path.write_text('before')

  def fail():
    with atomic.replacing(path) as file:
      file.write(b'after')
      raise error

  with pytest.raises(error):
    fail()
  assert path.read_text() == 'before'
  assert names(tmp_path) == ['a.json']


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
  with (
      pytest.raises(FileNotFoundError),
      atomic.replacing(tmp_path / 'no' / 'a.json'),
  ):
    pass
