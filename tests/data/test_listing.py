import os
import pathlib

from etils import epath
import pytest

from segjax.data import listing


def touch(path, *names):
  for name in names:
    (path / name).parent.mkdir(parents=True, exist_ok=True)
    (path / name).touch()


def names(found):
  return [name for name, _ in found.files]


def test_files_are_found_by_suffix_and_sorted_by_path(tmp_path):
  touch(tmp_path, 'b.PNG', 'a-b/x.png', 'a/x.tif', 'a/c/y.jpg', 'notes.txt')
  found = listing.find(tmp_path, ('.png', '.tif', '.jpg'))
  assert names(found) == ['a/c/y', 'a/x', 'a-b/x', 'b']
  assert found.files[3][1] == epath.Path(tmp_path / 'b.PNG')
  assert found.left_out == {'.txt': 1}
  paths = [pathlib.Path(path) for _, path in found.files]
  assert paths == sorted(paths)


def test_what_is_hidden_is_left_out_and_counted(tmp_path):
  touch(tmp_path, 'a.png', '._a.png', '.DS_Store', '.copies/a.png', 'LICENSE')
  touch(tmp_path, 'more/.ipynb_checkpoints/b.png', 'more/b.png')
  found = listing.find(tmp_path, ('.png',))
  assert names(found) == ['a', 'more/b']
  assert found.left_out == {'hidden': 4, 'without suffix': 1}
  assert found.describe_rest() == '4 hidden, 1 without suffix'


def test_a_hidden_folder_may_be_asked_for(tmp_path):
  touch(tmp_path / '.data', 'a.png')
  assert names(listing.find(tmp_path / '.data', ('.png',))) == ['a']


def test_links_are_followed_but_not_in_circles(tmp_path):
  touch(tmp_path, 'far/x.png', 'here/a.png')
  here = tmp_path / 'here'
  (here / 'linked').symlink_to(tmp_path / 'far')
  (here / 'b.png').symlink_to(here / 'a.png')
  (here / 'again').symlink_to(here)
  (here / 'broken.png').symlink_to(tmp_path / 'nowhere.png')
  found = listing.find(here, ('.png',))
  assert names(found) == ['a', 'b', 'linked/x']
  assert found.left_out == {
      'links to a folder around them': 1,
      'links that lead nowhere': 1,
  }


def test_a_folder_with_the_suffix_of_an_image_is_a_folder(tmp_path):
  touch(tmp_path, 'slide.tif/tile.tif')
  assert names(listing.find(tmp_path, ('.tif',))) == ['slide.tif/tile']
  found = listing.find(tmp_path, ('.tif',), recursive=False)
  assert names(found) == []
  assert found.left_out == {'folders': 1}


def test_names_may_have_any_character(tmp_path):
  folder = tmp_path / 'set [1] *?'
  touch(folder, 'a[0].png', 'b\\c.png', '\u00e4 \u5b57.png')
  assert len(listing.find(folder, ('.png',)).files) == 3


def test_a_missing_folder_is_named(tmp_path):
  with pytest.raises(FileNotFoundError, match='nowhere is missing'):
    listing.find(tmp_path / 'nowhere', ('.png',))


def test_no_file_is_looked_at_twice(tmp_path, monkeypatch):
  touch(tmp_path, *(f'{i}.png' for i in range(300)))
  looked, stat = [], os.stat

  def count(path, **options):
    looked.append(str(path))
    return stat(path, **options)

  with monkeypatch.context() as patched:
    patched.setattr(os, 'stat', count)
    found = listing.find(tmp_path, ('.png',))
  assert len(found.files) == 300
  assert set(looked) == {str(tmp_path)}
