"""A worker's real surroundings, small: prepared data, a teacher, and artefacts kept in memory behind HTTP."""

import hashlib
import random
from datetime import UTC, datetime

import httpx
import pytest

from client import Client
from distillation.data import write_data
from distillation.provenance import Preparation, write_preparation
from distillation.sources import Corpus
from distillation.splits import Example, split_all
from distillation.values import Dataset, Task, Teacher
from distillation.vocabulary import train_tokenizer
from encoders.build import build
from encoders.values import Head
from encoders.weights import save_weights
from hardware.values import DeviceProfile, Effort
from protocol.jobs import Grant, MeasureWork
from search_space import Architecture
from worker.workplace import Workplace

CLASSES = ("garden", "kitchen")
WORDS = (["rose", "spade", "seed", "hedge", "lawn"], ["bread", "oven", "salt", "knife", "soup"])
TASK = Task(dataset=Dataset(source="sentences.tsv"))


def shape(**sizes):
    return Architecture(**({"vocabulary_size": 200, "max_positions": 32, "head_size": 8} | sizes))


TEACHER = {"layers": 2, "hidden_size": 16, "heads": 2, "ffn_size": 32}
STUDENT = {"layers": 1, "hidden_size": 8, "heads": 1, "ffn_size": 16}


class Storage:
    """An artefact service: a dict behind HTTP."""

    def __init__(self):
        self.content = {}

    def __call__(self, request):
        identity = request.url.path.rpartition("/")[2]
        if request.method == "PUT":
            body = request.read()
            assert hashlib.sha256(body).hexdigest() == identity
            self.content[identity] = body
            return httpx.Response(201)
        if identity not in self.content:
            return httpx.Response(404, json={"title": "", "status": 404, "detail": "no artefact", "code": "not_found"})
        return httpx.Response(200, content=self.content[identity] if request.method == "GET" else b"")


class Recorder:
    """A reporter that keeps everything, and asks to stop once the job has come so far."""

    def __init__(self, stop_at=None):
        self.stages, self.checkpoints, self.curve, self.done = [], [], [], 0
        self._stop_at = stop_at

    def progress(self, stage, done=0, total=0):
        self.done = done
        if not self.stages or self.stages[-1] != stage:
            self.stages.append(stage)

    def evaluated(self, step, value):
        self.curve.append((step, value))

    def checkpoint(self, folder):
        files = (path for path in folder.rglob("*") if path.is_file())
        self.checkpoints.append({path.relative_to(folder).as_posix(): path.read_bytes() for path in files})

    def should_stop(self):
        return self._stop_at is not None and self.done >= self._stop_at


@pytest.fixture(scope="session")
def materials(tmp_path_factory):
    """A folder with prepared `data/` and a `teacher/` of random weights."""
    folder = tmp_path_factory.mktemp("materials")
    generator = random.Random(0)
    examples = []
    for number in range(300):
        label = generator.randrange(2)
        text = " ".join([*generator.choices(WORDS[label], k=4), f"number {number}"])
        examples.append(Example((text,), label))
    corpus = Corpus(classes=CLASSES, splits=split_all(examples))
    tokenizer = train_tokenizer([example.texts[0] for example in examples], size=200, max_length=32)
    write_data(folder / "data", corpus, TASK, tokenizer)
    teacher = build(shape(**TEACHER), Head(classes=2), CLASSES, seed=1)
    (folder / "teacher").mkdir()
    teacher.config.save_pretrained(folder / "teacher")
    save_weights(teacher, folder / "teacher" / "model.safetensors")
    made = Preparation(teacher=Teacher(model="built-in"), seed=5, threads=1, device="cpu")
    write_preparation(made, folder / "teacher")
    return folder


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    monkeypatch.setenv("STILLHOUSE_LOCK_DIR", str(tmp_path / "locks"))
    with Client("http://service:1", cache=tmp_path / "cache", wire=httpx.MockTransport(Storage())) as client:
        yield Workplace(home=tmp_path / "home", artefacts=client.artefacts, threads=1)


@pytest.fixture
def inputs(workplace, materials):
    """The artefacts that a distillation starts from."""
    upload = workplace.artefacts.upload_folder
    return {"data": upload(materials / "data"), "teacher": upload(materials / "teacher")}


def grant(work, attempt=1):
    now = datetime(2030, 1, 1, tzinfo=UTC)
    return Grant(job=1, attempt=attempt, study="demo", trial=0, expires_at=now, lease_s=30, work=work)


@pytest.fixture(name="grant")
def grant_fixture():
    return grant


@pytest.fixture
def recorder():
    return Recorder


@pytest.fixture
def student():
    return shape(**STUDENT)


@pytest.fixture
def head():
    return Head(classes=2)


@pytest.fixture
def some_work(student, head):
    """Some work; which kind does not matter."""
    return MeasureWork(architecture=student, head=head, profile=DeviceProfile(), effort=Effort.QUICK, seed=0)
