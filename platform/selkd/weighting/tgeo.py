"""TGeo-KD: the ratio of every row from the geometry of student, teacher and truth (Hu et al., ICLR 2024).

    loss_i = (1 - a_i) truth_i + a_i teacher_i,   a_i = sigmoid(network(features_i))

The network is fitted to the loss of outer rows after one step of the student (`training/unrolled.py`).
"""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator
from torch import Tensor, nn

from selkd.selection import RowEvidence
from selkd.weighting import geometry
from selkd.weighting.attention import Attention
from selkd.weighting.base import Moment, register
from selkd.weighting.learned import Learned, LearnedSettings, mlp


class TGeoSettings(LearnedSettings):
    """Settings of `tgeo`."""

    relations: geometry.Relations = Field(
        default="both",
        description="Edges between student, teacher and truth of the row (`intra`; `sg-tg` is without the one from "
        "student to teacher), those with the teacher's class mean (`inter`), or both.",
        json_schema_extra={"search": ["sg-tg", "intra", "inter", "both"]},
    )
    parts: geometry.Parts = Field(
        default="both", description="Features: edges, vertices, or both.",
        json_schema_extra={"search": ["vertices", "edges", "both"]},
    )  # fmt: skip
    edges: geometry.Edges = Field(default="signed", description="Differences, or their squares as in published code.")
    features: Literal["full", "summary"] = Field(
        default="full",
        description="One number an output and vector, or norms, probabilities of the label and entropies: 11 numbers, "
        "for many categories.",
    )
    parity: Literal["official"] | None = Field(
        default=None,
        description="`official`: the published code, whose network is random and never learns. Needs no outer rows.",
    )
    heads: int | None = Field(
        default=None,
        ge=1,
        description="Heads of attention between the vectors of a row, in every layer but the last; absent: an mlp.",
        json_schema_extra={"search": [None, 1, 2, 3]},
    )

    @field_validator("heads")
    @classmethod
    def _each_head_has_room(cls, heads: int | None, info: ValidationInfo) -> int | None:
        if heads is not None and heads > info.data.get("dim", heads):
            raise ValueError(
                f"{heads} heads share weighting.dim: {info.data['dim']}, and each needs one at least. Lower "
                "weighting.heads."
            )
        return heads

    @property
    def needs_outer(self) -> bool:
        return self.parity is None


@register
class TGeo(Learned):
    """A learned ratio a row, from the differences between student, teacher, class mean and truth."""

    name: ClassVar[str] = "tgeo"
    Settings = TGeoSettings

    def __init__(self, settings: TGeoSettings, evidence: RowEvidence, seed: int) -> None:
        super().__init__(settings, evidence, seed, lambda: network(settings, evidence.outputs))
        self.chosen = settings
        self.register_buffer("means", geometry.class_means(evidence), persistent=False)
        if settings.parity:
            self.network.requires_grad_(False)

    def features(self, moment: Moment) -> Tensor:
        chosen, vertices = self.chosen, self.vertices(moment)
        if chosen.parity:
            return geometry.official(vertices)
        found = geometry.summary if chosen.features == "summary" else geometry.full
        return found(vertices, chosen.relations, chosen.parts, chosen.edges)

    def vertices(self, moment: Moment) -> Mapping[str, Tensor]:
        """S, T, M and G [b, o]; the class mean of a mixed row is that of its largest label."""
        means = self.get_buffer("means").to(moment.targets.dtype)
        return {
            "S": moment.student_probabilities,
            "T": moment.teacher_probabilities,
            "M": means[moment.targets.argmax(1)],
            "G": moment.targets,
        }

    def ratio(self, moment: Moment) -> Tensor:
        return self.answers(moment)[:, 0]


def network(settings: TGeoSettings, outputs: int) -> nn.Module:
    """The untrained network for a student with this many outputs; that of the published code has three layers."""
    if settings.parity:
        return mlp(9 * outputs, [32, 16], 1)
    summarised = settings.features == "summary"
    inputs = geometry.width(outputs, settings.relations, settings.parts, summarised=summarised)
    if settings.heads is None:
        return mlp(inputs, [settings.dim] * (settings.layers - 1), 1)
    numbers = 1 if summarised else outputs
    return Attention(inputs // numbers, numbers, dim=settings.dim, heads=settings.heads, layers=settings.layers - 1)
