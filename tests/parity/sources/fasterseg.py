"""FasterSeg of VITA-Group/FasterSeg: student and teacher."""

import functools

from segjax import models
from segjax.convert.rules.vitagroup import fasterseg as student
from segjax.convert.rules.vitagroup_teacher import fasterseg as teacher
from segjax.models import fasterseg
from tests.parity.case import Case
from tests.parity.case import inside


def build(spec, **fields):
  return models.create('fasterseg', spec['num_classes'], **fields)


def network(build, rules, role):
  """The case of a network; heads at strides 16 and 32 are for training."""
  heads = {f'head{stride}': f'{role}/head{stride}' for stride in (8, 16, 32)}
  return Case(
      build,
      rules,
      {
          'logits_every2': lambda out, parts: out['logits'][:, ::2, ::2],
          'stem': inside(f'{role}/stem2', every=4),
          'ffm': inside(f'{role}/fuse', every=4),
          **{name: inside(path) for name, path in heads.items()},
      },
      parts=(f'{role}/stem2', f'{role}/fuse', *heads.values()),
  )


CASES = {
    'fasterseg': network(build, student.RULES, 'student'),
    'fasterseg_teacher': network(
        functools.partial(
            build,
            role='teacher',
            branches=fasterseg.TEACHER,
            stem_width=12,
            head_width=12,
        ),
        teacher.RULES,
        'teacher',
    ),
}
