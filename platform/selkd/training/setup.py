"""From a configuration to what a loop needs: data, teacher, evidence, network, objective."""

import copy
import logging
import math
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import torch
from torch import Tensor

from selkd import models, objectives
from selkd.config import RunConfig, Workspace
from selkd.config.run import DataSettings
from selkd.data import Dataset, Splits, Task, TaskView, load, split
from selkd.data.augment import Augmentation
from selkd.data.cache import ArrayCache, Arrays
from selkd.data.evidence import Answers, statistics, teacher_logits
from selkd.data.faults import Faults, kinds, misled, spoiled
from selkd.errors import UserError
from selkd.files import fingerprint
from selkd.models.classifier import Classifier
from selkd.models.teachers import Teacher, TeacherRepository
from selkd.objectives.kd import restrict
from selkd.selection import SAMPLES, RowEvidence, TeacherEvidence
from selkd.selection.categories import Choice
from selkd.selection.teachers import About
from selkd.tracking import StudentCard
from selkd.training.agreement import foreign, same_categories, square
from selkd.training.asking import Prepare, TaskSample
from selkd.training.batches import Batches, Stored
from selkd.training.batchnorm import share_batch_norm
from selkd.training.briefly import answers_of
from selkd.training.faculty import Faculty, SideBySide, choose_teachers
from selkd.training.meanings import Known, Meanings
from selkd.training.randomness import RowKeys, key_randomness
from selkd.training.rounds import Rounds
from selkd.training.start import started
from selkd.training.subset import choose
from selkd.training.weighing import Weighing
from selkd.training.workers import Workers
from selkd.weighting import WEIGHTINGS
from selkd.weighting.learned import LearnedSettings

log = logging.getLogger(__name__)

DTYPES = {"float64": torch.float64}


@dataclass
class Setup:
    """Everything of one run that exists before training."""

    config: RunConfig
    workspace: Workspace
    workers: Workers
    device: torch.device
    dataset: Dataset
    splits: Splits
    teacher: Teacher | None

    @classmethod
    def of(cls, config: RunConfig, workspace: Workspace, workers: Workers, device: torch.device) -> "Setup":
        dataset, splits = rows_of(config.data, workspace, device)
        square(dataset)
        teacher = None
        if config.teacher is not None and not config.crosses:
            teacher = TeacherRepository(workspace.teachers).load(config.teacher, device)
            if config.reads_teacher or not foreign(teacher, dataset):
                same_categories(teacher, dataset)
            else:
                teacher = None
        setup = cls(config, workspace, workers, device, dataset, splits, teacher)
        setup.check_sizes()
        return setup

    @property
    def dtype(self) -> torch.dtype:
        return DTYPES.get(self.config.training.precision, torch.float32)

    @cached_property
    def choice(self) -> Choice:
        """The categories of the task, as the category policy says."""
        return choose(self.config, self.dataset, self.splits.train, self._mean_answers)

    @cached_property
    def task(self) -> TaskView:
        return Task(self.choice.categories, self.config.task.mode).on(self.dataset)

    def _mean_answers(self) -> np.ndarray:
        """The teacher's mean probabilities [K, K] over the training rows of each category, plain view."""
        cache = ArrayCache(self.workspace.evidence)
        assert self.teacher is not None
        stored = self._stored(self.teacher, "train", 1, Augmentation())
        return statistics(cache, stored, self.splits.train.labels)["mean_probability"]

    @cached_property
    def faculty(self) -> Faculty | None:
        """Teachers with categories of their own, where the objective learns from such."""
        if not self.config.crosses:
            return None
        chosen = choose_teachers(self.config, self.teacher_evidence(), self.known)
        for reason in chosen.skipped.values() if self.workers.first else ():
            log.warning("skipped: %s", reason)
        shares = {self.known[name]: share for name, share in chosen.shares.items()}
        return Faculty.of(shares, chosen, self.meanings, self.task)

    def teacher_evidence(self, prepare: Prepare = lambda *_: {}) -> TeacherEvidence:
        """What teacher policies may read; `prepare` hears what will be asked of whom, and may have it ready."""
        cards, broken = TeacherRepository(self.workspace.teachers).cards()
        about = {name: About(card.categories, card.validation_accuracy) for name, card in cards.items()}
        self.sample.prepare = prepare
        return TeacherEvidence(self.config.teacher, about, self.sample, broken)

    @cached_property
    def sample(self) -> TaskSample:
        """What teacher policies may ask about the task."""
        train_briefly = partial(answers_of, self.config, self.workspace, self.task)
        return TaskSample(self.meanings, self.task, self.known, train_briefly)

    @cached_property
    def known(self) -> Known:
        """The teachers of the repository that this run looked at."""
        return Known(partial(TeacherRepository(self.workspace.teachers).load, device=self.device))

    @cached_property
    def meanings(self) -> Meanings:
        return Meanings(self.config, self.workspace, self.dataset, self.splits.train, self.device, self.known)

    @property
    def teachers(self) -> tuple[Teacher, ...]:
        """All whom the run asks; the columns of their logits stand side by side."""
        if self.faculty is not None:
            return self.faculty.teachers
        return () if self.teacher is None else (self.teacher,)

    @cached_property
    def keys(self) -> RowKeys:
        return RowKeys()

    def student(self) -> Classifier:
        """The untrained student; a function of the configuration and the seed."""
        torch.manual_seed(self.config.seed)
        network = models.build(
            self.config.student.model,
            channels=self.dataset.train.shape[0],
            outputs=self.task.outputs,
            image_size=self.dataset.train.shape[-1],
            **self.config.student.extra,
        )
        classifier = Classifier(network, self.dataset.mean, self.dataset.std)
        if self.began is not None:
            classifier.load_state_dict(self.began[0].state_dict())
        key_randomness(classifier, self.keys)
        return classifier.placed(self.device, self.dtype)

    @cached_property
    def began(self) -> tuple[Classifier, StudentCard] | None:
        """The finished student as which this one begins."""
        if self.config.start is None:
            return None
        return started(self.config.start, self.workspace, self.card())

    def card(self, threshold: float | None = None) -> StudentCard:
        """What the student is, before it has weights."""
        shape = self.dataset.train.shape
        return StudentCard(
            categories=self.task.names,
            mode=self.task.mode,
            architecture=self.config.student.model,
            settings=self.config.student.extra,
            channels=shape[0],
            image_size=shape[-1],
            mean=self.dataset.mean,
            std=self.dataset.std,
            threshold=threshold,
        )

    def _begun(self) -> Answers | None:
        """How the student answered when it began, where the weighting asks: as it is scored, and never trained."""
        if self.began is None or self.weighing is None or not self.config.weighting.needs_start:
            return None
        frozen = self.began[0].placed(self.device, self.dtype).requires_grad_(False).eval()
        return lambda images, ids: frozen(images)

    def shared(self, classifier: Classifier) -> Classifier:
        """The same network with batch statistics over all workers."""
        share_batch_norm(classifier, self.workers)
        return classifier

    def objective(self, counts: Tensor) -> objectives.Objective:
        links = () if self.faculty is None else self.faculty.links
        context = objectives.Context(self.task.ids, self.task.mode, counts.double(), links)
        settings = self.config.objective
        try:
            return objectives.find(settings.name)(settings, context).to(self.device)
        except ValueError as error:
            raise UserError(str(error)) from None

    @cached_property
    def rows(self) -> int:
        """Training rows of the task."""
        return int(self.task.keeps(self.splits.train.labels).sum())

    @property
    def rows_per_epoch(self) -> int:
        return max(1, round(self.config.selection.samples.keep * self.rows))

    @property
    def total_steps(self) -> int:
        """Updates of the whole run, counting batches."""
        training = self.config.training
        of_all_rows = self.config.selection.samples.equal == "steps"
        per_epoch = math.ceil((self.rows if of_all_rows else self.rows_per_epoch) / training.batch_size)
        return training.steps or per_epoch * (training.epochs or 0)

    def check_sizes(self) -> None:
        """Refuse a batch that no epoch fills."""
        size, keep = self.config.training.batch_size, self.config.selection.samples.keep
        if size > self.rows_per_epoch:
            share = "" if keep == 1 else f" that an epoch uses with selection.samples.keep: {keep}"
            raise UserError(
                f"training.batch_size: {size} is more than the task's {self.rows_per_epoch} training rows{share}. "
                "Lower it."
            )

    @cached_property
    def rounds(self) -> Rounds:
        """Which rows each epoch uses, as the sample policy says."""
        settings = self.config.selection.samples
        part, batch_size = self.splits.train, self.config.training.batch_size
        kept = self.task.keeps(part.labels)
        evidence = RowEvidence(
            ids=part.ids[kept],
            labels=self.task.labels(part.labels[kept]),
            outputs=self.task.outputs,
            rounds=math.ceil(self.total_steps / math.ceil(self.rows_per_epoch / batch_size)),
            ask_teacher=lambda: self.taught("train")[kept].log_softmax(1),
        )
        return Rounds(SAMPLES[settings.policy](settings), evidence, self.rows_per_epoch, self.config.seed)

    @cached_property
    def weighing(self) -> Weighing | None:
        """What mixes truth and teacher row by row; nothing where the objective's own weights are all."""
        settings = self.config.weighting
        if settings.plain or not self.config.mixes:
            return None
        policy = WEIGHTINGS[settings.policy](settings, self.rounds.evidence, self.config.seed)
        faults, rows = self.config.data.faults, len(self.dataset.train)
        return Weighing(
            policy.to(self.device, self.dtype),
            self.task.ids,
            merge=self.task.mode == "open",
            total_steps=self.total_steps,
            carried=None if self.faculty is None else self.faculty.answers,
            kinds=None if faults == Faults() else kinds(rows, faults, self.config.data.seed),
        )

    def outer_batches(self) -> Batches | None:
        """Outer rows in their plain view, where something is fitted to them."""
        settings, part = self.config.weighting, self.splits.outer
        if self.weighing is None or part is None or not settings.needs_outer:
            return None
        assert isinstance(settings, LearnedSettings)
        return Batches(
            part,
            self.task,
            batch_size=min(settings.outer_rows, len(self.task.part(part))),
            seed=self.config.seed,
            augmentation=Augmentation(),
            fill=torch.tensor(self.dataset.mean),
            device=self.device,
            dtype=self.dtype,
            workers=self.workers,
        )

    def taught(self, part: str) -> Tensor:
        """The teacher's logits [N, o] over a whole part, restricted or carried to the task, in float64."""
        logits = torch.from_numpy(np.array(self.evidence(part)["logits"][0])).double()
        if self.faculty is not None:
            return self.faculty.answers(logits)
        return restrict(logits.log_softmax(1), self.task.ids, self.task.mode == "open")

    def batches(self) -> Batches:
        config, part = self.config, self.splits.train
        online = bool(self.teachers) and config.needs_teacher and self.replayed is None
        return Batches(
            part,
            self.task,
            batch_size=config.training.batch_size,
            seed=config.seed,
            augmentation=config.data.augment,
            fill=torch.tensor(self.dataset.mean),
            device=self.device,
            dtype=self.dtype,
            workers=self.workers,
            rounds=self.rounds,
            stored=None if self.replayed is None else Stored(self.replayed["logits"], config.data.seed),
            online=self._online() if online else None,
            begun=self._begun(),
        )

    def _online(self) -> Answers:
        """The teachers in the run's precision, so that their answers do not depend on how a batch is shared."""
        copies = [Teacher(one.card, partial(self._in_precision, one)) for one in self.teachers]
        asked = [self._answers(one, "train") for one in copies]
        return lambda images, ids: torch.cat([answers(images, ids) for answers in asked], 1)

    def _in_precision(self, teacher: Teacher) -> Classifier:
        return copy.deepcopy(teacher.classifier).placed(self.device, self.dtype)

    def _answers(self, teacher: Teacher, part: str) -> Answers:
        """How the teacher answers about rows of a part."""
        truth, share, seed = self.dataset.train.labels, self._faults(part).teacher, self.config.data.seed
        return lambda images, ids: misled(teacher.logits(images), ids, truth, share, seed)

    def _faults(self, part: str) -> Faults:
        """What is wrong on purpose with a part: nothing but training rows are spoiled."""
        return self.config.data.faults if part == "train" else Faults()

    @cached_property
    def replayed(self) -> Arrays | SideBySide | None:
        """The teacher's logits over the views of the training rows, where training replays them."""
        if not self.teachers or not self.config.needs_teacher or self.config.training.teacher == "online":
            return None
        return self.evidence("train", self.config.training.views, self.config.data.augment)

    def origin(self) -> dict[str, str | None]:
        """What must not change while the student exists, by content."""
        return {
            "data": self.dataset.fingerprint,
            "teacher": self.teacher.fingerprint if self.teacher else None,
            "categories": fingerprint(list(self.task.names)),
            **({} if self.began is None else {"start": self.began[1].weights_sha256}),
            **({} if self.faculty is None else {
                "teacher": self.faculty.fingerprint, "semantics": self.faculty.semantics,
            }),
        }  # fmt: skip

    def fingerprints(self) -> dict[str, str | None]:
        """What the student is made from, by content."""
        return {
            **self.origin(),
            "evidence": None if self.replayed is None else self.replayed.fingerprint,
        }

    def evidence(self, part: str, views: int = 1, augmentation: Augmentation | None = None) -> Arrays | SideBySide:
        """The teacher's logits over one part; computed once, shared by every student."""
        assert self.teachers
        found = [self._stored(teacher, part, views, augmentation or Augmentation()) for teacher in self.teachers]
        return found[0] if len(found) == 1 else SideBySide(found)

    def _stored(self, teacher: Teacher, part: str, views: int, augmentation: Augmentation) -> Arrays:
        seed = self.config.data.seed
        return teacher_logits(
            ArrayCache(self.workspace.evidence),
            teacher_fingerprint=teacher.fingerprint,
            logits_of=self._answers(teacher, part),
            part=getattr(self.splits, part),
            data_fingerprint=self._faults(part).fingerprint(self.dataset.fingerprint, seed),
            part_name=part,
            views=views,
            augmentation=augmentation,
            seed=seed,
            fill=torch.tensor(self.dataset.mean),
            device=self.device,
        )


def rows_of(data: DataSettings, workspace: Workspace, device: torch.device | str = "cpu") -> tuple[Dataset, Splits]:
    """The data set that a configuration names, and its parts, on a device."""
    dataset = load(
        data.source,
        root=data.root or workspace.data,
        image_size=data.image_size,
        memory_budget=data.memory_budget,
    )
    parts = split(
        dataset,
        validation=data.validation,
        test=data.test,
        seed=data.seed,
        rows_per_category=data.rows_per_category,
        outer=data.outer,
    )
    return dataset, spoiled(parts.to(device), dataset, data.faults, data.seed)


def device_of(config: RunConfig) -> torch.device:
    """The device the configuration asks for; `auto` takes a GPU where there is one."""
    wanted = config.workers.device
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UserError("workers.device: cuda was asked for, and this machine shows no GPU. Use auto or cpu.")
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")
