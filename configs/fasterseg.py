r"""FasterSeg, https://arxiv.org/abs/1912.10917.

Paper: 73.1 mIoU on Cityscapes val, 71.5 on test, at 163.9 images of 1024x2048 a
second with TensorRT on a GTX 1080Ti. Ours: not trained yet.

  bash launch/local.sh --config=configs/fasterseg.py
  python -m segjax.main --workdir=runs/teacher \
      --config=configs/fasterseg.py:dataset=cityscapes,role=teacher
  python -m segjax.main --workdir=runs/student \
      --config=configs/fasterseg.py:dataset=cityscapes,distill=True \
      --config.init_from=runs/teacher

The second command trains the teacher, and the third the student, which learns
from the teacher's probabilities: the teacher is a part of it that is not
trained. The networks are those that the authors published; with
`found=runs/search/genotype.json` they are those of another search, see
configs/fasterseg_search.py. On Cityscapes it is the recipe of the authors'
code, 600 rounds of 1000 steps.
"""

from configs import common

RECIPES = {
    'cityscapes': dict(
        train='random_scale(0.75, 1.25, step=0.25)|random_crop(512, 1024)|flip'
        '|normalize',
        steps=600_000,
        batch=12,
    ),
}
STUDENT = (
    (
        (3, 3, 4, 2, 4, 4, 4, 4, 4, 4),
        (0, 0, 0, 0, 1, 1, 1, 1, 2, 2),
        (4, 4, 4, 8, 4, 4, 4, 4, 4),
    ),
    (
        (3, 3, 4, 4, 3, 3, 4, 4, 4),
        (0, 0, 0, 0, 0, 0, 1, 1, 1),
        (4, 4, 4, 4, 4, 4, 4, 12),
    ),
)
TEACHER = (
    (
        (2, 4, 4, 4, 4, 4, 4, 2, 4, 4, 4, 4, 4, 4, 3, 3),
        (0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2),
        (12,) * 15,
    ),
    (
        (2, 4, 4, 4, 4, 3, 4, 2, 4, 4, 4, 4, 4, 4, 4, 4),
        (0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1),
        (12,) * 15,
    ),
)
# Shorter branches, for a network that learns in minutes.
SMALL = (
    ((3, 2, 1, 4), (0, 0, 1, 2), (4, 8, 8)),
    ((3, 1, 4), (0, 0, 1), (4, 8)),
)


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`."""
  arg = common.parse_arg(
      arg,
      dataset='shapes',
      role='student',
      distill=False,
      found='',
      small=False,
  )
  common.choose('role', arg.role, dict(student=0, teacher=0))
  recipe = {} if arg.small else RECIPES.get(arg.dataset, {})
  config = common.base(arg.dataset, small=arg.small, aux_weight=0.2, **recipe)
  config.model_name = 'fasterseg'
  networks = dict(
      features=8 if arg.small else 12,
      branches=SMALL if arg.small else STUDENT,
      stem_width=8,
      head_width=8,
      teacher=SMALL if arg.small else TEACHER,
  )
  if arg.found:
    networks |= common.found(arg.found)
  if arg.role == 'teacher':
    networks |= dict(branches=networks['teacher'], stem_width=12, head_width=12)
  if arg.role == 'teacher' or not arg.distill:
    networks['teacher'] = ()
  config.model = dict(**networks, role=arg.role)
  config.system_loss.distillation_weight = 1.0
  if networks['teacher']:
    config.optim.factors = (('^teacher/', 0.0),)
  if recipe:
    # As many of the hardest pixels as a sixteenth of a crop, at least.
    config.loss = 'ohem_cross_entropy(min_kept=32768)'
    config.lr.schedule = 'exponential(factor=0.992, every=1000)'
  return config
