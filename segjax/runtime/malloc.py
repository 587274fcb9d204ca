"""Settings of glibc's allocator that speed up steps on a CPU.

A step allocates and frees gigabytes. By default glibc returns large blocks to
the system at once, and Linux has to clear all their pages again in the next
step. With `tune` freed memory stays with the process, in pages of 2 MB where
Linux has them, of which there are 512 times fewer than of 4 KB. `trim` returns
free memory after an evaluation. launch/speed.md has what both save.
"""

import ctypes
import mmap
import os
import pathlib
import sys

# Options of mallopt by their numbers in malloc.h.
OPTIONS = {
    # M_ARENA_MAX: there is one heap. Heaps of further threads would be returned
    # to the system.
    -8: 1,
    # M_MMAP_MAX: no block is mapped outside the heap.
    -4: 0,
    # M_TRIM_THRESHOLD: the free end of the heap is never returned.
    -1: -1,
}

_tuned = False


def tune() -> bool:
  """Makes glibc keep freed memory; does nothing with other C libraries.

  It has to be called before threads are started: glibc fixes the number of
  heaps when a second thread allocates, and each heap collects fragments.

  Returns:
    Whether the settings are in force.
  """
  global _tuned
  libc = ctypes.CDLL(None)
  if hasattr(libc, 'gnu_get_libc_version'):
    _tuned = all(libc.mallopt(*option) == 1 for option in OPTIONS.items())
    if _tuned:
      _enlarge_pages(libc)
  return _tuned


def trim() -> None:
  """Returns free memory to the system once, if `tune` is in force."""
  if _tuned:
    libc = ctypes.CDLL(None)
    libc.malloc_trim(0)
    _enlarge_pages(libc)


def _enlarge_pages(libc):
  """Makes Linux use large pages for future growth of the heap.

  It allocates half of the machine's memory, asks for large pages there and
  frees it. The heap keeps the addresses, and no page of them is touched.
  """
  if sys.platform != 'linux' or _counts_addresses():
    return
  libc.malloc.restype = ctypes.c_void_p
  size = os.sysconf('SC_PHYS_PAGES') * mmap.PAGESIZE // 2
  start = libc.malloc(ctypes.c_size_t(size))
  if start:  # It is null if the address space is limited.
    aligned = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
    libc.madvise(
        ctypes.c_void_p(aligned),
        ctypes.c_size_t(start + size - aligned),
        mmap.MADV_HUGEPAGE,
    )
    libc.free(ctypes.c_void_p(start))


def _counts_addresses():
  """Tells whether Linux refuses to allocate more than it has memory."""
  try:
    mode = pathlib.Path('/proc/sys/vm/overcommit_memory').read_text()
  except OSError:
    return False
  return mode.strip() == '2'
