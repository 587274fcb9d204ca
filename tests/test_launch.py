"""The launch scripts, with programs in their way that only take notes."""

import os
import pathlib
import shlex
import shutil
import subprocess
import sys

import pytest
import yaml

ROOT = pathlib.Path(__file__).parent.parent
PYTHON = """#!/bin/sh
case "$*" in
  -c*) exit $UNUSABLE ;;
  --version) echo "Python $VERSION" ;;
  '-m venv --clear .venv') mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
  '-m pip install'*) echo "$*" >> "$NOTES" && exit $PIP_STATUS ;;
  *) echo "$*" >> "$NOTES" ;;
esac
"""
# What the scripts call of a cluster.
TOOL = """#!/bin/sh
echo "${0##*/} $*" >> "$NOTES"
"""
# A TPU that is preempted in its first run and there to the end in its second:
# its state, the process and the code of the run are files.
GCLOUD = """#!/bin/sh
echo "$*" >> "$NOTES"
cd "${NOTES%/*}" || exit
case "$*" in
  *' describe '*) cat state ;;
  *' create '*) echo READY > state; echo run >> runs ;;
  *' delete '*) rm state ;;
  *kill*) exit 1 ;;
  *tail*) [ "$(grep -c run runs)" -gt 1 ] || echo PREEMPTED > state ;;
  *'cat segjax.code'*) [ "$(cat state)" = READY ] && echo "$CODE" ;;
esac
"""
SCRIPTS = sorted((ROOT / 'launch').glob('*.sh'))


class Project:
  """A copy of the scripts, run from elsewhere with the note-taking Python."""

  def __init__(self, folder):
    self.root = folder / 'a project'
    self.notes = folder / 'notes'
    self.bin = folder / 'bin'
    self.bin.mkdir()
    for name in ('python3', 'python3.13', 'python3.12', 'python3.11'):
      self.program(name, PYTHON)
    for name in ('gcloud', 'kubectl', 'sbatch', 'sleep', 'srun', 'tar'):
      self.program(name, TOOL)
    shutil.copytree(ROOT / 'launch', self.root / 'launch')
    for name in ('requirements.txt', 'tests/requirements.txt', 'configs/a.py'):
      path = self.root / name
      path.parent.mkdir(exist_ok=True)
      path.write_text(f'{name}\n')
    (self.root / 'requirements.txt').write_text('jax==1.2.3\n')

  def program(self, name, text):
    """Puts a program on the PATH."""
    (self.bin / name).write_text(text)
    (self.bin / name).chmod(0o755)

  def run(
      self,
      script,
      *arguments,
      version='3.12.1',
      usable=True,
      pip=0,
      **variables,
  ):
    """Returns the finished process and what Python was asked to do."""
    self.notes.write_text('')
    environment = os.environ | {
        'PATH': f'{self.bin}:{os.environ["PATH"]}',
        'NOTES': str(self.notes),
        'VERSION': version,
        'UNUSABLE': '0' if usable else '1',
        'PIP_STATUS': str(pip),
        **variables,
    }
    process = subprocess.run(
        ['bash', self.root / 'launch' / script, *arguments],
        cwd=self.bin,
        env=environment,
        capture_output=True,
        text=True,
    )
    return process, self.notes.read_text().splitlines()


INSTALL = '-m pip install --disable-pip-version-check -r'
TRAIN = '-m segjax.main'


@pytest.fixture
def project(tmp_path):
  return Project(tmp_path)


def test_first_use_installs_and_runs_and_second_use_only_runs(project):
  run = f'{TRAIN} --config=configs/a.py --workdir=runs/a'
  process, notes = project.run('local.sh', '--config=configs/a.py')
  assert process.returncode == 0, process.stderr
  assert notes == [f'{INSTALL} requirements.txt', run]

  process, notes = project.run('local.sh', '--config=configs/a.py')
  assert notes == [run]


def test_only_the_requirements_that_changed_are_installed_again(project):
  project.run('test.sh')
  (project.root / 'tests/requirements.txt').write_text('changed\n')
  _, notes = project.run('test.sh', '-k', 'resize')
  assert notes == [
      f'{INSTALL} tests/requirements.txt',
      '-m pytest -n auto --dist loadfile --no-loadscope-reorder -k resize',
  ]


def test_tests_reuse_what_training_installed(project):
  project.run('local.sh', '--config=configs/a.py')
  _, notes = project.run('test.sh')
  assert notes[0] == f'{INSTALL} tests/requirements.txt'


def test_failed_installation_is_repeated(project):
  process, notes = project.run('local.sh', '--config=configs/a.py', pip=3)
  assert process.returncode == 3
  assert notes == [f'{INSTALL} requirements.txt']

  process, notes = project.run('local.sh', '--config=configs/a.py')
  assert process.returncode == 0
  assert notes[0] == f'{INSTALL} requirements.txt'


def test_unsupported_python_is_answered_with_what_was_found(project):
  process, notes = project.run(
      'local.sh', '--config=configs/a.py', version='3.9.6', usable=False
  )
  assert process.returncode != 0
  assert 'python3 (Python 3.9.6)' in process.stderr
  assert 'Needed: Python 3.11, 3.12 or 3.13' in process.stderr
  assert not notes
  assert not (project.root / '.venv').exists()


@pytest.mark.parametrize(
    ('arguments', 'workdir'),
    [
        (['--config=configs/a.py:camvid'], 'runs/a-camvid'),
        (['--config', 'configs/a.py:camvid'], 'runs/a-camvid'),
        (['--config=configs/a.py:x=1,y=b/2'], 'runs/a-x-1-y-b-2'),
        (['--config=configs/a.py', '--config.n=4'], 'runs/a'),
    ],
)
def test_workdir_is_named_after_the_config(project, arguments, workdir):
  _, notes = project.run('local.sh', *arguments)
  assert notes[-1] == f'{TRAIN} {" ".join(arguments)} --workdir={workdir}'


@pytest.mark.parametrize('workdir', [['--workdir=x'], ['--workdir', 'x']])
def test_given_workdir_is_kept(project, workdir):
  _, notes = project.run('local.sh', '--config=configs/a.py', *workdir)
  assert notes[-1] == f'{TRAIN} --config=configs/a.py {" ".join(workdir)}'


def test_missing_config_is_answered_with_the_configs_there_are(project):
  process, notes = project.run('local.sh', '--workdir=x')
  assert process.returncode == 2
  assert 'configs/a.py' in process.stderr
  assert not notes


def test_help_explains_and_installs_nothing(project):
  process, notes = project.run('local.sh', '--help')
  assert process.returncode == 0
  assert '--workdir=DIR' in process.stdout
  assert not notes


@pytest.mark.parametrize('script', SCRIPTS, ids=lambda path: path.name)
def test_scripts_have_nothing_that_shellcheck_knows_to_be_wrong(script):
  shellcheck = shutil.which(
      'shellcheck', path=pathlib.Path(sys.executable).parent
  )
  if not shellcheck:
    pytest.skip('shellcheck has no wheel for this machine')
  subprocess.run([shellcheck, '-x', script], cwd=ROOT, check=True)


# Flags that a shell would take apart.
FLAGS = ['--config=configs/a.py', "--config.loss=a('b', $c) + \"d\""]
BUCKET = '--workdir=gs://bucket/Some_run'
TPU = ['tiny', '--zone=here', '--type=v5litepod-16']
GKE = ['--image=i', '--accelerator=tpu-v6e-slice', '--topology=4x4']
LAUNCHED = {
    'local.sh': FLAGS,
    'processes.sh': ['2', *FLAGS],
    'slurm.sh': FLAGS,
    'tpu_vm.sh': ['run', *TPU, *FLAGS, BUCKET],
    'gke.sh': [*GKE, *FLAGS, BUCKET],
}
DRY = LAUNCHED | {'test.sh': ['tests/ops', '-k', 'a or b']}


def dry(project, script, *arguments):
  """The commands that a dry run prints, as words; nothing was run."""
  process, notes = project.run(script, *arguments, '--dry_run')
  assert process.returncode == 0, process.stderr
  assert not notes
  assert not (project.root / 'runs').exists()
  assert not (project.root / '.venv').exists()
  return shlex.split(process.stdout, comments=True)


@pytest.mark.parametrize('script', DRY)
def test_help_explains_every_option_and_does_nothing(project, script):
  process, notes = project.run(script, '--help')
  assert process.returncode == 0
  assert not notes
  text = (ROOT / 'launch' / script).read_text()
  known = {
      line.split(')')[0].strip().split('=')[0]
      for line in text.splitlines()
      if line.startswith('    --') and ')' in line
  }
  assert '--dry_run' in known
  for option in known - {'--help | -h', '--*'}:
    assert option in process.stdout


@pytest.mark.parametrize('script', DRY)
def test_a_dry_run_prints_the_commands_and_runs_none(project, script):
  assert dry(project, script, *DRY[script])


def test_a_dry_run_prints_the_command_as_it_would_run(project):
  words = dry(project, 'local.sh', *FLAGS)
  command = ['.venv/bin/python', '-m', 'segjax.main', *FLAGS]
  assert words[-6:] == [*command, '--workdir=runs/a']
  words = dry(project, 'test.sh', *DRY['test.sh'])
  assert words[-3:] == DRY['test.sh']


def test_every_script_has_a_dry_run_and_a_line_in_the_readme():
  sourced = {'environment.sh'}
  assert {path.name for path in SCRIPTS} == DRY.keys() | sourced
  readme = (ROOT / 'launch/README.md').read_text()
  shown = {*DRY, *sourced, 'sweep.py', 'quickstart.ipynb', 'docker/'}
  assert all(f'| `{name}` |' in readme for name in shown)


@pytest.mark.parametrize('script', LAUNCHED)
def test_every_script_asks_for_a_config(project, script):
  without = [a for a in LAUNCHED[script] if a not in FLAGS]
  process, notes = project.run(script, *without)
  assert process.returncode == 2
  assert '--config is missing; it is one of: configs/a.py' in process.stderr
  assert not notes


def test_processes_get_a_device_each_and_the_flags_as_they_were(project):
  words = dry(project, 'processes.sh', '2', '--port=7', *FLAGS)
  for i in '01':
    start = words.index(f'JAX_LOCAL_DEVICE_IDS={i}')
    assert words[start : words.index('&', start)] == [
        *(f'JAX_LOCAL_DEVICE_IDS={i}', '.venv/bin/python', '-m', 'segjax.main'),
        *(*FLAGS, '--workdir=runs/a', '--coordinator=127.0.0.1:7'),
        *('--num_processes=2', f'--process_id={i}'),
    ]


def test_processes_end_with_the_code_of_one_that_failed(project):
  project.run('processes.sh', '2', '--config=configs/a.py')  # Installs.
  failing = PYTHON.replace('\n  *)', '\n  *_id=1) exit 3 ;;\n  *)')
  (project.root / '.venv/bin/python').write_text(failing)
  process, notes = project.run('processes.sh', '3', '--config=configs/a.py')
  assert process.returncode == 3
  assert len(notes) == 2


def test_a_slurm_job_has_a_process_a_gpu_and_jobs_follow_one_another(project):
  process, notes = project.run(
      'slurm.sh', '--nodes=2', '--gpus=4', '--jobs=3', '--account=me', *FLAGS
  )
  assert process.returncode == 0, process.stderr
  assert notes[:2] == [
      f'{INSTALL} requirements.txt',
      f'{INSTALL.removesuffix(" -r")} jax[cuda13]==1.2.3',
  ]
  assert len(notes) == 5
  assert notes[2] == notes[3] == notes[4]
  for option in (
      *('--nodes=2', '--ntasks-per-node=4', '--gres=gpu:4', '--account=me'),
      *('--dependency=singleton', '--requeue', '--signal=TERM@120'),
  ):
    assert option in notes[2].split()
  step = notes[2].partition('--wrap=')[2]
  assert shlex.split(step) == [
      *('srun', '--kill-on-bad-exit=1', '.venv/bin/python', '-m'),
      *('segjax.main', *FLAGS, '--workdir=runs/a'),
  ]
  assert (project.root / 'runs').is_dir()


def test_the_accelerators_jax_is_installed_once_a_version(project):
  project.run('slurm.sh', *FLAGS)
  _, notes = project.run('slurm.sh', *FLAGS)
  assert len(notes) == 1
  assert notes[0].startswith('sbatch')
  (project.root / 'requirements.txt').write_text('jax==1.2.4\n')
  _, notes = project.run('slurm.sh', *FLAGS)
  assert notes[1].endswith('jax[cuda13]==1.2.4')


def test_a_slurm_job_without_gpus_asks_for_none(project):
  words = dry(project, 'slurm.sh', '--gpus=0', *FLAGS)
  assert '--ntasks-per-node=1' in words
  assert not any(word.startswith('--gres') for word in words)
  assert not any('cuda' in word for word in words)


def remote(words):
  """The shell commands that gcloud is to run on hosts."""
  return [
      word.removeprefix('--command=')
      for word in words
      if word.startswith('--command=')
  ]


def test_a_tpu_host_gets_the_flags_as_they_were(project):
  words = dry(project, 'tpu_vm.sh', 'run', *TPU, *FLAGS, BUCKET)
  assert '--version=v2-alpha-tpuv5-lite' in words
  (start,) = (text for text in remote(words) if 'segjax.main' in text)
  nohup = shlex.split(start)
  inner = nohup[nohup.index('-c') + 1]
  assert shlex.split(inner)[:-3] == [
      *('.venv/bin/python', '-m', 'segjax.main', *FLAGS, BUCKET),
      '--stopped_code=75;',
  ]


def test_what_a_tpu_host_is_told_is_sound_shell(project):
  for text in remote(dry(project, 'tpu_vm.sh', 'run', *TPU, *FLAGS, BUCKET)):
    subprocess.run(['bash', '-n', '-c', text], check=True)


@pytest.mark.parametrize('code', [0, 3])
def test_a_preempted_tpu_is_made_anew_and_the_run_goes_on(project, code):
  project.program('gcloud', GCLOUD)
  process, notes = project.run(
      'tpu_vm.sh', 'run', *TPU, *FLAGS, BUCKET, CODE=str(code)
  )
  assert process.returncode == code, process.stderr
  verbs = [note.split()[3] for note in notes if note.startswith('compute')]
  assert [v for v in verbs if v in ('create', 'delete')] == [
      *('create', 'delete', 'create')
  ]
  assert sum('segjax.main' in note for note in notes) == 2
  assert 'launch/tpu_vm.sh delete tiny' in process.stdout


def test_a_tpu_that_is_there_is_taken(project):
  project.program('gcloud', GCLOUD)
  (project.notes.parent / 'state').write_text('READY\n')
  (project.notes.parent / 'runs').write_text('run\nrun\n')
  _, notes = project.run('tpu_vm.sh', 'run', *TPU, *FLAGS, BUCKET, CODE='0')
  assert not any(' create ' in note for note in notes)
  assert sum('segjax.main' in note for note in notes) == 1


@pytest.mark.parametrize('action', ['follow', 'delete'])
def test_a_tpu_is_followed_and_deleted_by_its_name(project, action):
  words = dry(project, 'tpu_vm.sh', action, 'tiny', '--zone=here')
  assert words[4:6] == [{'follow': 'ssh'}.get(action, action), 'tiny']
  assert '--zone=here' in words


@pytest.mark.parametrize('script', ['tpu_vm.sh', 'gke.sh'])
def test_a_workdir_that_would_be_lost_is_refused(project, script):
  arguments = [a for a in LAUNCHED[script] if a != BUCKET]
  process, notes = project.run(script, *arguments)
  assert process.returncode == 2
  assert '--workdir=runs/a is' in process.stderr
  assert 'name one in a bucket' in process.stderr
  assert not notes


def test_a_job_set_has_a_pod_a_host_and_the_flags_as_they_were(project):
  process, notes = project.run(
      'gke.sh', *GKE, '--slices=2', '--spot', *FLAGS, BUCKET
  )
  assert process.returncode == 0, process.stderr
  assert notes == ['kubectl apply -f runs/some-run.yaml']
  text = (project.root / 'runs/some-run.yaml').read_text()
  (job,) = yaml.safe_load(text)['spec']['replicatedJobs']
  assert job['replicas'] == 2
  spec = job['template']['spec']
  assert spec['parallelism'] == spec['completions'] == 4
  pod = spec['template']['spec']
  assert pod['nodeSelector'] == {
      'cloud.google.com/gke-tpu-accelerator': 'tpu-v6e-slice',
      'cloud.google.com/gke-tpu-topology': '4x4',
      'cloud.google.com/gke-spot': 'true',
  }
  (container,) = pod['containers']
  assert container['resources']['limits'] == {'google.com/tpu': 4}
  # Kubernetes makes one dollar of two.
  given = [text.replace('$$', '$') for text in container['args']]
  assert given == [*FLAGS, BUCKET, '--stopped_code=75']


@pytest.mark.parametrize('topology', ['', '4', '4xx4', '1x2'])
def test_a_topology_that_is_none_is_refused(project, topology):
  arguments = [*GKE[:2], f'--topology={topology}', *FLAGS, BUCKET]
  process, notes = project.run('gke.sh', *arguments)
  assert process.returncode == 2
  assert '--topology=' in process.stderr
  assert not notes


def test_the_image_installs_the_pins_and_holds_what_a_run_reads():
  folder = ROOT / 'launch/docker'
  text = (folder / 'Dockerfile').read_text()
  copied = {
      line.split()[1] for line in text.splitlines() if line.startswith('COPY')
  }
  assert copied == {'requirements.txt', 'configs', 'segjax'}
  kept = (folder / 'Dockerfile.dockerignore').read_text().split()
  assert {name.removeprefix('!') for name in kept if name[0] == '!'} == copied
  # The expression that takes JAX's version out of the pins.
  shell = text[text.index('$(sed') + 2 : text.index(')"}')]
  version = subprocess.check_output(shell, shell=True, text=True, cwd=ROOT)
  assert f'jax=={version}' in (ROOT / 'requirements.txt').read_text()
