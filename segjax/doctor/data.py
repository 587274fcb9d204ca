"""Checks the data that a config is trained on and evaluated with."""

from segjax.doctor import examples
from segjax.doctor import problems as checks
from segjax.doctor import tables
from segjax.doctor.problems import Problems


def check(config) -> tuple[str, Problems]:
  """Reads both splits; returns a report as text, and the `Problems`."""
  problems = Problems()
  splits = []
  for role, load in examples.LOADERS.items():
    try:
      dataset = load(config)
    except (OSError, ValueError) as error:
      problems.errors.append(f'The {role} split cannot be loaded: {error}')
      continue
    split = examples.read(role, dataset)
    skip = role == 'train' and config.on_bad_example == 'skip'
    checks.check_examples(split, problems.warnings if skip else problems.errors)
    if not split.good:
      problems.errors.append(f'The {split.title} has no usable example.')
      continue
    checks.check_images(split, problems)
    checks.check_classes(split, problems)
    checks.check_objects(split, problems)
    splits.append(split)
  if len(splits) == 2:
    checks.check_overlap(*splits, problems)
  parts = [tables.sizes(split) for split in splits]
  if splits:
    parts.append(tables.classes(splits))
  parts += [tables.objects(split) for split in splits if split.objects]
  return '\n\n'.join(parts), problems
