"""FasterSeg from its authors, the teacher that they publish.

The fields are `role='teacher', branches=TEACHER` (see the model),
`stem_width=12, head_width=12`.
"""

from segjax.convert.rules import under
from segjax.convert.rules.vitagroup.fasterseg import network

RULES = under('', network(3), 'teacher')
