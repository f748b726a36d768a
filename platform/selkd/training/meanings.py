"""What the categories of a teacher and of the data mean to each other, asked of training rows alone."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from selkd.config import RunConfig, Workspace
from selkd.data import Dataset, Part, load
from selkd.data.cache import ArrayCache
from selkd.data.samples import category_means, stratified
from selkd.errors import UserError
from selkd.models.teachers import Teacher
from selkd.semantics import SEMANTICS, Costs, Labels


class Known(dict[str, Teacher]):
    """Teachers by name, each read once; they count the rows that they are shown."""

    def __init__(self, load: Callable[[str], Teacher]) -> None:
        super().__init__()
        self._load = load

    def __missing__(self, name: str) -> Teacher:
        self[name] = found = self._load(name)
        return found


@dataclass(frozen=True)
class Meanings:
    """The costs between teachers' categories and those of a run's data."""

    config: RunConfig
    workspace: Workspace
    dataset: Dataset
    train: Part  # of all categories of the data
    device: torch.device
    known: Known

    @property
    def seen(self) -> str:
        """Fingerprint of the run's data as its training rows show them, faults included."""
        return self.config.data.faults.rows_fingerprint(self.dataset.fingerprint, self.config.data.seed)

    @property
    def shows_rows(self) -> bool:
        """Whether networks are asked about rows to tell what categories mean."""
        return "rows" in type(self.config.semantics).model_fields

    def costs(self, teacher: Teacher) -> Costs:
        """As the source of semantics has them, in its own unit."""
        settings = self.config.semantics
        card = teacher.card
        labels = Labels(
            teacher=card.name,
            theirs=card.categories,
            ours=self.dataset.categories,
            ask_encoder=lambda encoder, rows: self._prototypes(teacher, encoder, rows),
            ask_classifier=lambda rows: (teacher.rows.double().cpu(), self._ours(teacher, rows)),
        )
        try:
            return SEMANTICS[settings.source](settings).costs(labels)
        except UserError:
            raise
        except ValueError as error:
            raise UserError(f"semantics.source {settings.source!r}, teacher {card.name!r}: {error}") from None

    def _ours(self, network: Teacher, rows: int) -> Tensor:
        """Mean features [K2, d] of the data's categories."""
        return self._means(network, self.dataset, self.train, rows)

    def _prototypes(self, teacher: Teacher, encoder: str, rows: int) -> tuple[Tensor, Tensor]:
        network = self.known[encoder]
        dataset, part = self._of_teacher(teacher)
        unknown = [name for name in teacher.card.categories if name not in dataset.categories]
        if unknown:
            raise UserError(
                f"semantics.source 'prototypes': the data of teacher {teacher.card.name!r} have no category "
                f"{', '.join(unknown)}. Choose another semantics.source."
            )
        theirs = self._means(network, dataset, part, rows)
        ids = [dataset.categories.index(name) for name in teacher.card.categories]
        return theirs[ids], self._ours(network, rows)

    def _of_teacher(self, teacher: Teacher) -> tuple[Dataset, Part]:
        """The teacher's own data; where they are the run's, its training rows alone."""
        data = teacher.card.data
        if data.name == self.config.data.source or data.fingerprint == self.dataset.fingerprint:
            return self.dataset, self.train
        try:
            side = teacher.card.image_size if data.name.startswith("imagefolder:") else None
            dataset = load(data.name, root=self.config.data.root or self.workspace.data, image_size=side)
        except UserError as error:
            raise UserError(
                f"semantics.source 'prototypes': the data of teacher {teacher.card.name!r} are not here ({error}) "
                "Choose another semantics.source."
            ) from None
        return dataset, Part(dataset.train, torch.arange(len(dataset.train)))

    def _means(self, network: Teacher, dataset: Dataset, part: Part, rows: int) -> Tensor:
        found = category_means(
            ArrayCache(self.workspace.evidence),
            network=network.fingerprint,
            features_of=network.features,
            part=stratified(part, rows, self.config.data.seed),
            data_fingerprint=self.seen if dataset is self.dataset else dataset.fingerprint,
            categories=len(dataset.categories),
            device=self.device,
        )
        return torch.tensor(found["means"])
